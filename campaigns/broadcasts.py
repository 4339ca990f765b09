"""Broadcasts: publications to topics, kept until every subscriber is planned. The only writer of `broadcasts`.

A broadcast is one row, however many devices it is for: it is made at once, and can be cancelled before it is planned.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from channels.push.topics import TopicStorage
from domain.errors import Unavailable
from domain.ids import uuid7
from domain.notification import Mode, NotificationRequest
from fanout.bulk import TRIES
from fanout.cases import IdempotencyKey, Sender
from fanout.gates.idempotency import key_reused, still_running
from plumbing.database import borrow, is_conflict
from tracking import ledger, once
from tracking.rows import IdempotencyRow, Records

_ADD = """
INSERT INTO broadcasts (id, tenant_id, topic, mode, key_id, request) VALUES ($1, $2, $3, $4, $5, $6) RETURNING *
"""
_STORAGE = "SELECT storage FROM topics WHERE tenant_id = $1 AND name = $2"
_GET = "SELECT * FROM broadcasts WHERE tenant_id = $1 AND id = $2"
_LIST = """
SELECT * FROM broadcasts
WHERE tenant_id = $1 AND ($2::text IS NULL OR topic = $2) AND ($3::uuid IS NULL OR id < $3) ORDER BY id DESC LIMIT $4
"""
_CANCEL = """
UPDATE broadcasts SET cancelled_at = now(), finished_at = NULL
WHERE tenant_id = $1 AND id = $2 AND cancelled_at IS NULL
"""
_OPEN = """
SELECT * FROM broadcasts WHERE finished_at IS NULL AND id > $1 ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED
"""
_HOLD = """
SELECT 1 FROM broadcasts
WHERE id = $1 AND finished_at IS NULL AND (cancelled_at IS NULL) = ($2::timestamptz IS NULL)
  AND cursor IS NOT DISTINCT FROM $3 AND withdrawn_to IS NOT DISTINCT FROM $4 FOR UPDATE SKIP LOCKED
"""
_ADVANCE = """
UPDATE broadcasts SET cursor = coalesce($2, cursor), planned = planned + $3,
  finished_at = CASE WHEN $4 THEN now() END WHERE id = $1
"""
_WITHDRAWN = "UPDATE broadcasts SET withdrawn_to = $2, finished_at = CASE WHEN $3 THEN now() END WHERE id = $1"
_FORGET = """
WITH gone AS (DELETE FROM broadcasts WHERE id IN (
  SELECT id FROM broadcasts WHERE id < $1 AND finished_at IS NOT NULL ORDER BY id LIMIT $2) RETURNING 1)
