"""Tenants and their API keys, as administrators make them; the only writer of these two tables."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from domain.errors import Misconfigured
from domain.ids import uuid7
from domain.notification import Mode
from plumbing.secrets import hash_api_key

ALL_SCOPES = ("read", "send", "users", "campaigns", "ops", "admin")
PREFIX_LENGTH = 14
"""Characters of a key that are kept to recognise it by: the mode and 36 of its 256 bits."""


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A key as it can be shown: never the key itself."""

    id: UUID
    tenant: str
    name: str
    mode: Mode
    prefix: str
    scopes: tuple[str, ...]
    created_at: datetime
    revoked_at: datetime | None


async def create_tenant(conn: asyncpg.Connection, name: str) -> UUID:
    """The id of tenant `name`, which is made when it is not there."""
    await conn.execute("INSERT INTO tenants (id, name) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING", uuid7(), name)
    return await tenant_id(conn, name)


async def tenant_id(conn: asyncpg.Connection, name: str) -> UUID:
    """The id of tenant `name`; Misconfigured when there is none."""
    found: UUID | None = await conn.fetchval("SELECT id FROM tenants WHERE name = $1", name)
    if found is None:
        raise Misconfigured(f"there is no tenant {name!r}: `carillon tenants create {name}` makes it")
    return found


async def store_key(
    conn: asyncpg.Connection, tenant: UUID, *, key: str, name: str, mode: Mode, scopes: tuple[str, ...] = ALL_SCOPES
) -> None:
    """Store `key` (only its hash) for `tenant`; storing it again changes nothing."""
    unknown = set(scopes) - set(ALL_SCOPES)
    if unknown:
        raise Misconfigured(f"unknown scope {', '.join(sorted(unknown))}: there are {', '.join(ALL_SCOPES)}")
    await conn.execute(
        "INSERT INTO api_keys (id, tenant_id, name, mode, prefix, secret_hash, scopes) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (secret_hash) DO NOTHING",
        uuid7(),
        tenant,
        name,
        mode.code,
        key[:PREFIX_LENGTH],
        hash_api_key(key),
        list(scopes),
    )


async def list_keys(conn: asyncpg.Connection) -> list[KnownKey]:
    """Every key, the oldest first."""
    rows = await conn.fetch(
        "SELECT k.id, t.name AS tenant, k.name, k.mode, k.prefix, k.scopes, k.created_at, k.revoked_at "
        "FROM api_keys k JOIN tenants t ON t.id = k.tenant_id ORDER BY k.id"
    )
    return [
        KnownKey(
            row["id"],
            row["tenant"],
            row["name"],
            Mode.of(row["mode"]),
            row["prefix"],
            tuple(row["scopes"]),
            row["created_at"],
            row["revoked_at"],
        )
        for row in rows
    ]


async def revoke_key(conn: asyncpg.Connection, key: str) -> int:
    """Revoke by id, by prefix or by the key itself; how many were revoked now. Misconfigured when none is known."""
    found = await conn.fetch(
        "SELECT id, revoked_at FROM api_keys WHERE id::text = $1 OR prefix = left($1, $2)", key, PREFIX_LENGTH
    )
    if not found:
        raise Misconfigured(f"no key has the id or prefix {key[:PREFIX_LENGTH]!r}: `carillon keys list` shows them")
    open_ids = [row["id"] for row in found if row["revoked_at"] is None]
    await conn.execute("UPDATE api_keys SET revoked_at = now() WHERE id = ANY($1)", open_ids)
    return len(open_ids)
