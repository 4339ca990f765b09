"""What does not move as it should, and what the platform does about it by itself. By indexes, whatever waits."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from domain.delivery import DeliveryStatus
from domain.lanes import Channel, Lane, Priority
from tracking.sql import sql

LOOKED_AT = 200
"""Envelopes of each kind that are looked into."""

MOST_TOLD = 100

OVERDUE_S = 15.0
"""The sweeper comes by every five seconds, and the relay every second: what is later than this is stuck."""

_OPEN = sql("""
SELECT d.id, d.channel, d.priority, d.status, d.attempt, d.lease_until, d.next_attempt_at, d.expires_at, o.watch_at,
  now() AS now
FROM (
  SELECT o.id, o.delivery_ids, o.watch_at FROM outbox o WHERE o.published_at IS NOT NULL
  ORDER BY o.watch_at LIMIT $2) o
CROSS JOIN LATERAL unnest(o.delivery_ids) k(id) JOIN deliveries d ON d.id = k.id
WHERE d.tenant_id = $1 AND d.envelope_id = o.id AND (
  d.status = <sending> AND d.lease_until < now()
  OR d.status = <resting> AND d.next_attempt_at < now() - make_interval(secs => $3))
ORDER BY coalesce(d.lease_until, d.next_attempt_at) LIMIT $4
""")
_UNPUBLISHED = """
SELECT k.channel, k.priority, w.envelopes, w.oldest_s
FROM unnest($1::smallint[], $2::smallint[]) k(channel, priority) CROSS JOIN LATERAL (
  SELECT count(*) AS envelopes, extract(epoch FROM now() - min(x.available_at))::float8 AS oldest_s FROM (
    SELECT o.available_at FROM outbox o
    WHERE o.published_at IS NULL AND o.channel = k.channel AND o.priority = k.priority
      AND o.available_at < now() - make_interval(secs => $3)
    ORDER BY o.available_at LIMIT $4) x) w
WHERE w.envelopes > 0
"""


@dataclass(frozen=True, slots=True)
class StuckDelivery:
    """A delivery that is late: since when, and when the sweeper looks at it by itself."""

    id: UUID
    lane: Lane
    status: DeliveryStatus
    attempt: int
    since: datetime
    looked_at: datetime
    expires_at: datetime
    now: datetime


@dataclass(frozen=True, slots=True)
class StuckLane:
    """Envelopes that should have been published: at most LOOKED_AT are counted."""

    lane: Lane
    envelopes: int
    oldest_s: float


async def stuck_deliveries(conn: asyncpg.Connection, tenant_id: UUID) -> list[StuckDelivery]:
    """Those `sending` past their lease and `resting` past due among the envelopes that are looked at next."""
    rows = await conn.fetch(_OPEN, tenant_id, LOOKED_AT, OVERDUE_S, MOST_TOLD)
    return [
        StuckDelivery(
            id=row["id"],
            lane=_lane(row),
            status=DeliveryStatus.of(row["status"]),
            attempt=row["attempt"],
            since=row["lease_until"] or row["next_attempt_at"],
            looked_at=max(row["watch_at"], row["now"]),
            expires_at=row["expires_at"],
            now=row["now"],
        )
        for row in rows
    ]


async def unpublished(conn: asyncpg.Connection, lanes: list[Lane]) -> list[StuckLane]:
    """The lanes in which something should have been published OVERDUE_S ago."""
    channels, priorities = [lane.channel.code for lane in lanes], [lane.priority.code for lane in lanes]
    rows = await conn.fetch(_UNPUBLISHED, channels, priorities, OVERDUE_S, LOOKED_AT)
    return [StuckLane(_lane(row), row["envelopes"], row["oldest_s"]) for row in rows]


def _lane(row: Any) -> Lane:
    return Lane(Channel.of(row["channel"]), Priority.of(row["priority"]))
