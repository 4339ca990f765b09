"""Counts of deliveries by the hour, made afresh for recent hours by the leader, and the statistics read from them.

An hour is counted whole, by one range of the primary key and within a time limit: some 200,000 deliveries a second on
two cores. An hour of more than about four million is given up, and `as_of` tells how old its numbers are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import func, select

from domain.delivery import DeliveryStatus
from domain.ids import first_id_at
from domain.lanes import Channel
from domain.notification import Mode
from plumbing.database import postgres_errors
from plumbing.reading import Connects
from plumbing.tables import delivery_counts

_LOCK = 0x6361_7271
_TIMEOUT_S = 20.0
_SETTINGS = """
SELECT set_config('statement_timeout', '20s', true), set_config('plan_cache_mode', 'force_custom_plan', true),
  set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'on', true),
  set_config('enable_mergejoin', 'on', true)
"""
_CLEAR = "DELETE FROM delivery_counts WHERE hour = $1"
_COUNT = """
INSERT INTO delivery_counts (tenant_id, hour, mode, channel, category, status, count, as_of)
SELECT d.tenant_id, $1, d.mode, d.channel, n.category, d.status, count(*), now()
FROM deliveries d JOIN notifications n ON n.id = (left(d.id::text, 32) || '0000')::uuid
WHERE d.id >= $2 AND d.id < $3 AND n.id >= $2 AND n.id < $3
GROUP BY 1, 3, 4, 5, 6
"""


class GroupBy(StrEnum):
    """By what statistics can be split, beside the status."""

    CHANNEL = "channel"
    CATEGORY = "category"
    HOUR = "hour"


@dataclass(slots=True)
class Count:
    """How many deliveries of a group stand at `status`."""

    group: dict[str, str | datetime]
    status: DeliveryStatus
    count: int


@dataclass(slots=True)
class Stats:
    """Counts as they were at `as_of`; None when nothing was counted yet."""

    as_of: datetime | None
    counts: list[Count]


async def refresh(conn: asyncpg.Connection, moment: datetime) -> None:
    """Count the deliveries made in the hour of `moment` again, in one transaction of 20 s at most a statement."""
    hour = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    async with conn.transaction():
        await conn.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        await conn.execute(_SETTINGS)
        await conn.execute(_CLEAR, hour, timeout=_TIMEOUT_S)
        first, last = first_id_at(hour), first_id_at(hour + timedelta(hours=1))
        await conn.execute(_COUNT, hour, first, last, timeout=_TIMEOUT_S)


async def stats(
    engine: Connects, tenant_id: UUID, since: datetime, group_by: Sequence[GroupBy] = (), *, mode: Mode = Mode.LIVE
) -> Stats:
    """Deliveries of this tenant in the hours from `since` on, by status and `group_by`. Raises Unavailable."""
    table = delivery_counts.c
    groups = [table[name] for name in dict.fromkeys(group_by)]
    total = func.sum(table.count).label("total")
    query = (
        select(*groups, table.status, total, func.max(table.as_of).label("newest"))
        .where(table.tenant_id == tenant_id, table.hour >= since, table.mode == mode.code)
        .group_by(*groups, table.status)
        .order_by(*groups, table.status)
    )
    with postgres_errors():
        async with engine.connect() as conn:
            rows = (await conn.execute(query)).mappings().all()
    return Stats(
        max((row["newest"] for row in rows), default=None),
        [Count(_group(row, group_by), DeliveryStatus.of(row["status"]), int(row["total"])) for row in rows],
    )


def _group(row: Any, group_by: Sequence[GroupBy]) -> dict[str, str | datetime]:
    values = {str(name): row[name] for name in group_by}
    if GroupBy.CHANNEL in group_by:
        values["channel"] = str(Channel.of(values["channel"]))
    return values
