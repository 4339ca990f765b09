"""What waits in the outbox, lane by lane, looked at by index: never slower with a million that wait."""

from dataclasses import dataclass
from datetime import datetime

import asyncpg

from domain.lanes import DECLARED_LANES, Channel, Lane, Priority

MOST_COUNTED = 2000
"""Envelopes of one lane that are counted; beyond that the answer is *more*."""

_WAITING = """
SELECT k.channel, k.priority, w.envelopes, w.deliveries, w.oldest_s
FROM unnest($1::smallint[], $2::smallint[]) k(channel, priority)
CROSS JOIN LATERAL (
  SELECT count(*) AS envelopes, coalesce(sum(cardinality(x.delivery_ids)), 0)::bigint AS deliveries,
    extract(epoch FROM now() - min(x.available_at))::float8 AS oldest_s
  FROM (
    SELECT o.delivery_ids, o.available_at FROM outbox o
    WHERE o.published_at IS NULL AND o.channel = k.channel AND o.priority = k.priority AND o.available_at <= now()
    ORDER BY o.available_at LIMIT $3) x) w
"""
_OVERDUE = """
SELECT extract(epoch FROM now() - min(o.watch_at))::float8 FROM outbox o
WHERE o.published_at IS NOT NULL AND o.watch_at <= now()
"""
_LEADERS = "SELECT name, owner, until, until > now() AS leads FROM leader ORDER BY name"


@dataclass(frozen=True, slots=True)
class LaneWaiting:
    """What is due in a lane and waits in PostgreSQL for room in the broker; at least so much where `is_more`."""

    lane: Lane
    deliveries: int
    is_more: bool
    oldest_s: float | None


@dataclass(frozen=True, slots=True)
class LeaderSeen:
    """Who holds a lease, and until when; `leads` is false when it has run out."""

    name: str
    owner: str
    until: datetime
    leads: bool


async def lanes_waiting(conn: asyncpg.Connection) -> list[LaneWaiting]:
    """Each declared lane."""
    channels = [lane.channel.code for lane in DECLARED_LANES]
    rows = await conn.fetch(_WAITING, channels, [lane.priority.code for lane in DECLARED_LANES], MOST_COUNTED)
    return [
        LaneWaiting(
            Lane(Channel.of(row["channel"]), Priority.of(row["priority"])),
            row["deliveries"],
            row["envelopes"] >= MOST_COUNTED,
            row["oldest_s"],
        )
        for row in rows
    ]


async def sweep_overdue_s(conn: asyncpg.Connection) -> float:
    """For how long the sweeper has not come by where it should have; 0 when it has."""
    overdue_s: float | None = await conn.fetchval(_OVERDUE)
    return overdue_s or 0.0


async def leaders(conn: asyncpg.Connection) -> list[LeaderSeen]:
    """The leases of this platform."""
    return [LeaderSeen(row["name"], row["owner"], row["until"], row["leads"]) for row in await conn.fetch(_LEADERS)]
