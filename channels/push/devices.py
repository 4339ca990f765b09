"""Devices as they stand: read one, read those of a user, note that they were seen. The only writer of `devices`.

Registering is in `registration`, suspending and restoring in `validity`, the end of a device in `erasure`. None of
them opens a transaction: they write into the caller's and answer what they touched.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg
import msgspec

from domain.push import PushProvider
from plumbing.database import borrow, postgres_errors

SEEN_AGAIN_S = 300
"""A device that comes back sooner is not written again: reconnecting must cost PostgreSQL nothing."""

_COLUMNS = """d.id, d.tenant_id, d.app_id, d.bundle_id, d.user_id, u.external_id, d.token_hash, d.provider, d.platform,
  d.region, d.device_info::text AS device_info, d.version, d.created_at, d.updated_at, d.last_seen_at, d.invalidated_at,
  d.invalidation_reason"""
_GET = f"""
SELECT {_COLUMNS} FROM devices d LEFT JOIN users u ON u.id = d.user_id WHERE d.tenant_id = $1 AND d.id = $2
"""  # noqa: S608  # only our own words
_OF_USER = f"""
SELECT {_COLUMNS} FROM users u JOIN devices d ON d.user_id = u.id AND d.tenant_id = u.tenant_id
WHERE u.tenant_id = $1 AND u.external_id = $2 AND ($3::uuid IS NULL OR d.id < $3) ORDER BY d.id DESC LIMIT $4
"""  # noqa: S608  # only our own words
_SEEN = """
UPDATE devices SET last_seen_at = now()
WHERE id IN (SELECT d.id FROM unnest($1::uuid[]) k(id) JOIN devices d ON d.id = k.id
  WHERE d.last_seen_at IS NULL OR d.last_seen_at < now() - make_interval(secs => $2)
  ORDER BY d.id FOR UPDATE OF d SKIP LOCKED)
"""

Source: TypeAlias = asyncpg.Connection | asyncpg.Pool


@dataclass(frozen=True, slots=True)
class Device:
    """A device as stored; `user` is the tenant's own id of its user, `token_hash` 32 bytes."""

    id: UUID
    tenant_id: UUID
    app_id: UUID
    bundle_id: str
    user_id: UUID | None
    user: str | None
    token_hash: bytes
    provider: PushProvider
    platform: str
    region: str | None
    device_info: dict[str, Any]
    version: int
    created_at: datetime
    updated_at: datetime
    last_seen_at: datetime | None
    invalidated_at: datetime | None
    invalidation_reason: str | None


@dataclass(slots=True)
class Touched:
    """What a write has changed for others: whose versions must grow with it, which tokens to forget once it commits.

    The caller raises `users.version` of `user_ids` in the same transaction; after it has committed, it calls
    `Tokens.forget(token_hashes)`, deletes the users' entries in the recipient cache, and hints at `dismissed`.
    """

    user_ids: set[UUID] = field(default_factory=set)
    token_hashes: set[bytes] = field(default_factory=set)
    dismissed: set[UUID] = field(default_factory=set)
    """Devices whose connections stand on what is true no more."""

    def add(self, token_hash: bytes, *user_ids: UUID | None) -> None:
        """One device more."""
        self.token_hashes.add(token_hash)
        self.user_ids |= {user_id for user_id in user_ids if user_id is not None}


async def get(source: Source, tenant: UUID, device_id: UUID) -> Device | None:
    """The tenant's device, or None. Unavailable."""
    with postgres_errors():
        row = await source.fetchrow(_GET, tenant, device_id)
    return _device(row) if row is not None else None


async def list_of_user(
    source: Source, tenant: UUID, external_id: str, *, limit: int, before: UUID | None = None
) -> list[Device]:
    """A user's devices, newest first, from before a device on; none for a user that is not known. Unavailable."""
    with postgres_errors():
        rows = await source.fetch(_OF_USER, tenant, external_id, before, limit)
    return [_device(row) for row in rows]


async def touch_last_seen(pool: asyncpg.Pool, device_ids: Sequence[UUID]) -> None:
    """Note that these devices are there now; those noted in the last five minutes cost nothing. Unavailable."""
    async with borrow(pool) as conn:
        await conn.execute(_SEEN, list(device_ids), SEEN_AGAIN_S)


def _device(row: asyncpg.Record) -> Device:
    return Device(
        id=row["id"],
        tenant_id=row["tenant_id"],
        app_id=row["app_id"],
        bundle_id=row["bundle_id"],
        user_id=row["user_id"],
        user=row["external_id"],
        token_hash=row["token_hash"],
        provider=PushProvider(row["provider"]),
        platform=row["platform"],
        region=row["region"],
        device_info=msgspec.json.decode(row["device_info"]),
        version=row["version"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        last_seen_at=row["last_seen_at"],
        invalidated_at=row["invalidated_at"],
        invalidation_reason=row["invalidation_reason"],
    )
