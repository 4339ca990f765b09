"""All that the ledger holds of one person, a page at a time: notifications with their words, deliveries and events."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import ARRAY, Uuid, bindparam, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.delivery import DeliveryStatus
from domain.ids import delivery_range, notification_of
from domain.lanes import Channel, Priority
from domain.notification import Mode, derive_status
from domain.reasons import Reason
from plumbing.database import postgres_errors
from plumbing.reading import Connects
from plumbing.tables import notifications
from tracking.events import EventKind

_OF_RANGES = """
SELECT d.* FROM unnest(:lows, :highs) k(low, high)
CROSS JOIN LATERAL (SELECT * FROM deliveries WHERE id > k.low AND id <= k.high ORDER BY id LIMIT 65535) d
"""
_RANGES = (bindparam("lows", type_=ARRAY(Uuid)), bindparam("highs", type_=ARRAY(Uuid)))
_IDS = bindparam("ids", type_=ARRAY(Uuid))
_DELIVERIES = text(_OF_RANGES).bindparams(*_RANGES)
_EVENTS = text("""
SELECT e.* FROM unnest(:ids) k(id) CROSS JOIN LATERAL (SELECT * FROM events WHERE delivery_id = k.id OFFSET 0) e
ORDER BY e.at, e.kind
""").bindparams(_IDS)
_LETTERS = text("""
SELECT l.*, (SELECT coalesce(jsonb_agg(jsonb_build_object('version', e.version, 'at', e.created_at,
    'words', convert_from(e.data, 'UTF8')::jsonb) ORDER BY e.version), '[]') FROM dead_letter_edits e
    WHERE e.letter_id = l.id) AS edits,
  (SELECT coalesce(jsonb_agg(jsonb_build_object('at', a.created_at, 'what', a.what, 'diff', a.diff) ORDER BY a.id),
    '[]') FROM dead_letter_audit a WHERE a.letter_id = l.id) AS trail
FROM dead_letters l WHERE l.delivery_id = ANY(:ids) ORDER BY l.created_at
""").bindparams(_IDS)


@dataclass(slots=True)
class Page:
    """Some notifications with all that belongs to them, the dead letters of their deliveries, and where to go on."""

    notifications: list[dict[str, Any]]
    dead_letters: list[dict[str, Any]]
    last: UUID | None


async def page(engine: Connects, user_id: UUID, *, after: UUID, limit: int) -> Page:
    """At most `limit` notifications of a user, oldest first, from after an id on. Unavailable."""
    table = notifications.c
    wanted = select(notifications).where(table.user_id == user_id, table.id > after).order_by(table.id).limit(limit)
    with postgres_errors():
        async with engine.connect() as conn:
            rows = (await conn.execute(wanted)).mappings().all()
            if not rows:
                return Page([], [], None)
            lows, highs = zip(*(delivery_range(row["id"]) for row in rows), strict=True)
            found = (await conn.execute(_DELIVERIES, {"lows": list(lows), "highs": list(highs)})).mappings().all()
            ids = [row["id"] for row in found]
            events = await _events(conn, ids)
            letters = [_letter(row) for row in (await conn.execute(_LETTERS, {"ids": ids})).mappings()]
    deliveries: dict[UUID, list[Mapping[Any, Any]]] = defaultdict(list)
    for row in found:
        deliveries[notification_of(row["id"])].append(row)
    told = [_notification(row, deliveries[row["id"]], events) for row in rows]
    return Page(told, letters, rows[-1]["id"] if len(rows) == limit else None)


async def _events(conn: AsyncConnection, ids: Sequence[UUID]) -> dict[UUID, list[dict[str, Any]]]:
    events: dict[UUID, list[dict[str, Any]]] = defaultdict(list)
    for row in (await conn.execute(_EVENTS, {"ids": ids})).mappings():
        told = {"at": row["at"], "kind": EventKind.of(row["kind"]), "attempt": row["attempt"]}
        events[row["delivery_id"]].append({**told, "facts": msgspec.Raw(row["detail"] or b"{}")})
    return events


def _notification(
    row: Mapping[Any, Any], deliveries: Sequence[Mapping[Any, Any]], events: Mapping[UUID, Sequence[dict[str, Any]]]
) -> dict[str, Any]:
    names = "id template template_version locale category collapse_id dedupe_key duplicate_of reference send_at"
    facts = {name: row[name] for name in (*names.split(), "expires_at", "cancelled_at", "created_at")}
    return {
        **facts,
        "status": derive_status(DeliveryStatus.of(each["status"]) for each in deliveries),
        "mode": Mode.of(row["mode"]),
        "priority": Priority.of(row["priority"]),
        "broadcast": row["campaign_id"],
        "data": msgspec.Raw(row["data"]),
        "decisions": msgspec.Raw(row["decisions"]),
        "deliveries": [_delivery(each, events.get(each["id"], ())) for each in deliveries],
    }


def _delivery(row: Mapping[Any, Any], events: Sequence[dict[str, Any]]) -> dict[str, Any]:
    names = ("id", "address_id", "attempt", "next_attempt_at", "provider", "provider_id", "created_at", "updated_at")
    return {
        **{name: row[name] for name in names},
        "channel": Channel.of(row["channel"]),
        "status": DeliveryStatus.of(row["status"]),
        "reason": Reason.of(row["reason"]) if row["reason"] is not None else None,
        "events": events,
    }


def _letter(row: Mapping[Any, Any]) -> dict[str, Any]:
    names = "id delivery_id reason detail fingerprint evidence created_at settled_at settlement edits trail"
    return {name: row[name] for name in names.split()}
