"""Which columns accept fills, of which type and from which field of a row: for COPY, and for arrays to be unnested."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from domain.delivery import PROBLEMS
from tracking.rows import DeliveryRow, IdempotencyRow, NotificationRow, OutboxRow, Records

Types: TypeAlias = dict[str, str]

NOTIFICATION: Types = {
    "id": "uuid",
    "tenant_id": "uuid",
    "user_id": "uuid",
    "campaign_id": "uuid",
    "mode": "smallint",
    "template": "text",
    "template_version": "bigint",
    "locale": "text",
    "category": "text",
    "priority": "smallint",
    "data": "bytea",
    "decisions": "bytea",
    "collapse_id": "text",
    "dedupe_key": "text",
    "duplicate_of": "uuid",
    "reference": "text",
    "send_at": "timestamptz",
    "expires_at": "timestamptz",
    "created_at": "timestamptz",
}
DELIVERY: Types = {
    "id": "uuid",
    "tenant_id": "uuid",
    "user_id": "uuid",
    "address_id": "uuid",
    "envelope_id": "uuid",
    "recipient_version": "bigint",
    "recheck_at": "timestamptz",
    "channel": "smallint",
    "priority": "smallint",
    "mode": "smallint",
    "status": "smallint",
    "problem": "smallint",
    "reason": "smallint",
    "next_attempt_at": "timestamptz",
    "expires_at": "timestamptz",
    "created_at": "timestamptz",
    "updated_at": "timestamptz",
}
OUTBOX: Types = {
    "id": "uuid",
    "tenant_id": "uuid",
    "channel": "smallint",
    "priority": "smallint",
    "delivery_ids": "text",  # an array of arrays would be unnested flat: it travels as text
    "available_at": "timestamptz",
}
IDEMPOTENCY: Types = {"key": "uuid", "fingerprint": "uuid", "notification_id": "uuid", "answer": "bytea"}
WINDOW: Types = {"key": "uuid", "notification_id": "uuid", "length": "interval"}


def unnest(types: Types, first: int) -> str:
    """`unnest($first::…[], …) k(…)` for these columns."""
    arrays = ", ".join(f"${place}::{kind}[]" for place, kind in enumerate(types.values(), start=first))
    return f"unnest({arrays}) k({', '.join(types)})"


def insert(table: str, types: Types, first: int, *, where: str = "true", is_one: bool = False) -> str:
    """The INSERT of these columns, from arrays that begin at parameter `first`; or of one row from single values, which
    spares both sides the arrays."""
    singles = (f"${place}::{kind}" for place, kind in enumerate(types.values(), start=first))
    values = dict(zip(types, singles, strict=True)) if is_one else {name: f"k.{name}" for name in types}
    if "delivery_ids" in values:
        values["delivery_ids"] += "::uuid[]"
    source = "" if is_one else f" FROM {unnest(types, first)}"
    words = ", ".join(values.values())
    return f"INSERT INTO {table} ({', '.join(types)}) SELECT {words}{source} WHERE {where}"  # our words


def remember(first: int, *, where: str = "true") -> str:
    """The INSERT of idempotency keys, in order. Under a key's advisory lock a row that was there before can only be an
    expired one."""
    return (
        "INSERT INTO idempotency AS kept (key, fingerprint, notification_id, answer, expires_at)"  # noqa: S608  # our words
        " SELECT k.key, k.fingerprint, k.notification_id, k.answer, now() + interval '24 hours'"
        f" FROM {unnest(IDEMPOTENCY, first)} WHERE {where} ORDER BY k.key ON CONFLICT (key) DO UPDATE SET"
        " fingerprint = excluded.fingerprint, notification_id = excluded.notification_id, answer = excluded.answer,"
        " expires_at = excluded.expires_at WHERE kept.expires_at <= now()"
    )


def open_windows(first: int, *, where: str = "true") -> str:
    """The INSERT of dedupe windows, in order, over those that are over; it returns the keys that were won."""
    return (
        "INSERT INTO dedupe AS held (key, notification_id, expires_at)"  # noqa: S608  # our words
        f" SELECT k.key, k.notification_id, now() + k.length FROM {unnest(WINDOW, first)} WHERE {where} ORDER BY k.key"
        " ON CONFLICT (key) DO UPDATE SET notification_id = excluded.notification_id,"
        " expires_at = excluded.expires_at WHERE held.expires_at < now() RETURNING key"
    )


def of_journey(records: Records) -> list[Any]:
    """Notifications, deliveries and envelopes as the arrays of one statement."""
    return [
        *_turned(records.notifications, of_notification, len(NOTIFICATION)),
        *_turned(records.deliveries, of_delivery, len(DELIVERY)),
        *_turned(records.outbox, _of_envelope_as_text, len(OUTBOX)),
    ]


def of_one_journey(records: Records) -> list[Any]:
    """One notification, delivery and envelope as single values."""
    (note,), (delivery,), (envelope,) = records.notifications, records.deliveries, records.outbox
    return [*of_notification(note), *of_delivery(delivery), *_of_envelope_as_text(envelope)]


def of_keys(records: Records) -> list[Any]:
    """Idempotency keys as the arrays of one statement."""
    return _turned(records.idempotency, _of_key, len(IDEMPOTENCY))


def _turned(rows: Sequence[Any], values: Callable[[Any], tuple[Any, ...]], width: int) -> list[Any]:
    """The rows turned into columns; `width` empty ones when there are no rows."""
    return list(zip(*map(values, rows), strict=True)) if rows else [()] * width


def of_notification(row: NotificationRow) -> tuple[Any, ...]:
    """The values of NOTIFICATION."""
    return (
        row.id,
        row.tenant_id,
        row.user_id,
        row.campaign_id,
        row.mode.code,
        row.template,
        row.template_version,
        row.locale,
        row.category,
        row.priority.code,
        row.data,
        row.decisions,
        row.collapse_id,
        row.dedupe_key,
        row.duplicate_of,
        row.reference,
        row.send_at,
        row.expires_at,
        row.created_at,
    )


def of_delivery(row: DeliveryRow) -> tuple[Any, ...]:
    """The values of DELIVERY."""
    return (
        row.id,
        row.tenant_id,
        row.user_id,
        row.address_id,
        row.envelope_id,
        row.recipient_version,
        row.recheck_at,
        row.channel.code,
        row.priority.code,
        row.mode.code,
        row.status.code,
        row.status.code if row.status in PROBLEMS else None,
        row.reason.code if row.reason is not None else None,
        row.next_attempt_at,
        row.expires_at,
        row.created_at,
        row.created_at,
    )


def of_envelope(row: OutboxRow) -> tuple[Any, ...]:
    """The values of OUTBOX, for COPY."""
    return row.id, row.tenant_id, row.lane.channel.code, row.lane.priority.code, row.delivery_ids, row.available_at


def _of_envelope_as_text(row: OutboxRow) -> tuple[Any, ...]:
    ids = "{" + ",".join(map(str, row.delivery_ids)) + "}"
    return row.id, row.tenant_id, row.lane.channel.code, row.lane.priority.code, ids, row.available_at


def _of_key(row: IdempotencyRow) -> tuple[Any, ...]:
    return row.key, row.fingerprint, row.notification_id, row.answer
