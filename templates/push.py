"""Push words: a JSON document whose strings are templates. Values fill strings and can never become JSON of their own.

A member that names a template and renders to nothing is left out; where Apple wants a number (`badge` and its like)
the rendered text is read as one.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import Template

from domain.payload import faults_of
from domain.push import Wake

MEMBERS = ("aps", "data", "image_url", "actions", "wake")
_NUMBERS = frozenset({"badge", "content-available", "mutable-content", "relevance-score"})
_NUMBER = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,15})?")

Compile = Callable[[str], tuple[Template, frozenset[str]]]
"""Makes a template of one string, with the names it needs."""


@dataclass(frozen=True, slots=True)
class PushWords:
    """One push.json, compiled: the document with a template for each string that holds one."""

    document: Mapping[str, Any]
    wake: int | None
    needs: frozenset[str]


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


def fill(words: PushWords, run: Callable[[Template], str]) -> dict[str, Any]:
    """The payload, each template run. NoPayload when a device could not be sent what came out."""
    payload: dict[str, Any] = _filled(words.document, run)
    if found := faults_of(payload):
        raise NoPayload(": ".join(found[0]))
    aps = payload.get("aps") or {}
    if not aps.get("alert") and not any(name in aps for name in ("badge", "sound", "content-available")):
        raise NoPayload("/aps: nothing came out")
    return payload


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
