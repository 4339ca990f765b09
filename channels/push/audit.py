"""What happened to tokens: who did what to which device, and why. Rows are added, and forgotten when retention is over.

Of a token it holds the first 8 hex digits of its keyed hash: enough to follow one, nothing to use.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg
import structlog

from domain.ids import uuid7
from plumbing.database import postgres_errors
from plumbing.push_metrics import TOKEN_OPERATIONS, TokenOperation

PREFIX_DIGITS = 8
SYSTEM = "system"
"""The actor of what no person and no key asked for."""

_ADD = """
INSERT INTO token_audit (id, tenant_id, device_id, bundle_id, operation, token_prefix, actor, reason)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[])
"""
_OF_DEVICE = """
SELECT id, operation, token_prefix, actor, reason, at FROM token_audit
WHERE tenant_id = $1 AND device_id = $2 AND ($3::uuid IS NULL OR id < $3) ORDER BY id DESC LIMIT $4
"""
_FORGET = """
WITH gone AS (DELETE FROM token_audit WHERE id IN (
  SELECT id FROM token_audit WHERE id < $1 ORDER BY id LIMIT $2) RETURNING 1)
SELECT count(*)::int FROM gone
"""

log = structlog.get_logger(__name__)


class Entry(NamedTuple):
    """One thing that happened; without a device it happened to the whole app."""

    tenant_id: UUID
    bundle_id: str
    operation: TokenOperation
    actor: str
    device_id: UUID | None = None
    token_hash: bytes | None = None
    reason: str | None = None

    @property
    def token_prefix(self) -> str | None:
        return self.token_hash.hex()[:PREFIX_DIGITS] if self.token_hash is not None else None


class Line(NamedTuple):
    """One line of a device's history."""

    id: UUID
    operation: TokenOperation
    token_prefix: str | None
    actor: str
    reason: str | None
    at: datetime


async def add(conn: asyncpg.Connection, entries: Sequence[Entry]) -> None:
    """Write lines in the caller's transaction, count them, and say them in the log."""
    if not entries:
        return
    await conn.execute(
        _ADD,
        [uuid7() for _ in entries],
        [entry.tenant_id for entry in entries],
        [entry.device_id for entry in entries],
        [entry.bundle_id for entry in entries],
        [str(entry.operation) for entry in entries],
        [entry.token_prefix for entry in entries],
        [entry.actor for entry in entries],
        [entry.reason for entry in entries],
    )
    for entry in entries:
        TOKEN_OPERATIONS.labels(operation=entry.operation).inc()
        log.info(
            f"token.{entry.operation}",
            device_id=str(entry.device_id) if entry.device_id else None,
            bundle_id=entry.bundle_id,
            token_prefix=entry.token_prefix,
            actor=entry.actor,
            reason=entry.reason,
        )


async def of_device(
    source: asyncpg.Connection | asyncpg.Pool,
    tenant: UUID,
    device_id: UUID,
    *,
    limit: int,
    before: UUID | None = None,
) -> list[Line]:
    """A device's history, newest first; also of one that is gone. Unavailable."""
    with postgres_errors():
        rows = await source.fetch(_OF_DEVICE, tenant, device_id, before, limit)
    return [Line(row[0], TokenOperation(row[1]), row[2], row[3], row[4], row[5]) for row in rows]


async def forget(conn: asyncpg.Connection, before: UUID, limit: int) -> int:
    """Delete at most `limit` lines with ids below `before`, oldest first; how many."""
    count: int = await conn.fetchval(_FORGET, before, limit)
    return count
