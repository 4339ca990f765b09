"""Who gets a broadcast: valid devices of ours that were subscribed when it was published, in the order of their ids."""

from uuid import UUID

import asyncpg

from campaigns.broadcasts import Broadcast
from plumbing.database import borrow

_SUBSCRIBED = """
SELECT s.device_id FROM topic_subscriptions s JOIN devices d ON d.id = s.device_id
  AND d.tenant_id = s.tenant_id AND d.invalidated_at IS NULL AND d.provider = 'carillon'
WHERE s.tenant_id = $1 AND s.topic = $2 AND s.subscribed_at <= $3 AND s.device_id > $4
"""
_NEXT = f"{_SUBSCRIBED} ORDER BY s.device_id LIMIT $5"
_STILL = f"{_SUBSCRIBED} AND s.device_id <= $5"
"""By the same range, not by their ids: a plan made without knowing the topic's size must not read all of it."""
_FIRST = UUID(int=0)


async def following(pool: asyncpg.Pool, broadcast: Broadcast, limit: int) -> list[UUID]:
    """The next `limit` subscribers after those that are planned. Unavailable."""
    async with borrow(pool) as conn:
        rows = await conn.fetch(_NEXT, *_after(broadcast), limit)
    return [row["device_id"] for row in rows]


async def still_there(conn: asyncpg.Connection, broadcast: Broadcast, last: UUID) -> set[UUID]:
    """Those of the following up to `last` that are subscribers as of this transaction: who has left is not."""
    return {row["device_id"] for row in await conn.fetch(_STILL, *_after(broadcast), last)}


def _after(broadcast: Broadcast) -> tuple[object, ...]:
    return broadcast.tenant_id, broadcast.topic, broadcast.created_at, broadcast.cursor or _FIRST
