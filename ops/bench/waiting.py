"""Fills a lane with a backlog: copies of notifications that were accepted for real, waiting in the to-do list.

Copies, so that whatever accept writes is there; made by set-based SQL, as a million of them could not be sent in time.
"""

import time
from collections.abc import Callable, Sequence
from uuid import UUID

import asyncpg

from domain.delivery import DeliveryStatus
from domain.ids import uuid7
from ops.stack.database import connected
from plumbing.tables import deliveries, notifications

_CHUNK = 50_000
_OF_NOTE = ", ".join(column.name for column in notifications.c if column.name != "id")
_OWN = ("id", "envelope_id", "status")
_OF_DELIVERY = ", ".join(column.name for column in deliveries.c if column.name not in _OWN)
_ID = """(lpad(to_hex($3::bigint + n / 1000), 12, '0') || '7' || substr(md5($4::text || n), 1, 3) || '8'
  || substr(md5($4::text || n), 4, 11) || '{low}')::uuid"""
_COPIES = """
INSERT INTO {table} ({own}, {columns}) SELECT {values}, {columns}
FROM generate_series($1::bigint, $2::bigint) n JOIN (
  SELECT row_number() OVER (ORDER BY id) - 1 AS place, * FROM {table} WHERE id = ANY($5::uuid[])) p
ON p.place = n % cardinality($5::uuid[])
"""
_NOTES = _COPIES.format(table="notifications", own="id", columns=_OF_NOTE, values=_ID.format(low="0000"))
_DELIVERIES = _COPIES.format(
    table="deliveries",
    own="id, envelope_id, status",
    columns=_OF_DELIVERY,
    values=f"{_ID.format(low='0001')}, md5($4::text || 'e' || n / $6::int)::uuid, {DeliveryStatus.QUEUED.code}",
)
_ENVELOPES = """
INSERT INTO outbox (id, tenant_id, channel, priority, delivery_ids, available_at)
SELECT envelope_id, tenant_id, channel, priority, array_agg(id ORDER BY id), now()
FROM deliveries WHERE id > $1 AND envelope_id = ANY(ARRAY(
  SELECT md5($2::text || 'e' || e)::uuid FROM generate_series($3::bigint / $5::int, $4::bigint / $5::int) e))
GROUP BY 1, 2, 3, 4
"""


async def fill_waiting(
    database_url: str, *, originals: Sequence[UUID], count: int, per_envelope: int, say: Callable[[str], None]
) -> float:
    """Add `count` waiting copies of these deliveries, so many to an envelope; how many seconds it took.

    Each original belongs to a notification with one delivery; it may itself be at its end already.
    """
    began, now_ms, salt = time.monotonic(), time.time_ns() // 1_000_000, uuid7().hex[-8:]
    notes = [UUID(int=one.int & ~0xFFFF) for one in originals]
    chunk = max(1, _CHUNK // per_envelope) * per_envelope
    async with connected(database_url) as conn:
        await conn.execute("SET synchronous_commit = off")
        for first in range(0, count, chunk):
            last = min(first + chunk, count) - 1
            async with conn.transaction():
                await _add(conn, first, last, now_ms, salt, notes=notes, per_envelope=per_envelope)
            say(f"{last + 1:,} of {count:,} wait")
        await conn.execute("ANALYZE notifications, deliveries, outbox")
    return time.monotonic() - began


async def _add(
    conn: asyncpg.Connection, first: int, last: int, now_ms: int, salt: str, *, notes: list[UUID], per_envelope: int
) -> None:
    await conn.execute(_NOTES, first, last, now_ms, salt, notes)
    originals = [UUID(int=one.int | 1) for one in notes]
    await conn.execute(_DELIVERIES, first, last, now_ms, salt, originals, per_envelope)
    since = UUID(int=(now_ms + first // 1000) << 80)
    await conn.execute(_ENVELOPES, since, salt, first, last, per_envelope)
