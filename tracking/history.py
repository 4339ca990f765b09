"""Reads of the journey for the API: one notification, lists, status and explanation; always within one tenant.

Lists walk newest first. Deliveries that are problems have an index; any other status is found by walking the tenant's
notifications, at most 2,000 per page, after which the page ends with a cursor (a longer walk would keep a reader
waiting for a status that nobody has).
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, bindparam, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from domain.delivery import PROBLEMS, DeliveryStatus
from domain.errors import Fault, RequestRefused
from domain.ids import delivery_range, first_id_at, notification_of
from domain.lanes import Channel, Priority
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

MAX_LIMIT = 100
MAX_WALK = 2000
_STEP = 250

_NOTIFICATION = select(notifications, users.c.external_id).outerjoin(users, users.c.id == notifications.c.user_id)
_DELIVERIES = select(deliveries, devices.c.id.label("device_id")).outerjoin(
    devices, devices.c.id == deliveries.c.address_id
)
_DELIVERIES_OF = text("""
SELECT d.*, v.id AS device_id
FROM unnest(:lows, :highs) k(low, high) JOIN deliveries d ON d.id > k.low AND d.id <= k.high
LEFT JOIN devices v ON v.id = d.address_id ORDER BY d.id
""").bindparams(bindparam("lows", type_=ARRAY(Uuid)), bindparam("highs", type_=ARRAY(Uuid)))


@dataclass(frozen=True, slots=True)
class Filters:
    """What a list is narrowed to. `status` and `channel` speak of one and the same delivery; `since` is inclusive."""

    status: DeliveryStatus | None = None
    channel: Channel | None = None
    user: str | None = None
    category: str | None = None
    priority: Priority | None = None
    campaign_id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None


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
            return await _walk(conn, tenant_id, filters, user_id=user_id, below=below, limit=limit)


async def _walk(
    conn: AsyncConnection, tenant_id: UUID, filters: Filters, *, user_id: UUID | None, below: UUID | None, limit: int
) -> Page:
    """Step by step down the ids, until the page is full, the walk too long or nothing is left."""
    items: list[NotificationView] = []
    walked = 0
    by_problem = filters.status in PROBLEMS and user_id is None
    step = limit + 1 if filters.status is None and filters.channel is None else _STEP
    while walked < MAX_WALK:
        if by_problem:
            ids = await _with_problem(conn, tenant_id, filters, below=below, step=step)
            rows = await _rows(conn, tenant_id, filters, user_id=user_id, ids=ids)
        else:
            rows = await _rows(conn, tenant_id, filters, user_id=user_id, below=below, step=step)
            ids = [row["id"] for row in rows]
        shown = await _deliveries(conn, [row["id"] for row in rows])
        for row in rows:
            if not _fits(shown[row["id"]], filters):
                continue
            if len(items) == limit:
                return Page(items, _cursor(tenant_id, items[-1].id))
            items.append(notification_view(row, shown[row["id"]]))
        if len(ids) < step:
            return Page(items, None)
        below, walked = ids[-1], walked + len(ids)
    return Page(items, _cursor(tenant_id, below) if below is not None else None)


async def _rows(
    conn: AsyncConnection,
    tenant_id: UUID,
    filters: Filters,
    *,
    user_id: UUID | None,
    below: UUID | None = None,
    step: int = _STEP,
    ids: Sequence[UUID] | None = None,
) -> Sequence[Any]:
    """Notifications below an id, or those of `ids`, that the filters on notifications let through; newest first."""
    table = notifications.c
    query = _NOTIFICATION.where(table.tenant_id == tenant_id)
    wanted = {
        table.user_id: user_id,
        table.category: filters.category,
        table.priority: filters.priority.code if filters.priority else None,
        table.campaign_id: filters.campaign_id,
    }
    query = query.where(*(column == value for column, value in wanted.items() if value is not None))
    if filters.since is not None:
        query = query.where(table.id >= first_id_at(filters.since))
    if ids is not None:
        query = query.where(table.id.in_(ids))
    elif below is not None:
        query = query.where(table.id < below)
    query = query.order_by(table.id.desc())
    return (await conn.execute(query if ids is not None else query.limit(step))).mappings().all()


async def _with_problem(
    conn: AsyncConnection, tenant_id: UUID, filters: Filters, *, below: UUID | None, step: int
) -> list[UUID]:
    """Ids of the next `step` notifications with a delivery that has this problem: one walk of the partial index."""
    found: list[UUID] = []
    table = deliveries.c
    problem = filters.status.code if filters.status else None
    query = select(table.id).where(table.tenant_id == tenant_id).where(table.problem == problem)
    if filters.channel is not None:
        query = query.where(table.channel == filters.channel.code)
    if filters.since is not None:
        query = query.where(table.id >= first_id_at(filters.since))
    while len(found) < step:
        part = query if below is None else query.where(table.id < below)
        ids = [row.id for row in await conn.execute(part.order_by(table.id.desc()).limit(step))]
        fresh = dict.fromkeys(notification_of(one) for one in ids)
        found.extend(one for one in fresh if not found or one != found[-1])
        if len(ids) < step:
            break
        below = found[-1]
    return found[:step]


async def _deliveries(conn: AsyncConnection, ids: Sequence[UUID]) -> dict[UUID, list[DeliveryView]]:
    shown: dict[UUID, list[DeliveryView]] = {one: [] for one in ids}
    if ids:
        lows, highs = zip(*map(delivery_range, ids), strict=True)
        rows = await conn.execute(_DELIVERIES_OF, {"lows": list(lows), "highs": list(highs)})
        for row in rows.mappings():
            shown[notification_of(row["id"])].append(delivery_view(row))
    return shown


def _fits(shown: Sequence[DeliveryView], filters: Filters) -> bool:
    if filters.status is None and filters.channel is None:
        return True
    return any(
        filters.status in (None, delivery.status) and filters.channel in (None, delivery.channel) for delivery in shown
    )


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
