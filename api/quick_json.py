"""The quick look at JSON: decoded by msgspec where it is sure that the strict reader would find the same and no fault.

What msgspec takes and the strict reader does not is little: equal keys in one object, NUL, numbers beyond 64 bits and
deep nesting. Keys are counted: a document has one colon for each key that was written, besides those in its texts.
"""

from typing import Any

import msgspec

MAX_DEPTH = 32
_SPACES_BEFORE_COLON = (b" :", b"\t:", b"\n:", b"\r:")
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1

_decode = msgspec.json.Decoder().decode


class Doubtful(ValueError):
    """The strict reader has to look: it may find a fault, or nothing."""


def decode(raw: bytes) -> Any:
    """One JSON document without any fault. Raises Doubtful for all others, and for some good ones."""
    if b"\\u0000" in raw:
        raise Doubtful
    try:
        value = _decode(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise Doubtful from None
    if _is_any_key_twice(raw, value, _keys(value, 0)):
        raise Doubtful
    return value


def _is_any_key_twice(raw: bytes, value: Any, keys: int) -> bool:
    """Whether more keys were written than are left; says yes too often, never too seldom."""
    colons = raw.count(b":")
    if colons == keys:
        return False
    if raw.count(b'":') == keys and not any(space in raw for space in _SPACES_BEFORE_COLON):
        return False  # every colon after a key stands directly behind its quote, and no more than these do
    return b"\\u003" in raw or colons - keys != _colons(value)


def _keys(value: Any, depth: int) -> int:
    """How many keys the objects in here have. Raises Doubtful for what is too deep or too large."""
    kind = type(value)
    count: int
    if kind is dict:
        count, inner = len(value), value.values()
    elif kind is list:
        count, inner = 0, value
    elif kind is int and not _SMALLEST <= value <= _LARGEST:
        raise Doubtful
    else:
        return 0
    if depth >= MAX_DEPTH:
        raise Doubtful
    for each in inner:
        if type(each) is not str:
            count += _keys(each, depth + 1)
    return count


def _colons(value: Any) -> int:
    """How many colons the texts in here hold, those of keys too."""
    if isinstance(value, str):
        return value.count(":")
    if isinstance(value, dict):
        return sum(map(_colons, value)) + sum(map(_colons, value.values()))
    return sum(map(_colons, value)) if isinstance(value, list) else 0
