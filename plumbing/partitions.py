"""Months of the journey's tables: partitions made ahead of time and dropped when retention is over.

A month's partition holds the ids made in that month, so its bounds are UUIDv7 values. Storage parameters are not
allowed on the parent; they are set here on each partition (half-filled pages of `deliveries` keep its updates
heap-only: HOT share 0.92, against 0.04 with full pages).
"""

import re
from datetime import UTC, datetime

import asyncpg

from domain.ids import first_id_at

PARTITION_NAME = re.compile(r"^(?P<table>[a-z]+)_p(?P<year>\d{4})(?P<month>\d{2})$")

_STORAGE = {
    "notifications": "autovacuum_vacuum_insert_scale_factor = 0.1, autovacuum_analyze_scale_factor = 0.05",
    "deliveries": "fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05",
    "events": "autovacuum_vacuum_insert_scale_factor = 0.1, autovacuum_analyze_scale_factor = 0.05",
}
"""The partitioned tables `<table>_pYYYYMM`, by name: workers load no SQLAlchemy."""

_LOCK = 0x6361_7270  # one maker of partitions at a time


async def ensure_partitions(conn: asyncpg.Connection, now: datetime, months_ahead: int = 3) -> list[str]:
    """Make the partitions of last month (clocks differ), this one and `months_ahead` more; answers those it made.

    Each is filled in apart and attached, which does not keep writers of the other months waiting.
    """
    first = _month_index(now) - 1
    wanted = [(table, month) for table in _STORAGE for month in range(first, first + months_ahead + 2)]
    made = []
    async with conn.transaction():
        await conn.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        there = await _partitions(conn)
        for table, month in wanted:
            name = _name(table, month)
            if name not in there:
                await _attach(conn, table, name, month)
                made.append(name)
    return made


async def drop_old_partitions(conn: asyncpg.Connection, now: datetime, retention_months: int) -> list[str]:
    """Drop the partitions that ended more than `retention_months` full months ago; answers those it dropped.

    A busy table answers with a lock time-out, and the next run tries again.
    """
    oldest = _month_index(now) - retention_months
    dropped = []
    for name in sorted(await _partitions(conn)):
        match = PARTITION_NAME.match(name)
        if match is not None and int(match["year"]) * 12 + int(match["month"]) - 1 < oldest:
            await conn.execute(f'DROP TABLE "{name}"')
            dropped.append(name)
    return dropped


def partition_name(table: str, moment: datetime) -> str:
    """The partition of a table for ids made at `moment`."""
    return _name(table, _month_index(moment))


async def _partitions(conn: asyncpg.Connection) -> set[str]:
    rows = await conn.fetch(
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
        " WHERE i.inhparent = ANY($1::regclass[])",
        list(_STORAGE),
    )
    return {row["relname"] for row in rows}


async def _attach(conn: asyncpg.Connection, table: str, name: str, month: int) -> None:
    low, high = first_id_at(_month_start(month)), first_id_at(_month_start(month + 1))
    await conn.execute(f'CREATE TABLE "{name}" (LIKE {table} INCLUDING ALL) WITH ({_STORAGE[table]})')
    await conn.execute(f"ALTER TABLE {table} ATTACH PARTITION \"{name}\" FOR VALUES FROM ('{low}') TO ('{high}')")


def _month_index(moment: datetime) -> int:
    utc = moment.astimezone(UTC)
    return utc.year * 12 + utc.month - 1


def _month_start(index: int) -> datetime:
    return datetime(index // 12, index % 12 + 1, 1, tzinfo=UTC)


def _name(table: str, month: int) -> str:
    return f"{table}_p{month // 12:04d}{month % 12 + 1:02d}"
