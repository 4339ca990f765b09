"""Push words: a JSON document whose strings are templates. Values fill strings and can never become JSON of their own.

A member that names a template and renders to nothing is left out; where Apple wants a number (`badge` and its like)
the rendered text is read as one. Where it cannot matter what a text says, only whether there is one, a document is
judged and written as JSON once, and its texts are put between the pieces.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from uuid import uuid4

from jinja2 import Template

from domain.lanes import Priority
from domain.payload import encode, encode_text, faults_of
from domain.push import Wake, is_silent, wake_of

MEMBERS = ("aps", "data", "image_url", "actions", "wake")
_NUMBERS = frozenset({"badge", "content-available", "mutable-content", "relevance-score"})
_NUMBER = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,15})?")
MAX_MOULDS = 64
"""Of one document: it has one for each set of texts that came out empty."""

Compile = Callable[[str], tuple[Template, frozenset[str]]]
"""Makes a template of one string, with the names it needs."""


@dataclass(frozen=True)
class PushWords:
    """One push.json, compiled: the document with a template for each string that holds one."""

    document: Mapping[str, Any]
    wake: int | None
    needs: frozenset[str]
    moulds: dict[tuple[Priority, tuple[bool, ...]], "Mould | None"] = field(default_factory=dict, compare=False)
    """Made as they are needed; None where what comes out is faulty, whatever the texts."""

    @cached_property
    def templates(self) -> tuple[Template, ...] | None:
        """All its templates in order; None when what one of them says decides about the rest."""
        found = list(_places(self.document))
        return None if any(_is_judged(place) for place, _ in found) else tuple(template for _, template in found)


@dataclass(frozen=True, slots=True)
class Filled:
    """A payload as it travels, and what follows from it."""

    payload: bytes
    wake: Wake
    is_silent: bool


@dataclass(frozen=True, slots=True)
class Mould:
    """The JSON around the texts of a document, and all that does not depend on what they say."""

    pieces: tuple[str, ...]
    wake: Wake
    is_silent: bool

    def fill(self, texts: Sequence[str]) -> Filled:
        """With these texts, none of them empty. ValueError for half a surrogate pair."""
        parts = list(self.pieces)
        for place in range(len(texts), 0, -1):
            parts.insert(place, encode_text(texts[place - 1]))
        return Filled("".join(parts).encode(), self.wake, self.is_silent)


class NoPayload(ValueError):
    """This document, or what was rendered from it, is no payload of a push. The message names the place."""


def read_push(document: Mapping[str, Any], compile_text: Compile) -> PushWords:
    """The words of a push.json. NoPayload for what a device could not be sent."""
    for name in document:
        if name not in MEMBERS:
            raise NoPayload(f"/{name}: is not a member of a push; there are {', '.join(MEMBERS)}")
    wake = document.get("wake")
    if wake is not None and (type(wake) is not int or wake not in tuple(Wake)):
        raise NoPayload("/wake: must be 10, 5 or 1")
    if not isinstance(document.get("aps"), Mapping) or not document["aps"]:
        raise NoPayload("/aps: is missing; it holds the words")
    needs: set[str] = set()

    def compiled(value: Any) -> Any:
        if isinstance(value, str) and ("{{" in value or "{%" in value):
            template, names = compile_text(value)
            needs.update(names)
            return template
        if isinstance(value, Mapping):
            return {name: compiled(member) for name, member in value.items()}
        return [compiled(member) for member in value] if isinstance(value, list) else value

    payload = {name: compiled(value) for name, value in document.items() if name != "wake"}
    return PushWords(payload, wake, frozenset(needs))


def fill(words: PushWords, run: Callable[[Template], str], priority: Priority) -> Filled:
    """The payload, each template run. NoPayload when a device could not be sent it; ValueError when it is no JSON."""
    if words.templates is None:
        return fill_judging(words, run, priority)
    texts = [run(template).strip() for template in words.templates]
    shape = priority, tuple(map(bool, texts))
    if shape not in words.moulds:
        if len(words.moulds) >= MAX_MOULDS:
            words.moulds.clear()
        words.moulds[shape] = _mould(words, *shape)
    mould = words.moulds[shape]
    if mould is None:
        rendered = iter(texts)
        return fill_judging(words, lambda _: next(rendered), priority)
    return mould.fill(texts if all(shape[1]) else [text for text in texts if text])


def fill_judging(words: PushWords, run: Callable[[Template], str], priority: Priority) -> Filled:
    """The same, all of it looked at: by this, moulds are made and measured."""
    payload: dict[str, Any] = _filled(words.document, run)
    if found := faults_of(payload):
        raise NoPayload(": ".join(found[0]))
    aps = payload.get("aps") or {}
    if not aps.get("alert") and not any(name in aps for name in ("badge", "sound", "content-available")):
        raise NoPayload("/aps: nothing came out")
    return Filled(encode(payload), wake_of(priority, payload, words.wake), is_silent(payload))


def _mould(words: PushWords, priority: Priority, is_there: Sequence[bool]) -> Mould | None:
    """The document around texts of which these are there. It is filled with marks, and cut where they stand."""
    mark = uuid4().hex
    marked = iter(mark if one else "" for one in is_there)
    try:
        filled = fill_judging(words, lambda _: next(marked), priority)
    except ValueError:
        return None
    return Mould(tuple(filled.payload.decode().split(encode_text(mark))), filled.wake, filled.is_silent)


def _places(value: Any, *place: str) -> Iterator[tuple[tuple[str, ...], Template]]:
    """The templates in order, each with the names on the way to it."""
    if isinstance(value, Template):
        yield place, value
    elif isinstance(value, Mapping):
        for name, member in value.items():
            yield from _places(member, *place, name)
    elif isinstance(value, list):
        for member in value:
            yield from _places(member, *place, "")


def _is_judged(place: tuple[str, ...]) -> bool:
    """Whether it matters what a text says here, even where a mark may stand, or before the next text is made.

    A mark is no URL and no level: where there must be one, the document has no mould.
    """
    return place[0] == "actions" or place[-1] in _NUMBERS


def _filled(value: Any, run: Callable[[Template], str], name: str = "") -> Any:
    if isinstance(value, Template):
        text = run(value).strip()
        return _number(text, name) if name in _NUMBERS and text else text
    if isinstance(value, Mapping):
        members = ((key, member, _filled(member, run, key)) for key, member in value.items())
        return {key: made for key, member, made in members if not (isinstance(member, Template) and made == "")}
    return [_filled(member, run) for member in value] if isinstance(value, list) else value


def _number(text: str, name: str) -> int | float:
    if not _NUMBER.fullmatch(text):
        raise NoPayload(f"/aps/{name}: what came out is no number")
    return float(text) if "." in text else int(text)
