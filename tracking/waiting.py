"""What waits too long: to be published, to be heard of, and under a lease that is over. By indexes, whatever waits."""

from typing import NamedTuple
from uuid import UUID

import asyncpg

from domain.lanes import DECLARED_LANES, Lane
from tracking.sql import sql

LOOKED_AT = 500
"""Overdue envelopes in which stuck deliveries are looked for: more are counted as so many."""

_OLDEST = """
SELECT k.channel, k.priority, extract(epoch FROM now() - o.available_at)::float AS age_s
FROM unnest($1::smallint[], $2::smallint[]) k(channel, priority)
CROSS JOIN LATERAL (
  SELECT available_at FROM outbox
  WHERE published_at IS NULL AND channel = k.channel AND priority = k.priority AND available_at <= now()
  ORDER BY available_at LIMIT 1) o
"""
_OVERDUE = """
SELECT greatest(0, coalesce(extract(epoch FROM now() - min(watch_at)), 0))::float FROM (
  SELECT watch_at FROM outbox WHERE published_at IS NOT NULL AND watch_at IS NOT NULL ORDER BY watch_at LIMIT 1) o
"""
_STUCK = sql("""
SELECT d.id, extract(epoch FROM now() - d.lease_until)::float AS over_s
FROM (SELECT delivery_ids FROM outbox WHERE published_at IS NOT NULL AND watch_at < now() - make_interval(secs => $1)
  ORDER BY watch_at LIMIT $2) o
CROSS JOIN LATERAL unnest(o.delivery_ids) k(id) JOIN deliveries d ON d.id = k.id
WHERE d.status = <sending> AND d.lease_until < now() - make_interval(secs => $1) ORDER BY over_s DESC
""")


class Stuck(NamedTuple):
    """A delivery that is `sending` though its lease was over so long ago."""

    id: UUID
    over_s: float


async def oldest_unpublished(conn: asyncpg.Connection) -> dict[Lane, float]:
    """For how long the oldest due envelope of each lane waits to be published, in seconds; empty lanes are missing."""
    lanes = {(lane.channel.code, lane.priority.code): lane for lane in DECLARED_LANES}
    rows = await conn.fetch(_OLDEST, *zip(*lanes, strict=True))
    return {lanes[row["channel"], row["priority"]]: row["age_s"] for row in rows}


async def overdue_s(conn: asyncpg.Connection) -> float:
    """For how long the oldest envelope of which nothing was heard in time waits for the sweeper, in seconds."""
    found: float = await conn.fetchval(_OVERDUE)
    return found


async def stuck_sending(conn: asyncpg.Connection, *, over_s: float) -> list[Stuck]:
    """Deliveries under a lease that was over `over_s` seconds ago, the longest first."""
    return [Stuck(*row) for row in await conn.fetch(_STUCK, float(over_s), LOOKED_AT)]
