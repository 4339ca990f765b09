"""A dead letter's words: shown in the form of a request, and edited as accept would have taken them."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from api.fields import Faults, Fields
from api.shape import MAX_DATA_BYTES, MAX_EXPIRES_S, read_content
from domain.clock import rfc3339
from domain.diffs import diff, merged
from domain.errors import Fault, Permanent, RequestRefused
from domain.notification import Content, PushParts
from templates.catalog import Catalog
from templates.fitting import check
from templates.render import render_content
from tracking.dead.edit import Revision
from tracking.dead.hold import Held, Journey

_encode = msgspec.json.Encoder().encode
_decode_content = msgspec.json.Decoder(Content).decode


class Wish:
    """An edit as it was asked for, its content read once. RequestRefused(422) where it has no right shape."""

    def __init__(
        self,
        *,
        data: dict[str, Any] | None,
        content: dict[str, Any] | None,
        expires_at: datetime | None,
        pointer: str = "",
        now: datetime,
    ) -> None:
        faults = Faults()
        self.pointer = pointer
        self.data = data
        self.content = read_content(Fields({"content": content}, pointer, faults)) if content is not None else None
        self.expires_at = expires_at
        if expires_at is not None and not now < expires_at <= now + timedelta(seconds=MAX_EXPIRES_S):
            faults.add(f"{pointer}/expires_at", "must lie in the coming 30 days")
        faults.raise_if_any()


def shown_words(data: bytes, *, is_content: bool) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """`(data, content)` of a request that had these words: one of them is None."""
    if not is_content:
        return msgspec.json.decode(data), None
    content = _decode_content(data)
    shown: dict[str, Any] = {"title": content.title, "body": content.body}
    if content.email is not None:
        shown["email"] = msgspec.to_builtins(content.email)
    if content.sms_text is not None:
        shown["sms"] = {"text": content.sms_text}
    if content.push is not None:
        shown["push"] = {**content.push.payload, "wake": content.push.wake}
    return None, {name: words for name, words in shown.items() if words is not None}


def revision_of(held: Held, wish: Wish, catalog: Catalog) -> Revision:
    """What the wish makes of a letter. RequestRefused: 409 when it is settled, 422 where the words do not fit."""
    if held.is_settled:
        raise RequestRefused("already_settled", f"letter {held.id} is settled: nothing of it will be sent", 409)
    journey = held.journey
    if journey is None:
        raise RequestRefused("unreadable", f"letter {held.id} has no delivery: there is nothing to edit")
    if wish.data is not None:
        data = _new_data(journey, wish, catalog)
    elif wish.content is not None:
        data = _new_content(journey, wish.content, wish.pointer)
    else:
        data = journey.words_now
    expires_at = wish.expires_at or journey.expires_now
    return Revision(held.id, journey, data, expires_at, _differences(journey, data, expires_at))


def _new_data(journey: Journey, wish: Wish, catalog: Catalog) -> bytes:
    if journey.template is None:
        raise _refused("invalid_data", f"{wish.pointer}/data", "its words came as content: edit that")
    message = catalog.get(journey.template)
    if message is None:
        detail = f"the template {journey.template!r} is not there any more"
        raise _refused("unknown_template", f"{wish.pointer}/data", detail)
    data = merged(msgspec.json.decode(journey.words_now), wish.data)
    encoded = _encode(data)
    if len(encoded) > MAX_DATA_BYTES:
        detail = f"has {len(encoded)} bytes as JSON, at most {MAX_DATA_BYTES} are allowed"
        raise _refused("invalid_data", f"{wish.pointer}/data", detail)
    faults = check(message, [journey.channel], data)
    if faults:
        detail = f"data does not fit template {journey.template!r}: {faults[0].detail}"
        placed = tuple(Fault(wish.pointer + fault.pointer, fault.detail) for fault in faults)
        raise RequestRefused("invalid_data", detail, faults=placed)
    return encoded


def _new_content(journey: Journey, content: Content, pointer: str) -> bytes:
    if journey.template is not None:
        detail = f"its words come from the template {journey.template!r}: edit data"
        raise _refused("invalid_content", f"{pointer}/content", detail)
    before = _decode_content(journey.words_now).push
    if content.push is not None and before is not None:  # what no request can say stays as it is
        push = PushParts(content.push.payload, content.push.wake, before.is_live_only, before.topic)
        content = Content(content.title, content.body, content.email, content.sms_text, push)
    try:
        render_content(content, journey.channel, unsubscribe_url=None, priority=journey.priority)
    except Permanent as error:
        raise _refused("invalid_content", f"{pointer}/content", error.answer) from error
    return _encode(content)


def _differences(journey: Journey, data: bytes, expires_at: datetime) -> list[dict[str, Any]]:
    is_content = journey.template is None
    before, after = (shown_words(words, is_content=is_content) for words in (journey.words_now, data))
    place = "/content" if is_content else "/data"
    found = diff(before[is_content], after[is_content], place)
    return found + diff(rfc3339(journey.expires_now), rfc3339(expires_at), "/expires_at")


def _refused(reason: str, pointer: str, detail: str) -> RequestRefused:
    return RequestRefused(reason, f"{pointer}: {detail}", faults=(Fault(pointer, detail),))


def letter_not_found(letter_id: UUID) -> RequestRefused:
    """404 for a letter that does not exist, or is somebody else's."""
    return RequestRefused("not_found", f"there is no dead letter {letter_id}", 404)
