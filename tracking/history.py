"""Reads of the journey for the API: one notification, lists, status and explanation; always within one tenant.

No statement here joins by a range that is known only at run time: on five million rows the planner read whole tables
for a page of fifty (more than a minute instead of a millisecond).
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, bindparam, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from domain.delivery import DeliveryStatus
from domain.errors import Fault, RequestRefused
from domain.ids import delivery_range, first_id_at, notification_of
from domain.notification import NotificationStatus, derive_status
from plumbing.database import postgres_errors
from plumbing.tables import deliveries, devices, events, notifications, users
from tracking.views import (
    DeliveryView,
    EventView,
    Explanation,
    NotificationView,
    delivery_view,
    event_view,
    notification_view,
)
from tracking.walk import Filters, walk

MAX_LIMIT = 100

_NOTIFICATION = select(notifications, users.c.external_id).outerjoin(users, users.c.id == notifications.c.user_id)
_DELIVERIES = select(deliveries, devices.c.id.label("device_id")).outerjoin(
    devices, devices.c.id == deliveries.c.address_id
)
_DELIVERIES_OF = text("""
SELECT d.*, (SELECT v.id FROM devices v WHERE v.id = d.address_id) AS device_id
FROM unnest(:lows, :highs) k(low, high)
  CROSS JOIN LATERAL (SELECT * FROM deliveries WHERE id > k.low AND id <= k.high ORDER BY id LIMIT 65535) d
""").bindparams(bindparam("lows", type_=ARRAY(Uuid)), bindparam("highs", type_=ARRAY(Uuid)))


@dataclass(slots=True)
class Page:
    """Some notifications, newest first, and where to go on; a page may be short, or empty, and still go on."""

    items: list[NotificationView]
    next_cursor: str | None


async def one(engine: AsyncEngine, tenant_id: UUID, notification_id: UUID) -> NotificationView | None:
    """A notification with its deliveries and their attempts. Raises Unavailable."""
    found = await explain(engine, tenant_id, notification_id)
    return found.notification if found else None


async def explain(engine: AsyncEngine, tenant_id: UUID, notification_id: UUID) -> Explanation | None:
    """A notification with the gates' decisions, its deliveries and every event, oldest first. Raises Unavailable."""
    low, high = delivery_range(notification_id)
    with postgres_errors():
        async with engine.connect() as conn:
            row = await _notification(conn, tenant_id, notification_id)
            if row is None:
                return None
            wanted = _DELIVERIES.where(deliveries.c.id > low, deliveries.c.id <= high).order_by(deliveries.c.id)
            found = (await conn.execute(wanted)).mappings().all()
            told = select(events).where(events.c.delivery_id > low, events.c.delivery_id <= high)
            history = [
                event_view(event)
                for event in (await conn.execute(told.order_by(events.c.at, events.c.kind))).mappings()
            ]
    by_delivery: dict[UUID, list[EventView]] = defaultdict(list)
    for event in history:
        by_delivery[event.delivery_id].append(event)
    shown = [delivery_view(delivery, by_delivery[delivery["id"]]) for delivery in found]
    return Explanation(notification_view(row, shown), history)


async def status(
    engine: AsyncEngine, tenant_id: UUID, notification_id: UUID
) -> tuple[NotificationStatus, dict[UUID, DeliveryStatus]] | None:
    """A notification's status, and that of each delivery by its id. Raises Unavailable."""
    low, high = delivery_range(notification_id)
    with postgres_errors():
        async with engine.connect() as conn:
            if await _notification(conn, tenant_id, notification_id) is None:
                return None
            columns = select(deliveries.c.id, deliveries.c.status)
            rows = await conn.execute(
                columns.where(deliveries.c.id > low, deliveries.c.id <= high).order_by(deliveries.c.id)
            )
            statuses = {row.id: DeliveryStatus.of(row.status) for row in rows}
    return derive_status(statuses.values()), statuses


async def listing(
    engine: AsyncEngine, tenant_id: UUID, filters: Filters, *, limit: int = 50, cursor: str | None = None
) -> Page:
    """A page of this tenant's notifications, newest first. `limit` is 1 to 100.

    Raises RequestRefused for a cursor that is not one of this tenant's, and Unavailable.
    """
    limit = max(1, min(limit, MAX_LIMIT))
    below = _open_cursor(tenant_id, cursor) if cursor is not None else None
    if filters.until is not None:
        end = first_id_at(filters.until)
        below = end if below is None else min(below, end)
    with postgres_errors():
        async with engine.connect() as conn:
            user_id = None
            if filters.user is not None:
                user_id = await _user_id(conn, tenant_id, filters.user)
                if user_id is None:
                    return Page([], None)
            ids, on = await walk(conn, tenant_id, filters, user_id=user_id, below=below, limit=limit)
            rows, shown = await _rows(conn, ids), await _deliveries(conn, ids)
    items = [notification_view(row, shown[row["id"]]) for row in rows]
    return Page(items, _cursor(tenant_id, on) if on is not None else None)


async def _rows(conn: AsyncConnection, ids: Sequence[UUID]) -> Sequence[Any]:
    query = _NOTIFICATION.where(notifications.c.id.in_(ids)).order_by(notifications.c.id.desc())
    return (await conn.execute(query)).mappings().all() if ids else ()


async def _deliveries(conn: AsyncConnection, ids: Sequence[UUID]) -> dict[UUID, list[DeliveryView]]:
    shown: dict[UUID, list[DeliveryView]] = {one: [] for one in ids}
    if ids:
        lows, highs = zip(*map(delivery_range, ids), strict=True)
        rows = await conn.execute(_DELIVERIES_OF, {"lows": list(lows), "highs": list(highs)})
        for row in rows.mappings():
            shown[notification_of(row["id"])].append(delivery_view(row))
    return shown


async def _notification(conn: AsyncConnection, tenant_id: UUID, notification_id: UUID) -> Any:
    table = notifications.c
    query = _NOTIFICATION.where(table.id == notification_id, table.tenant_id == tenant_id)
    return (await conn.execute(query)).mappings().one_or_none()


async def _user_id(conn: AsyncConnection, tenant_id: UUID, external_id: str) -> UUID | None:
    query = select(users.c.id).where(users.c.tenant_id == tenant_id, users.c.external_id == external_id)
    return (await conn.execute(query)).scalar_one_or_none()


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
