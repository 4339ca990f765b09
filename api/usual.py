"""The usual requests, read at one go: what nearly everybody sends, when nothing is wrong with it.

Whatever is unusual or wrong is left to `shape`, which reads every field and names every fault. A test holds both to
the same answer.
"""

from datetime import datetime
from functools import lru_cache
from itertools import permutations
from typing import Any

import msgspec

from api.shape import (
    MAX_BODY,
    MAX_DATA_BYTES,
    MAX_EXPIRES_S,
    MAX_ID,
    MAX_TITLE,
    MAX_TOKEN,
    NAME,
    fault_of_user,
    read_request,
)
from api.words import fault_of_line
from domain.lanes import OPEN_CHANNELS, Channel, Priority
from domain.notification import Content, NotificationRequest, Recipient
from domain.push import MAX_COLLAPSE_BYTES

_FIELDS = frozenset(
    {
        "to",
        "template",
        "data",
        "content",
        "channels",
        "priority",
        "category",
        "collapse_id",
        "dedupe_key",
        "expires_in_s",
    }
)
_WORDS = frozenset({"title", "body"})
_LONGEST_NAME = 100
_CHANNELS: dict[tuple[str, ...], tuple[Channel, ...]] = {
    tuple(map(str, chosen)): chosen
    for count in range(1, len(OPEN_CHANNELS) + 1)
    for chosen in permutations(OPEN_CHANNELS, count)
}
"""Every choice of channels that can be asked for, in every order."""

_PRIORITIES: dict[Any, Priority] = {None: Priority.NORMAL} | {str(each): each for each in Priority}

_encode = msgspec.json.Encoder().encode


def read_notification(document: Any, *, now: datetime) -> NotificationRequest:
    """One notification request. RequestRefused(422) with a pointer for each fault."""
    usual = read_usual(document)
    return read_request(document, now=now) if usual is None else usual


def read_usual(document: Any) -> NotificationRequest | None:
    """A usual request with nothing wrong, else None."""
    if type(document) is not dict or not _FIELDS.issuperset(document):
        return None
    get = document.get
    to, words = _recipient(get("to")), _words(get("template"), get("data"), get("content"))
    try:
        channels = () if (asked := get("channels")) is None else _CHANNELS[tuple(asked)]
        priority = _PRIORITIES[get("priority")]
    except (KeyError, TypeError):
        return None
    category, life_s = get("category"), get("expires_in_s")
    if to is None or words is None or type(asked) not in _LIST_OR_NONE or not (category is None or _is_name(category)):
        return None
    if not (life_s is None or (type(life_s) is int and 1 <= life_s <= MAX_EXPIRES_S)):
        return None
    collapse_id, dedupe_key = get("collapse_id"), get("dedupe_key")
    if not (collapse_id is None or (_is_text(collapse_id, MAX_COLLAPSE_BYTES) and collapse_id.isascii())):
        return None
    if not (dedupe_key is None or _is_text(dedupe_key, MAX_ID)):
        return None
    template, data, content = words
    return NotificationRequest(
        to=to,
        template=template,
        data=data,
        content=content,
        channels=channels,
        priority=priority,
        category=category,
        collapse_id=collapse_id,
        dedupe_key=dedupe_key,
        expires_in_s=life_s,
    )


_LIST_OR_NONE = frozenset({list, type(None)})


def _recipient(value: Any) -> Recipient | None:
    """A user by id, or one device by its token."""
    if type(value) is dict:
        if len(value) != 1:
            return None
        token = value.get("device_token")
        if _is_text(token, MAX_TOKEN):
            return Recipient(device_token=token)
        value = value.get("user")
    return Recipient(value) if type(value) is str and fault_of_user(value) is None else None


def _words(template: Any, data: Any, content: Any) -> tuple[str | None, dict[str, Any], Content | None] | None:
    """A template with its data, or a title and a body."""
    if content is None:
        if not _is_name(template) or not (
            data is None or (type(data) is dict and len(_encode(data)) <= MAX_DATA_BYTES)
        ):
            return None
        return template, data or {}, None
    if template is not None or data is not None or type(content) is not dict or not _WORDS.issuperset(content):
        return None
    title, body = content.get("title"), content.get("body")
    if title is None:
        return (None, {}, Content(None, body)) if _is_text(body, MAX_BODY) else None
    if not _is_text(title, MAX_TITLE) or not (body is None or _is_text(body, MAX_BODY)):
        return None
    is_line = (title.isprintable() and "=?" not in title) or fault_of_line(title) is None
    return (None, {}, Content(title, body)) if is_line else None


def _is_text(value: Any, longest: int) -> bool:
    return type(value) is str and 0 < len(value) <= longest


def _is_name(value: Any) -> bool:
    return type(value) is str and len(value) <= _LONGEST_NAME and _fits_name(value)


@lru_cache(maxsize=1024)
def _fits_name(text: str) -> bool:
    return NAME.fullmatch(text) is not None
