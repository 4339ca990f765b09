"""Strict JSON: what PostgreSQL, a log line and the next program can all hold, and nothing else.

What `quick_json` is not sure of, `read` decodes with the standard library's C scanner; four cheap looks at the bytes
decide whether the slow walk that finds pointers is needed at all. It knows nothing of HTTP but the status of its
refusals.
"""

import codecs
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Never

from api.quick_json import MAX_DEPTH, Doubtful, decode
from domain.errors import Fault, RequestRefused

POINTED_DEPTH = 500
"""Deeper than this is not decoded, so that no recursion limit is ever met; the fault then points at the whole."""
UNREADABLE_DEPTH = 1000

_TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels"
_MAX_FAULTS = 20
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STRINGS = re.compile(rb'"(?:[^"\\]++|\\.)*+"')
_ODD_ESCAPE = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_LONG_NUMBER = re.compile(rb"\d(?:\d{18}|[eE]\+?\d{3})")


@dataclass(frozen=True, slots=True)
class Document:
    """A decoded body, and what is wrong inside it, each with its RFC 6901 pointer."""

    value: Any
    faults: tuple[Fault, ...] = ()


class _Unreadable(ValueError):
    """What a hook of the scanner found; its words are for people."""


def read(raw: bytes) -> Document:
    """Decode one JSON document of UTF-8 bytes.

    Raises RequestRefused(400, malformed_json) for what is not JSON at all: other encodings, a byte order mark, equal
    keys in one object, absurd nesting or numbers. Values that are JSON but cannot be kept (NUL, lone surrogates, not a
    number, beyond 64 bits, deeper than 32) come back as faults.
    """
    try:
        return Document(decode(raw))
    except Doubtful:
        return read_slowly(raw)


def read_slowly(raw: bytes) -> Document:
    """As `read`, which is quicker with what has no fault; it says what is wrong with all else."""
    if raw.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        _refuse("it begins with a byte order mark; send plain UTF-8")
    depth = _depth(raw)
    if depth > UNREADABLE_DEPTH:
        _refuse("it is nested too deeply to be read")
    if depth > POINTED_DEPTH:
        return Document(None, (Fault("", _TOO_DEEP),))
    try:
        value = _DECODER.decode(raw.decode())
    except UnicodeDecodeError as error:
        _refuse(f"byte {error.start} is not UTF-8")
    except json.JSONDecodeError as error:
        _refuse(f"{error.msg} at line {error.lineno}, column {error.colno}")
    except (ValueError, RecursionError) as error:
        _refuse(str(error) if isinstance(error, _Unreadable) else "a number is too long or a nesting too deep")
    if depth > MAX_DEPTH or _looks_odd(raw):
        return Document(value, tuple(_first(_faults(value))))
    return Document(value)


def read_clean(raw: bytes) -> Any:
    """Like `read`, for whole documents: RequestRefused(422, invalid_value) when there is any fault."""
    document = read(raw)
    refuse_faults(document.faults)
    return document.value


def refuse_faults(faults: tuple[Fault, ...]) -> None:
    """RequestRefused(422, invalid_value) when there are faults."""
    if faults:
        raise RequestRefused("invalid_value", f"{faults[0].pointer or 'the body'}: {faults[0].detail}", faults=faults)


def escape(part: str) -> str:
    """One reference token of a pointer (RFC 6901, 3); what cannot be printed is replaced."""
    return part.encode("utf-8", "replace").decode().replace("\0", "�").replace("~", "~0").replace("/", "~1")


def _looks_odd(raw: bytes) -> bool:
    """Whether the slow walk is worth its time; says yes too often, never too seldom."""
    return (
        (b"\\u" in raw and _ODD_ESCAPE.search(raw) is not None)
        or b"NaN" in raw
        or b"Infinity" in raw
        or _LONG_NUMBER.search(raw) is not None
    )


def _refuse(detail: str) -> Never:
    raise RequestRefused("malformed_json", f"the body is not JSON that can be read: {detail}", 400) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]  # add() is None on purpose
        raise _Unreadable(f"the key {escape(twice)!r} stands twice in one object")
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_object)


def _depth(raw: bytes) -> int:
    """How deep the document is nested: exact above MAX_DEPTH, else at most MAX_DEPTH; malformed ones may lie.

    Every round takes one level of closed brackets away, at the speed of `bytes.replace`.
    """
    brackets = _peel(raw.translate(None, _NOT_BRACKETS))
    if not brackets:
        return 0
    deep = _peel(_STRINGS.sub(b"", raw).translate(None, _NOT_BRACKETS))
    if b"[}" in deep or b"{]" in deep:
        return 0  # malformed: the scanner says where
    depth = deepest = 0
    for bracket in deep:
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
        if depth < 0 or deepest > UNREADABLE_DEPTH:
            break
    return deepest + MAX_DEPTH if deep else 0


def _peel(brackets: bytes) -> bytes:
    for _ in range(MAX_DEPTH):
        left = brackets.replace(b"{}", b"").replace(b"[]", b"")
        if len(left) == len(brackets):
            break
        brackets = left
    return brackets


def _first(faults: Iterator[Fault]) -> Iterator[Fault]:
    for _, fault in zip(range(_MAX_FAULTS), faults, strict=False):
        yield fault


def _faults(value: Any) -> Iterator[Fault]:
    """Everything in a document that cannot be kept, in its order."""
    waiting: list[tuple[str, Any, int]] = [("", value, 0)]
    while waiting:
        pointer, value, depth = waiting.pop()
        if isinstance(value, dict | list) and depth >= MAX_DEPTH:
            yield Fault(pointer, _TOO_DEEP)
            continue
        if isinstance(value, dict):
            for name in value:
                if (detail := _fault_of_text(name)) is not None:
                    yield Fault(f"{pointer}/{escape(name)}", f"this name {detail}")
            waiting += [(f"{pointer}/{escape(k)}", v, depth + 1) for k, v in reversed(value.items())]
        elif isinstance(value, list):
            waiting += [(f"{pointer}/{i}", value[i], depth + 1) for i in range(len(value) - 1, -1, -1)]
        elif (found := _fault_of(value)) is not None:
            yield Fault(pointer, found)


def _fault_of(value: object) -> str | None:
    if isinstance(value, str):
        return _fault_of_text(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "is not a finite number"
    if isinstance(value, int) and not _SMALLEST <= value <= _LARGEST:
        return "does not fit in 64 bits"
    return None


def _fault_of_text(text: str) -> str | None:
    if "\0" in text:
        return "holds a NUL character"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "holds half of a surrogate pair"
    return None
