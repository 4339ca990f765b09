"""The JSON that a push carries: what Apple's `aps` keys may hold, how large it is, and words made into an alert. Pure.

Source of the keys and their types: Apple, "Generating a remote notification". Keys that are not known pass as they are.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from domain.push import MAX_PAYLOAD_BYTES

MAX_ACTIONS = 4
MAX_URL = 2000
MAX_ACTION_ID = 64
MAX_ACTION_TITLE = 100

LEVELS = ("passive", "active", "time-sensitive", "critical")
_RUNS_CODE = frozenset({"javascript", "data", "vbscript", "file", "blob"})
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):[^\s\x00-\x1f]+")
_ELLIPSIS = "…"
_MOST_BYTES = 6
"""What a character takes in JSON at most."""

_FRAME_BYTES = 100
"""More than what stands around title and body."""

_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode

Found = tuple[str, str]
"""What is wrong: a JSON pointer into the payload, and a sentence."""


def encode(payload: Mapping[str, Any]) -> bytes:
    """The payload as it travels: compact JSON in UTF-8. ValueError for half a surrogate pair, and for NaN."""
    return _compact(payload).encode()


def encode_text(text: str) -> str:
    """A text as it stands in what `encode` makes, in its quotes; half a surrogate pair stays what it is."""
    return _compact(text)


def faults_of(payload: Mapping[str, Any]) -> list[Found]:
    """Everything wrong with `aps`, `image_url` and `actions` of a payload; its size is not looked at."""
    found: list[Found] = []
    aps = payload.get("aps")
    if aps is not None:
        found += _faults_of_aps(aps) if isinstance(aps, Mapping) else [("/aps", "must be an object")]
    image = payload.get("image_url")
    if image is not None and not _is_url(image, "https"):
        found.append(("/image_url", f"must be an https URL of at most {MAX_URL} characters"))
    actions = payload.get("actions")
    if actions is not None:
        found += _faults_of_actions(actions)
    return found


def _is_url(value: object, *schemes: str) -> bool:
    """Whether it is an absolute URL of one of `schemes`, or without any named, of one that runs no code."""
    if not isinstance(value, str) or len(value) > MAX_URL or (match := _URL.fullmatch(value)) is None:
        return False
    scheme = match[1].lower()
    return scheme in schemes if schemes else scheme not in _RUNS_CODE


def _faults_of_aps(aps: Mapping[str, Any]) -> Iterator[Found]:
    for name, (fits, detail) in _KEYS.items():
        if aps.get(name) is not None and not fits(aps[name]):
            yield f"/aps/{name}", detail
    if isinstance(alert := aps.get("alert"), Mapping):
        for name, value in alert.items():
            if name in _TEXTS and value is not None and not isinstance(value, str):
                yield f"/aps/alert/{name}", "must be a string"
            elif name in _LISTS and value is not None and not _is_texts(value):
                yield f"/aps/alert/{name}", "must be an array of strings"
    if isinstance(sound := aps.get("sound"), Mapping) and not isinstance(sound.get("name"), str):
        yield "/aps/sound/name", "must be a string"


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_text_or_object(value: object) -> bool:
    return isinstance(value, str | Mapping)


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _is_flag(value: object) -> bool:
    return type(value) is int and value in (0, 1)


def _is_score(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_TEXTS = frozenset(
    {"title", "subtitle", "body", "launch-image", "title-loc-key", "subtitle-loc-key", "loc-key", "action-loc-key"}
)
_LISTS = frozenset({"title-loc-args", "subtitle-loc-args", "loc-args"})
_KEYS: dict[str, tuple[Callable[[object], bool], str]] = {
    "alert": (_is_text_or_object, "must be a string or an object"),
    "badge": (_is_count, "must be a whole number from 0"),
    "sound": (_is_text_or_object, "must be a string or an object"),
    "thread-id": (_is_text, "must be a string"),
    "category": (_is_text, "must be a string"),
    "target-content-id": (_is_text, "must be a string"),
    "content-available": (_is_flag, "must be 1 or 0"),
    "mutable-content": (_is_flag, "must be 1 or 0"),
    "interruption-level": (lambda value: value in LEVELS, f"must be one of {', '.join(LEVELS)}"),
    "relevance-score": (_is_score, "must be a number"),
}


def _faults_of_actions(actions: object) -> list[Found]:
    if not isinstance(actions, list) or not 1 <= len(actions) <= MAX_ACTIONS:
        return [("/actions", f"must be an array of 1 to {MAX_ACTIONS} actions")]
    found: list[Found] = []
    for position, action in enumerate(actions):
        at = f"/actions/{position}"
        if not isinstance(action, Mapping):
            found.append((at, "must be an object with id and title"))
            continue
        for name, longest in (("id", MAX_ACTION_ID), ("title", MAX_ACTION_TITLE)):
            value = action.get(name)
            if not isinstance(value, str) or not 1 <= len(value) <= longest:
                found.append((f"{at}/{name}", f"must be a string of 1 to {longest} characters"))
        if action.get("url") is not None and not _is_url(action["url"]):
            found.append((f"{at}/url", "must be an absolute URL that runs no code"))
        known = ("id", "title", "url")
        found += [(f"{at}/{_escape(name)}", "unknown field") for name in action if name not in known]
    ids = [action.get("id") for action in actions if isinstance(action, Mapping)]
    if not found and len(set(ids)) < len(ids):
        found.append(("/actions", "two actions have one id"))
    return found


def _escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def with_alert(payload: Mapping[str, Any], title: str | None, body: str | None) -> dict[str, Any]:
    """The payload with an alert of these words, where it has none and is no silent one.

    The body is shortened to what fits beside the rest; where nothing fits it is left out, and the payload may still
    be too large.
    """
    aps = dict(payload.get("aps") or {})
    if aps.get("alert") is not None or aps.get("content-available") == 1 or not (title or body):
        return dict(payload)
    alert = {"title": title} if title else {}
    made = {**payload, "aps": {**aps, "alert": alert}}
    if not body:
        return made
    if not payload and (len(title or "") + len(body)) * _MOST_BYTES < MAX_PAYLOAD_BYTES - _FRAME_BYTES:
        alert["body"] = body
        return made
    empty = {**payload, "aps": {**aps, "alert": {**alert, "body": ""}}}
    alert["body"] = _shortened(body, MAX_PAYLOAD_BYTES - len(encode(empty)))
    return made


def _shortened(text: str, size_bytes: int) -> str:
    """As much of a text as has `size_bytes` as JSON, with an ellipsis where something is missing."""
    if _size(text) <= size_bytes:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if _size(text[:middle]) + len(_ELLIPSIS.encode()) <= size_bytes:
            low = middle
        else:
            high = middle - 1
    return text[:low].rstrip() + _ELLIPSIS if low else ""


def _size(text: str) -> int:
    return len(_compact(text).encode()) - 2
