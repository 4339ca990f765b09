"""Feedback: which tokens died, when and why. Reading takes nothing away, and no reader misses what commits late.

Rows are ordered by the transaction that wrote them. A reader stops before the oldest transaction that still runs, so
what it has passed is complete. (In a copy of the database made by dump and restore, set `written_by` to 0:
transactions begin anew there.)
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg

from domain.ids import uuid7
from plumbing.database import postgres_errors

_ADD = """
INSERT INTO feedback (id, tenant_id, app_id, device_id, token_hash, reason)
SELECT x.*, $6 FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::bytea[]) x
"""
_PAGE = """
SELECT f.written_by, f.id, f.device_id, f.token_hash, a.bundle_id, f.reason, f.at
FROM feedback f JOIN apps a ON a.id = f.app_id
WHERE f.tenant_id = $1 AND ($2::text IS NULL OR a.bundle_id = $2)
  AND (f.written_by, f.id) > ($3::bigint, $4::uuid)
  AND f.written_by < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
ORDER BY f.written_by, f.id LIMIT $5
"""
_FORGET = """
WITH gone AS (DELETE FROM feedback WHERE id IN (
  SELECT id FROM feedback WHERE id < $1 ORDER BY id LIMIT $2) RETURNING 1)
SELECT count(*)::int FROM gone
"""
_BEGINNING = UUID(int=0)


class Place(NamedTuple):
    """Where a reader stands: the transaction, and the row in it."""

    written_by: int
    id: UUID


class Died(NamedTuple):
    """A token that died, and its place among them."""

    place: Place
    device_id: UUID
    token_hash: bytes
    bundle_id: str
    reason: str
    at: datetime


async def add(conn: asyncpg.Connection, devices: Sequence[asyncpg.Record], reason: str) -> None:
    """Report devices (rows with id, tenant_id, app_id and token_hash) in the transaction that suspends them."""
    await conn.execute(
        _ADD,
        [uuid7() for _ in devices],
        [row["tenant_id"] for row in devices],
        [row["app_id"] for row in devices],
        [row["id"] for row in devices],
        [row["token_hash"] for row in devices],
        reason,
    )


async def page(
    source: asyncpg.Connection | asyncpg.Pool,
    tenant: UUID,
    *,
    limit: int,
    after: Place | None = None,
    bundle_id: str | None = None,
) -> list[Died]:
    """The next ones of a tenant, of one app or of all. Unavailable."""
    written_by, last = after or Place(-1, _BEGINNING)
    with postgres_errors():
        rows = await source.fetch(_PAGE, tenant, bundle_id, written_by, last, limit)
    return [Died(Place(row[0], row[1]), *list(row)[2:]) for row in rows]


async def forget(conn: asyncpg.Connection, before: UUID, limit: int) -> int:
    """Delete at most `limit` of those with ids below `before`, oldest first; how many."""
    count: int = await conn.fetchval(_FORGET, before, limit)
    return count
