"""Which columns accept fills, of which type and from which field of a row: for COPY, and for arrays to be unnested."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from domain.delivery import PROBLEMS
from tracking.rows import DeliveryRow, IdempotencyRow, NotificationRow, OutboxRow, Records

Types: TypeAlias = dict[str, str]
Names: TypeAlias = frozenset[str]
Columns: TypeAlias = Sequence[Sequence[Any]]

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


EVERYTHING = frozenset({*NOTIFICATION, *DELIVERY, *OUTBOX, *IDEMPOTENCY, *WINDOW})
"""Columns whose values all travel as arrays: right for every batch."""

NOTHING: Names = frozenset()
"""Columns of which none travels as an array: right for one row of each table."""

_OF_ITSELF = frozenset(
    {"id", "user_id", "address_id", "data", "decisions", "collapse_id", "dedupe_key", "reference", "recipient_version"}
    | {"key", "fingerprint", "notification_id", "delivery_ids"}
)
_OF_ITS_KIND = frozenset(
    ("template", "template_version", "category", "locale", "channel", "priority", "expires_at", "envelope_id", "length")
)
_FORMS = (_OF_ITSELF, _OF_ITSELF | _OF_ITS_KIND, EVERYTHING)
"""What may differ within a batch: rows of one kind, of one tenant, all others. Few, since each is a statement that
PostgreSQL must plan and keep."""


def arrays_for(names: Sequence[str], columns: Columns) -> Names:
    """The names of those columns that must travel as arrays; each of the others holds one value. The columns of a table
    without rows are empty: arrays say so too."""
    differing = {
        name
        for name, values in zip(names, columns, strict=True)
        if name not in _OF_ITSELF and values and values.count(values[0]) < len(values)
    }
    return next(form for form in _FORMS if differing <= form)


def travelling(names: Sequence[str], columns: Columns, arrays: Names) -> list[Any]:
    """The columns as arguments of a statement: those of `arrays` as they are, of the others their one value."""
    return [
        values if name in arrays else values[0] if values else None for name, values in zip(names, columns, strict=True)
    ]


def _read(types: Types, first: int, arrays: Names) -> tuple[dict[str, str], str]:
    """How a statement reads each column, whose parameters begin at `first`, and the FROM that this takes."""
    words, names, unnested = dict[str, str](), list[str](), list[str]()
    for place, (name, kind) in enumerate(types.items(), start=first):
        if name in arrays:
            words[name] = f"k.{name}"
            names.append(name)
            unnested.append(f"${place}::{kind}[]")
        else:
            words[name] = f"${place}::{kind}"
    return words, f" FROM unnest({', '.join(unnested)}) k({', '.join(names)})" if names else ""


def insert(table: str, types: Types, first: int, *, where: str = "true", arrays: Names = EVERYTHING) -> str:
    """The INSERT of these columns, from parameters that begin at `first`: arrays to be unnested, and single values,
    which spare both sides the arrays."""
    words, source = _read(types, first, arrays)
    if "delivery_ids" in words:
        words["delivery_ids"] += "::uuid[]"
    asked = f"{', '.join(words.values())}{source} WHERE {where}"
    return f"INSERT INTO {table} ({', '.join(types)}) SELECT {asked}"  # our words


def remember(first: int, *, where: str = "true", arrays: Names = EVERYTHING) -> str:
    """The INSERT of idempotency keys, in order. Under a key's advisory lock a row that was there before can only be an
    expired one."""
    words, source = _read(IDEMPOTENCY, first, arrays)
    return (
        "INSERT INTO idempotency AS kept (key, fingerprint, notification_id, answer, expires_at)"
        f" SELECT {', '.join(words.values())}, now() + interval '24 hours'"
        f"{source} WHERE {where} ORDER BY {words['key']} ON CONFLICT (key) DO UPDATE SET"
        " fingerprint = excluded.fingerprint, notification_id = excluded.notification_id, answer = excluded.answer,"
        " expires_at = excluded.expires_at WHERE kept.expires_at <= now()"
    )


def open_windows(first: int, *, where: str = "true", arrays: Names = EVERYTHING) -> str:
    """The INSERT of dedupe windows, in order, over those that are over; it returns the keys that were won."""
    words, source = _read(WINDOW, first, arrays)
    return (
        "INSERT INTO dedupe AS held (key, notification_id, expires_at)"
        f" SELECT {words['key']}, {words['notification_id']}, now() + {words['length']}"
        f"{source} WHERE {where} ORDER BY {words['key']}"
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


def of_keys(records: Records) -> Columns:
    """The columns of IDEMPOTENCY."""
    return _turned(records.idempotency, _of_key, len(IDEMPOTENCY))


def _turned(rows: Sequence[Any], values: Callable[[Any], tuple[Any, ...]], width: int) -> Columns:
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
