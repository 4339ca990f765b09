"""Users as the API keeps them: written whole and read. The accept path's writes are in `preferences.contacts`, and
their end in `preferences.erasures`.

Every change raises the user's version; after the call the caller deletes `preferences.cache.user_key(tenant, user)`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg
import msgspec

from domain.ids import uuid7
from domain.lanes import Channel
from plumbing.database import borrow, postgres_errors
from plumbing.secrets import Seal

_GET = """
SELECT u.id, u.external_id, u.name, u.locale, u.timezone, u.attributes::text AS attributes, u.version, u.created_at,
  u.updated_at, (SELECT c.address FROM contacts c WHERE c.user_id = u.id AND c.channel = $3) AS email,
  (SELECT c.address FROM contacts c WHERE c.user_id = u.id AND c.channel = $4) AS phone
FROM users u WHERE u.tenant_id = $1 AND u.external_id = $2
"""
_PUT = """
INSERT INTO users AS u (id, tenant_id, external_id, name, locale, timezone, attributes)
VALUES ($2, $1, $3, $4, $5, $6, $7::text::jsonb)
ON CONFLICT (tenant_id, external_id) DO UPDATE SET name = excluded.name, locale = excluded.locale,
  timezone = excluded.timezone, attributes = excluded.attributes, version = u.version + 1, updated_at = now()
WHERE (u.name, u.locale, u.timezone, u.attributes)
  IS DISTINCT FROM (excluded.name, excluded.locale, excluded.timezone, excluded.attributes)
RETURNING (xmax = 0) AS created
"""
_PUT_CONTACTS = """
WITH whose AS (SELECT id FROM users WHERE tenant_id = $1 AND external_id = $2),
given AS (SELECT * FROM unnest($3::uuid[], $4::smallint[], $5::text[], $6::uuid[]) g(id, channel, address, key)),
gone AS (
  DELETE FROM contacts c USING whose w WHERE c.user_id = w.id AND c.channel <> ALL ($4::smallint[]) RETURNING c.id),
kept AS (
  INSERT INTO contacts AS c (id, tenant_id, user_id, channel, address, address_key)
  SELECT g.id, $1, w.id, g.channel, g.address, g.key FROM given g, whose w ORDER BY g.channel
  ON CONFLICT (user_id, channel) WHERE user_id IS NOT NULL DO UPDATE SET address = excluded.address,
    address_key = excluded.address_key, version = c.version + 1, updated_at = now()
  WHERE c.address_key <> excluded.address_key RETURNING c.id)
SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM kept)
"""
_BUMP = "UPDATE users SET version = version + 1, updated_at = now() WHERE tenant_id = $1 AND external_id = $2"

Source: TypeAlias = asyncpg.Connection | asyncpg.Pool


@dataclass(frozen=True, slots=True)
class Facts:
    """What a tenant says about a user; addresses in canonical form."""

    email: str | None = None
    phone: str | None = None
    name: str | None = None
    locale: str | None = None
    timezone: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class User:
    """A user as stored."""

    id: UUID
    external_id: str
    version: int
    facts: Facts
    created_at: datetime
    updated_at: datetime


async def put_user(pool: asyncpg.Pool, seal: Seal, tenant: UUID, external_id: str, facts: Facts) -> tuple[User, bool]:
    """Create the user or replace all its facts; the user, and whether it is new. Equal facts write nothing.

    An address that is not given any more is forgotten: what waits for it will not be sent. Unavailable.
    """
    given = [(channel, address) for channel, address in _addresses(facts) if address is not None]
    attributes = msgspec.json.encode(dict(facts.attributes)).decode()
    async with borrow(pool) as conn, conn.transaction():
        written = await conn.fetchrow(
            _PUT, tenant, uuid7(), external_id, facts.name, facts.locale, facts.timezone, attributes
        )
        moved = await conn.fetchval(
            _PUT_CONTACTS,
            tenant,
            external_id,
            [uuid7() for _ in given],
            [channel.code for channel, _ in given],
            [address for _, address in given],
            [seal.address_key(tenant, channel, address) for channel, address in given],
        )
        if moved and written is None:
            await conn.execute(_BUMP, tenant, external_id)
        user = _user(await conn.fetchrow(_GET, tenant, external_id, Channel.EMAIL.code, Channel.SMS.code))
    return user, written is not None and written["created"]


async def get_user(source: Source, tenant: UUID, external_id: str) -> User | None:
    """The user; None when the tenant has none of that id. Unavailable."""
    with postgres_errors():
        row = await source.fetchrow(_GET, tenant, external_id, Channel.EMAIL.code, Channel.SMS.code)
    return _user(row) if row is not None else None


def _addresses(facts: Facts) -> tuple[tuple[Channel, str | None], ...]:
    return (Channel.EMAIL, facts.email), (Channel.SMS, facts.phone)


def _user(row: asyncpg.Record) -> User:
    facts = Facts(
        row["email"],
        row["phone"],
        row["name"],
        row["locale"],
        row["timezone"],
        msgspec.json.decode(row["attributes"]),
    )
    return User(row["id"], row["external_id"], row["version"], facts, row["created_at"], row["updated_at"])
