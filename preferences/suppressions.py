"""Addresses nobody may write to any more: the only writer of `suppressions`.

They are kept by a keyed hash, so they outlive the erasure of the address. Every change raises the versions of the
users and contacts with that address in the same transaction; after it has committed, the caller deletes the cache keys
that came back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias
from uuid import UUID

import asyncpg

from domain.ids import uuid7
from domain.lanes import Channel
from domain.notification import Recipient
from plumbing.database import borrow, postgres_errors
from plumbing.secrets import Seal
from preferences.cache import key, user_key

_ADD = """
INSERT INTO suppressions AS s (id, tenant_id, channel, address_key, category, reason, source, expires_at)
SELECT x.id, $1, x.channel, x.key, $5, $6, $7, $8
FROM unnest($2::uuid[], $3::smallint[], $4::uuid[]) x(id, channel, key) ORDER BY x.key
ON CONFLICT (address_key, category) DO UPDATE SET source = excluded.source,
  reason = CASE WHEN excluded.reason = 'unsubscribe' AND s.expires_at IS NULL THEN s.reason ELSE excluded.reason END,
  expires_at = CASE WHEN s.expires_at IS NULL OR excluded.expires_at IS NULL THEN NULL
    ELSE greatest(s.expires_at, excluded.expires_at) END
RETURNING id, channel, category, reason, source, created_at, expires_at
"""
_LOCK_USERS = """
SELECT id FROM users WHERE id IN (SELECT user_id FROM contacts WHERE address_key = ANY($1::uuid[]))
ORDER BY external_id FOR UPDATE
"""
_BUMP = """
WITH touched AS (
  UPDATE contacts SET version = version + 1, updated_at = now() WHERE address_key = ANY($1::uuid[])
  RETURNING user_id, channel, address),
bumped AS (
  UPDATE users SET version = version + 1, updated_at = now() WHERE id IN (SELECT user_id FROM touched)
  RETURNING external_id)
SELECT external_id, NULL::smallint AS channel, NULL AS address FROM bumped
UNION ALL SELECT NULL, channel, address FROM touched WHERE user_id IS NULL
"""
_OF_CONTACTS = """
SELECT DISTINCT address_key, channel FROM contacts WHERE id = ANY($2::uuid[]) AND tenant_id = $1 ORDER BY address_key
"""
_FIND = "SELECT address_key FROM suppressions WHERE tenant_id = $1 AND id = $2"
_REMOVE = "DELETE FROM suppressions WHERE tenant_id = $1 AND id = $2"
_LIST = """
SELECT s.id, s.channel, s.category, s.reason, s.source, s.created_at, s.expires_at,
  (SELECT c.address FROM contacts c WHERE c.address_key = s.address_key LIMIT 1) AS address
FROM suppressions s
WHERE s.tenant_id = $1 AND s.id > $2 AND ($3::smallint IS NULL OR s.channel = $3) ORDER BY s.id LIMIT $4
"""

Source: TypeAlias = asyncpg.Connection | asyncpg.Pool


class SuppressionReason(StrEnum):
    """Why an address is suppressed; only `unsubscribe` leaves required and critical messages through."""

    BOUNCE = "bounce"
    COMPLAINT = "complaint"
    STOP = "stop"
    MANUAL = "manual"
    UNSUBSCRIBE = "unsubscribe"


@dataclass(frozen=True, slots=True)
class Suppression:
    """One suppressed address. `category` "" is all; `address` None: only its hash is left."""

    id: UUID
    channel: Channel
    category: str
    reason: SuppressionReason
    source: str
    created_at: datetime
    expires_at: datetime | None
    address: str | None


async def add(
    pool: asyncpg.Pool,
    seal: Seal,
    tenant: UUID,
    *,
    channel: Channel,
    address: str,
    reason: SuppressionReason,
    source: str,
    category: str = "",
    expires_at: datetime | None = None,
) -> tuple[Suppression, list[str]]:
    """Suppress a canonical address, for ever or until `expires_at`; the row, and the cache keys to delete. Unavailable.

    An address that is suppressed already keeps its id, the longer time and the stronger reason.
    """
    keys = [(seal.address_key(tenant, channel, address), channel)]
    async with borrow(pool) as conn, conn.transaction():
        rows, stale = await add_keys(
            conn, tenant, keys, reason=reason, source=source, category=category, expires_at=expires_at
        )
    return _suppression(rows[0], address), stale


async def add_for_contacts(
    pool: asyncpg.Pool, tenant: UUID, contact_ids: Sequence[UUID], *, reason: SuppressionReason, source: str
) -> list[str]:
    """Suppress the addresses of these contacts for everything (bounces); the cache keys to delete. Unavailable."""
    async with borrow(pool) as conn, conn.transaction():
        found = await conn.fetch(_OF_CONTACTS, tenant, contact_ids)
        keys = [(row["address_key"], Channel.of(row["channel"])) for row in found]
        if not keys:
            return []
        _, stale = await add_keys(conn, tenant, keys, reason=reason, source=source)
    return stale


async def add_keys(
    conn: asyncpg.Connection,
    tenant: UUID,
    keys: Sequence[tuple[UUID, Channel]],
    *,
    reason: SuppressionReason,
    source: str,
    category: str = "",
    expires_at: datetime | None = None,
) -> tuple[list[asyncpg.Record], list[str]]:
    """Suppress hashed addresses inside the caller's transaction; their rows, and the cache keys to delete after it."""
    hashes = [hashed for hashed, _ in keys]
    await conn.execute(_LOCK_USERS, hashes)
    codes = [channel.code for _, channel in keys]
    ids = [uuid7() for _ in keys]
    rows = await conn.fetch(_ADD, tenant, ids, codes, hashes, category, str(reason), source, expires_at)
    return rows, await _bump(conn, tenant, hashes)


async def remove(pool: asyncpg.Pool, tenant: UUID, identifier: UUID) -> list[str] | None:
    """Lift one; the cache keys to delete, or None when there is none of that id. Unavailable."""
    async with borrow(pool) as conn, conn.transaction():
        hashed = await conn.fetchval(_FIND, tenant, identifier)
        if hashed is None:
            return None
        await conn.execute(_LOCK_USERS, [hashed])
        await conn.execute(_REMOVE, tenant, identifier)
        return await _bump(conn, tenant, [hashed])


async def list_page(
    source: Source, tenant: UUID, *, limit: int, after: UUID | None = None, channel: Channel | None = None
) -> list[Suppression]:
    """At most `limit` of them, the oldest first, those after an id when given. Unavailable."""
    with postgres_errors():
        rows = await source.fetch(_LIST, tenant, after or UUID(int=0), channel.code if channel else None, limit)
    return [_suppression(row, row["address"]) for row in rows]


async def _bump(conn: asyncpg.Connection, tenant: UUID, hashes: Sequence[UUID]) -> list[str]:
    stale = []
    for row in await conn.fetch(_BUMP, hashes):
        if row["external_id"] is not None:
            stale.append(user_key(tenant, row["external_id"]))
        else:
            is_email = Channel.of(row["channel"]) is Channel.EMAIL
            stale.append(key(tenant, Recipient(email=row["address"]) if is_email else Recipient(phone=row["address"])))
    return stale


def _suppression(row: asyncpg.Record, address: str | None) -> Suppression:
    return Suppression(
        row["id"],
        Channel.of(row["channel"]),
        row["category"],
        SuppressionReason(row["reason"]),
        row["source"],
        row["created_at"],
        row["expires_at"],
        address,
    )
