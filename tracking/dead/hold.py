"""Letters held for a change: locked where they are open, with all that is known of their deliveries and of their edits.

Only open letters are locked: who finishes a delivery locks it before its letter, and its letter is settled then.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from domain.delivery import DeliveryStatus
from domain.ids import notification_of
from domain.lanes import Channel, Priority
from domain.notification import Mode
from tracking.dead.listing import Chosen, Query

_LOCK = """
SELECT l.id FROM dead_letters l WHERE l.id = ANY($1::uuid[]) AND l.settled_at IS NULL ORDER BY l.id FOR UPDATE OF l
"""
_JOURNEYS = """
SELECT k.letter_id, d.id, d.channel, d.priority, d.mode, d.status, d.crashes, d.user_id, d.address_id,
  n.category, n.dedupe_key, n.cancelled_at, n.template, n.data,
  d.expires_at, e.version, e.data AS edited, e.expires_at AS extended_to
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) k(letter_id, id, notification_id)
JOIN deliveries d ON d.id = k.id JOIN notifications n ON n.id = k.notification_id
LEFT JOIN LATERAL (
  SELECT x.version, x.data, x.expires_at FROM dead_letter_edits x
  WHERE x.letter_id = k.letter_id ORDER BY x.version DESC LIMIT 1) e ON true
"""


@dataclass(slots=True)
class Journey:
    """A letter's delivery, and its words: as they were accepted, and as they were edited since (`version` from 1)."""

    id: UUID
    channel: Channel
    priority: Priority
    mode: Mode
    status: DeliveryStatus
    crashes: int
    user_id: UUID | None
    address_id: UUID | None
    category: str
    dedupe_key: str | None
    is_cancelled: bool
    template: str | None
    data: bytes
    expires_at: datetime
    version: int
    edited: bytes | None
    extended_to: datetime | None

    @property
    def words_now(self) -> bytes:
        """The JSON that would be sent."""
        return self.data if self.edited is None else self.edited

    @property
    def expires_now(self) -> datetime:
        """When it would be over."""
        return self.extended_to or self.expires_at


@dataclass(slots=True)
class Held:
    """A letter; `is_settled` when nothing is to be done. `journey` is None when the delivery is gone, or never was."""

    id: UUID
    delivery_id: UUID | None
    is_settled: bool
    journey: Journey | None = None


async def hold(
    conn: asyncpg.Connection,
    tenant_id: UUID,
    chosen: Chosen,
    *,
    limit: int,
    after: UUID | None = None,
    until: datetime | None = None,
    is_locking: bool = True,
    with_journeys: bool = True,
) -> list[Held]:
    """The first `limit` of these letters above an id, by id; open ones are locked until the transaction ends.

    `until` leaves those out that died later: what a replay sends and dies again is none of it any more.
    """
    query = Query(tenant_id)
    where = query.where(chosen)
    if after is not None:
        where += f" AND l.id > {query.value(after)}"
    if until is not None:
        where += f" AND l.created_at <= {query.value(until)}"
    rows = await conn.fetch(
        f"SELECT l.id, l.delivery_id, l.settled_at FROM dead_letters l WHERE {where}"  # noqa: S608  # only our own words
        f" ORDER BY l.id LIMIT {query.value(limit)}",
        *query.values,
    )
    open_ids = {row["id"] for row in rows if row["settled_at"] is None}
    if is_locking and open_ids:
        open_ids = {row["id"] for row in await conn.fetch(_LOCK, sorted(open_ids))}
    lively = [row for row in rows if row["id"] in open_ids and row["delivery_id"] is not None]
    journeys = await _journeys(conn, lively if with_journeys else [])
    return [Held(row["id"], row["delivery_id"], row["id"] not in open_ids, journeys.get(row["id"])) for row in rows]


async def _journeys(conn: asyncpg.Connection, rows: Sequence[Any]) -> dict[UUID, Journey]:
    if not rows:
        return {}
    deliveries = [row["delivery_id"] for row in rows]
    found = await conn.fetch(
        _JOURNEYS, [row["id"] for row in rows], deliveries, [notification_of(one) for one in deliveries]
    )
    return {row["letter_id"]: _journey(row) for row in found}


def _journey(row: Any) -> Journey:
    return Journey(
        id=row["id"],
        channel=Channel.of(row["channel"]),
        priority=Priority.of(row["priority"]),
        mode=Mode.of(row["mode"]),
        status=DeliveryStatus.of(row["status"]),
        crashes=row["crashes"],
        user_id=row["user_id"],
        address_id=row["address_id"],
        category=row["category"],
        dedupe_key=row["dedupe_key"],
        is_cancelled=row["cancelled_at"] is not None,
        template=row["template"],
        data=bytes(row["data"]),
        expires_at=row["expires_at"],
        version=row["version"] or 0,
        edited=bytes(row["edited"]) if row["edited"] is not None else None,
        extended_to=row["extended_to"],
    )
