"""Words that PostgreSQL keeps as small numbers: the code stands beside its word, never changes, and is never reused."""

from enum import StrEnum
from functools import cache
from typing import Self


class CodedEnum(StrEnum):
    """A closed set of words, each with a code: `EMAIL = "email", 2`."""

    code: int

    def __new__(cls, word: str, code: int = 0) -> Self:
        if code <= 0:
            raise TypeError(f"{cls.__name__} {word!r} needs a code")
        member = str.__new__(cls, word)
        member._value_ = word
        member.code = code
        return member

    @classmethod
    @cache
    def of(cls, code: int) -> Self:
        """The word of a code; ValueError for one that has none."""
        for member in cls:
            if member.code == code:
                return member
        raise ValueError(f"{cls.__name__} has no code {code}")
