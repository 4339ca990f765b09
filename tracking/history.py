"""Reads of the journey for the API: one notification, lists, status and explanation; always within one tenant.

No statement here joins by a range that is known only at run time: on five million rows the planner read whole tables
for a page of fifty (more than a minute instead of a millisecond).
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import defaultdict
from collections.abc import Sequence
from hashlib import blake2b
from uuid import UUID

import asyncpg

from domain.errors import Fault, RequestRefused
from domain.ids import delivery_range, first_id_at, notification_of
from plumbing.database import borrow
from tracking.views import (
    DELIVERY_COLUMNS,
    EVENT_COLUMNS,
    NOTIFICATION_COLUMNS,
    View,
    delivery_in_full,
    delivery_view,
    event_view,
    gate_views,
    notification_view,
    state_view,
)
from tracking.walk import Filters, walk

MAX_LIMIT = 100

_ONE = f"""
SELECT {NOTIFICATION_COLUMNS}, n.decisions, u.external_id AS user
FROM notifications n LEFT JOIN users u ON u.id = n.user_id WHERE n.id = $1 AND n.tenant_id = $2
"""  # noqa: S608  # only our own words
_SOME = f"""
SELECT {NOTIFICATION_COLUMNS}, u.external_id AS user
FROM notifications n LEFT JOIN users u ON u.id = n.user_id WHERE n.id = ANY($1::uuid[]) ORDER BY n.id DESC
"""  # noqa: S608  # only our own words
_ITS_DELIVERIES = f"""
SELECT {DELIVERY_COLUMNS} FROM deliveries d WHERE d.id > $1 AND d.id <= $2 ORDER BY d.id
"""  # noqa: S608  # only our own words
_THEIR_DELIVERIES = f"""
SELECT {DELIVERY_COLUMNS} FROM unnest($1::uuid[], $2::uuid[]) k(low, high)
  CROSS JOIN LATERAL (SELECT * FROM deliveries WHERE id > k.low AND id <= k.high ORDER BY id LIMIT 65535) d
"""  # noqa: S608  # only our own words
_EVENTS = f"""
SELECT {EVENT_COLUMNS} FROM events e WHERE e.delivery_id > $1 AND e.delivery_id <= $2 ORDER BY e.at, e.kind
"""  # noqa: S608  # only our own words
_STATUSES = """
SELECT ARRAY(SELECT d.id FROM deliveries d WHERE d.id > $2 AND d.id <= $3 ORDER BY d.id) AS ids,
  ARRAY(SELECT d.status FROM deliveries d WHERE d.id > $2 AND d.id <= $3 ORDER BY d.id) AS statuses
FROM notifications n WHERE n.id = $2 AND n.tenant_id = $1
"""
_USER = "SELECT id FROM users WHERE tenant_id = $1 AND external_id = $2"


async def one(pool: asyncpg.Pool, tenant_id: UUID, notification_id: UUID) -> View | None:
    """A notification with its deliveries and their attempts. Raises Unavailable."""
    found = await explain(pool, tenant_id, notification_id)
    return found["notification"] if found else None


async def explain(pool: asyncpg.Pool, tenant_id: UUID, notification_id: UUID) -> View | None:
    """A `notification`, the `gates`' decisions and all `events` of its deliveries, oldest first. Raises Unavailable."""
    low, high = delivery_range(notification_id)
    async with borrow(pool) as conn:
        row = await conn.fetchrow(_ONE, notification_id, tenant_id)
        if row is None:
            return None
        deliveries = await conn.fetch(_ITS_DELIVERIES, low, high)
        events = [event_view(event) for event in await conn.fetch(_EVENTS, low, high)]
    by_delivery: dict[UUID, list[View]] = defaultdict(list)
    for event in events:
        by_delivery[event["delivery_id"]].append(event)
    shown = [delivery_in_full(delivery, by_delivery[delivery["id"]]) for delivery in deliveries]
    return {"notification": notification_view(row, shown), "gates": gate_views(row), "events": events}


async def status(pool: asyncpg.Pool, tenant_id: UUID, notification_id: UUID) -> View | None:
    """A notification's `status`, and that of each delivery. Raises Unavailable."""
    async with borrow(pool) as conn:
        row = await conn.fetchrow(_STATUSES, tenant_id, *delivery_range(notification_id))
    if row is None:
        return None
    return state_view(notification_id, list(zip(row["ids"], row["statuses"], strict=True)))


async def listing(
    pool: asyncpg.Pool, tenant_id: UUID, filters: Filters, *, limit: int = 50, cursor: str | None = None
) -> View:
    """A page of this tenant's notifications, newest first: `items`, and `next_cursor`, None at the end. A page may be
    short, or empty, and still go on. `limit` is 1 to 100.

    Raises RequestRefused for a cursor that is not one of this tenant's, and Unavailable.
    """
    limit = max(1, min(limit, MAX_LIMIT))
    below = _open_cursor(tenant_id, cursor) if cursor is not None else None
    if filters.until is not None:
        end = first_id_at(filters.until)
        below = end if below is None else min(below, end)
    async with borrow(pool) as conn:
        user_id = None
        if filters.user is not None:
            user_id = await conn.fetchval(_USER, tenant_id, filters.user)
            if user_id is None:
                return {"items": [], "next_cursor": None}
        ids, on = await walk(conn, tenant_id, filters, user_id=user_id, below=below, limit=limit)
        rows = await conn.fetch(_SOME, ids) if ids else ()
        deliveries = await _deliveries(conn, ids)
    items = [notification_view(row, deliveries[row["id"]]) for row in rows]
    return {"items": items, "next_cursor": _cursor(tenant_id, on) if on is not None else None}


async def _deliveries(conn: asyncpg.Connection, ids: Sequence[UUID]) -> dict[UUID, list[View]]:
    shown: dict[UUID, list[View]] = {one: [] for one in ids}
    if ids:
        lows, highs = zip(*map(delivery_range, ids), strict=True)
        for row in await conn.fetch(_THEIR_DELIVERIES, lows, highs):
            shown[notification_of(row["id"])].append(delivery_view(row))
    return shown


def _cursor(tenant_id: UUID, last: UUID) -> str:
    return urlsafe_b64encode(last.bytes + _check(tenant_id, last.bytes)).rstrip(b"=").decode()


def _open_cursor(tenant_id: UUID, cursor: str) -> UUID:
    """The id in a cursor of this tenant; everything else was altered or is somebody else's."""
    try:
        raw = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
    except ValueError:
        raw = b""
    if len(raw) != 22 or raw[16:] != _check(tenant_id, raw[:16]):
        detail = "not a cursor of this list: begin without one"
        raise RequestRefused("invalid_cursor", detail, 422, (Fault("/cursor", detail),))
    return UUID(bytes=raw[:16])


def _check(tenant_id: UUID, raw: bytes) -> bytes:
    return blake2b(tenant_id.bytes + raw, digest_size=6, person=b"cursor").digest()