SELECT count(*)::int FROM gone
"""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(NotificationRequest).decode


class BroadcastStatus(StrEnum):
    """Where a broadcast stands: still planned, planned to its end, or stopped."""

    RUNNING = "running"
    FINISHED = "finished"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Broadcast:
    """A broadcast as it was read. `planned` counts devices, suppressed ones too; `cursor` is the last of them."""

    id: UUID
    tenant_id: UUID
    topic: str
    mode: Mode
    key_id: UUID
    request: NotificationRequest
    cursor: UUID | None
    planned: int
    created_at: datetime
    finished_at: datetime | None
    cancelled_at: datetime | None
    withdrawn_to: UUID | None

    @property
    def status(self) -> BroadcastStatus:
        if self.cancelled_at is not None:
            return BroadcastStatus.CANCELLED
        return BroadcastStatus.RUNNING if self.finished_at is None else BroadcastStatus.FINISHED


async def storage_of(pool: asyncpg.Pool, tenant_id: UUID, topic: str) -> TopicStorage | None:
    """What a topic keeps for subscribers that are away; None when there is no such topic. Unavailable."""
    async with borrow(pool) as conn:
        storage = await conn.fetchval(_STORAGE, tenant_id, topic)
    return TopicStorage(storage) if storage is not None else None


async def create(
    pool: asyncpg.Pool, sender: Sender, topic: str, request: NotificationRequest, key: IdempotencyKey | None
) -> tuple[Broadcast, bool]:
    """Keep a publication, and whether it is a replay: the same key and request get the first one again.

    Raises RequestRefused when the key was used for another request or its twin is running, and Unavailable.
    """
    async with borrow(pool) as conn, conn.transaction():
        if key is not None and (first := await _made_before(conn, key)) is not None:
            return _broadcast(await conn.fetchrow(_GET, sender.tenant_id, first)), True
        identifier = uuid7()
        row = await conn.fetchrow(
            _ADD, identifier, sender.tenant_id, topic, sender.mode.code, sender.key_id, _encode(request)
        )
        if key is not None:
            kept = IdempotencyRow(key.key, key.fingerprint, None, _encode(str(identifier)))
            await ledger.record(conn, Records([], [], [], [kept]))
    return _broadcast(row), False


async def get(pool: asyncpg.Pool, tenant_id: UUID, broadcast_id: UUID) -> Broadcast | None:
    """A broadcast of this tenant, or None. Unavailable."""
    async with borrow(pool) as conn:
        row = await conn.fetchrow(_GET, tenant_id, broadcast_id)
    return _broadcast(row) if row is not None else None


async def list_page(
    pool: asyncpg.Pool, tenant_id: UUID, *, topic: str | None, below: UUID | None, limit: int
) -> list[Broadcast]:
    """Broadcasts of this tenant, newest first. Unavailable."""
    async with borrow(pool) as conn:
        rows = await conn.fetch(_LIST, tenant_id, topic, below, limit)
    return [_broadcast(row) for row in rows]


async def cancel(pool: asyncpg.Pool, tenant_id: UUID, broadcast_id: UUID) -> Broadcast | None:
    """Stop planning at once, and have withdrawn what waits; None when there is none. Twice is the same as once.

    Raises Unavailable.
    """
    for attempt in range(1, TRIES + 1):
        try:
            async with borrow(pool) as conn:
                await conn.execute(_CANCEL, tenant_id, broadcast_id)
        except (
            Unavailable
        ) as error:  # a planner holds the row for one batch, which may take longer than a lock is waited
            if attempt == TRIES or not is_conflict(error):
                raise
        else:
            break
    return await get(pool, tenant_id, broadcast_id)


async def to_do(pool: asyncpg.Pool, *, after: UUID, limit: int) -> list[Broadcast]:
    """Open broadcasts above an id, by id, that nobody is at work on: to be planned, or withdrawn. Unavailable."""
    async with borrow(pool) as conn:
        rows = await conn.fetch(_OPEN, after, limit)
    return [_broadcast(row) for row in rows]


async def hold(conn: asyncpg.Connection, known: Broadcast) -> bool:
    """Lock a broadcast until this transaction ends, if it still stands where it was `known` to stand. Never waits."""
    found = await conn.fetchval(_HOLD, known.id, known.cancelled_at, known.cursor, known.withdrawn_to)
    return found is not None


async def advance(
    conn: asyncpg.Connection, held: Broadcast, *, cursor: UUID | None, planned: int, is_last: bool
) -> None:
    """Note what this transaction has planned of a broadcast that it holds."""
    await conn.execute(_ADVANCE, held.id, cursor, planned, is_last)


async def note_withdrawn(conn: asyncpg.Connection, held: Broadcast, last: UUID | None, *, is_last: bool) -> None:
    """Note how far this transaction has withdrawn a broadcast that it holds."""
    await conn.execute(_WITHDRAWN, held.id, last, is_last)


async def _made_before(conn: asyncpg.Connection, key: IdempotencyKey) -> UUID | None:
    if key.key not in await once.lock(conn, [key.key]):
        raise still_running()
    known = (await once.known(conn, [key.key])).get(key.key)
    if known is None:
        return None
    if known.fingerprint != key.fingerprint or known.answer is None:
        raise key_reused()
    return UUID(msgspec.json.decode(bytes(known.answer)))


def _broadcast(row: Any) -> Broadcast:
    return Broadcast(
        row["id"],
        row["tenant_id"],
        row["topic"],
        Mode.of(row["mode"]),
        row["key_id"],
        _decode(row["request"]),
        row["cursor"],
        row["planned"],
        row["created_at"],
        row["finished_at"],
        row["cancelled_at"],
        row["withdrawn_to"],
    )


async def forget(conn: asyncpg.Connection, before: UUID, limit: int) -> int:
    """Delete at most `limit` with ids below `before`, oldest first, except what is not finished; how many."""
    count: int = await conn.fetchval(_FORGET, before, limit)
    return count
