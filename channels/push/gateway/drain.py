"""Which letters of a mailbox are asked for next: one page at a time, by a cursor, down to a least wake. Pure."""

from typing import NamedTuple
from uuid import UUID

from domain.push import Wake

_NOTHING = 99
"""No wake is as great: nothing is asked for."""

Place = tuple[int, UUID]
"""Wake and delivery id of a letter: where a page ended."""


class Read(NamedTuple):
    """Ask for the letters behind `after`, at most `limit` of them, of `least_wake` or more."""

    after: Place | None
    limit: int
    least_wake: int


class Drain:
    """The reading of one mailbox from its first letter to its last, and whether it is to begin again."""

    __slots__ = ("_after", "_asked", "_has_more", "_least", "_wanted")

    def __init__(self) -> None:
        self._after: Place | None = None
        self._asked = 0
        """Letters asked for and not answered yet."""
        self._has_more = False
        self._least = int(Wake.NOW)
        self._wanted = _NOTHING
        """The least wake of the next run."""

    def want(self, least_wake: int) -> None:
        """Letters of this wake and more are to be read, from the first one on."""
        self._wanted = min(self._wanted, least_wake)

    def next(self, credit: int) -> Read | None:
        """What to ask for now, with room for `credit` letters; None when nothing is wanted, or something is asked."""
        if self._asked or not credit:
            return None
        if not self._has_more:
            if self._wanted == _NOTHING:
                return None
            self._least, self._wanted, self._after = self._wanted, _NOTHING, None
        self._asked = credit
        return Read(self._after, credit, self._least)

    def answered(self, count: int) -> None:
        """So many letters came; `passed` says how far they were handed on."""
        self._has_more = count >= self._asked
        self._asked = 0

    def passed(self, place: Place) -> None:
        """The letter at `place` was handed on, or need not be."""
        self._after = place

    def left(self) -> None:
        """There was no credit for the rest of a page: it is read again from behind the last one passed."""
        self._has_more = True

    def failed(self) -> None:
        """No answer came. Whoever asks next begins anew."""
        self._asked = 0
        self._has_more = False
