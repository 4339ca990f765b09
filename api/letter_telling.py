"""A dead letter as it is told: with its whole story, and with people's data masked unless it was asked for."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from api.dependencies import House
from api.letter_words import shown_words
from api.masks import HIDDEN, masked, masked_address, masked_facts
from api.schemas import dead_letters as told
from api.schemas.notifications import EventTold, GateTold, NotificationInFull
from domain.ids import notification_of
from plumbing.database import borrow
from tracking import history
from tracking.dead import listing
from tracking.dead.edit import Edit, edits_of
from tracking.dead.listing import Letter, Mark, Words
from tracking.dead.trail import Noted, trail_of
from tracking.views import View

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def cursor_of(mark: Mark) -> str:
    """Where the next page begins."""
    return f"{(mark.created_at - _EPOCH) // _MICROSECOND}-{mark.id.hex}"


def mark_of(cursor: str | None) -> Mark | None:
    """The place that a cursor (of the right form) names."""
    if cursor is None:
        return None
    moment, _, identifier = cursor.partition("-")
    return Mark(_EPOCH + timedelta(microseconds=int(moment)), UUID(identifier))


async def in_full(house: House, letter: Letter, *, is_revealed: bool) -> told.LetterInFull:
    """A letter with everything that is known of it. Raises Unavailable."""
    words, explained = None, None
    reads = house.reads(letter.tenant_id)
    if letter.delivery_id is not None:
        explained = await history.explain(reads, letter.tenant_id, notification_of(letter.delivery_id))
    async with borrow(reads) as conn:
        if letter.delivery_id is not None:
            words = await listing.words_of(conn, letter.delivery_id, notification_of(letter.delivery_id))
        edits = await edits_of(conn, letter.tenant_id, letter.id)
        trail = await trail_of(conn, letter.tenant_id, letter.id)
    newest = edits[0] if edits else None
    data, content = (
        _words(newest.data if newest else words.data, words, is_revealed=is_revealed) if words else (None, None)
    )
    notification, gates, events = _journey(letter, explained, is_revealed=is_revealed)
    return told.LetterInFull(
        **in_list(letter, is_revealed=is_revealed),
        is_revealed=is_revealed,
        evidence=_evidence(letter, is_revealed=is_revealed),
        recipient=_recipient(words, is_revealed=is_revealed) if words else None,
        data=data,
        content=content,
        expires_at=newest.expires_at if newest else words.expires_at if words else None,
        edits=[_edit(edit, words, is_revealed=is_revealed) for edit in edits],
        notification=notification,
        gates=gates,
        events=events,
        trail=[_noted(line, is_revealed=is_revealed) for line in trail],
    )


def _journey(
    letter: Letter, explained: View | None, *, is_revealed: bool
) -> tuple[NotificationInFull | None, list[GateTold], list[EventTold]]:
    if explained is None:
        return None, [], []
    shown = NotificationInFull.model_validate(explained["notification"])
    events = [EventTold.model_validate(one) for one in explained["events"] if one["delivery_id"] == letter.delivery_id]
    if not is_revealed:
        for event in events:
            event.facts = masked_facts(event.facts)
        for attempt in (attempt for one in shown.deliveries for attempt in one.attempts):
            attempt.facts = masked_facts(attempt.facts)
    return shown, [GateTold.model_validate(gate) for gate in explained["gates"]], events


def in_list(letter: Letter, *, is_revealed: bool = False) -> dict[str, Any]:
    """The fields of a letter in a list."""
    return {
        "id": letter.id,
        "settled_at": letter.settled_at,
        "settlement": letter.settlement,
        "channel": letter.channel,
        "reason": letter.reason,
        "detail": letter.detail if is_revealed else masked_facts(letter.detail),
        "cluster": letter.cluster,
        "notification_id": notification_of(letter.delivery_id) if letter.delivery_id is not None else None,
        "delivery_id": letter.delivery_id,
        "created_at": letter.created_at,
    }


def _words(
    data: bytes, words: Words | None, *, is_revealed: bool
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """`(data, content)`; neither when the delivery is gone and nobody knows which it was."""
    if words is None:
        return None, None
    template_data, content = shown_words(data, is_content=words.template is None)
    return (template_data, content) if is_revealed else (masked(template_data), masked(content))


def _recipient(words: Words, *, is_revealed: bool) -> told.RecipientTold:
    if is_revealed:
        return told.RecipientTold(user=words.user, name=words.name, address=words.address)
    name = HIDDEN if words.name else None
    return told.RecipientTold(user=words.user, name=name, address=masked_address(words.address))


def _evidence(letter: Letter, *, is_revealed: bool) -> dict[str, Any]:
    """The body of a message that nobody could read may hold anything."""
    if is_revealed:
        return letter.evidence
    shown: dict[str, Any] = masked_facts({**letter.evidence})
    return {**shown, "body": HIDDEN} if "body" in shown else shown


def _edit(edit: Edit, words: Words | None, *, is_revealed: bool) -> told.EditTold:
    data, content = _words(edit.data, words, is_revealed=is_revealed)
    return told.EditTold(
        version=edit.version,
        data=data,
        content=content,
        expires_at=edit.expires_at,
        by=edit.created_by,
        at=edit.created_at,
    )


def _noted(line: Noted, *, is_revealed: bool) -> told.NotedTold:
    shown = told.NotedTold.model_validate(line)
    if not is_revealed and shown.diff is not None:
        shown.diff = [masked_operation(one) for one in shown.diff]
    return shown


def masked_operation(operation: dict[str, Any]) -> dict[str, Any]:
    """One operation of a diff: what it did, and where, without the values."""
    return {
        name: masked(value) if name in ("was", "value") else masked_facts(value) for name, value in operation.items()
    }
