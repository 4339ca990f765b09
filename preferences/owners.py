"""Users as owners of devices: found or made by name, and their versions raised when their devices change.

For whoever writes devices: in the same transaction, after the devices are locked, and users in order.
"""

from collections.abc import Iterable
from uuid import UUID

import asyncpg

from domain.ids import uuid7
from preferences.cache import user_key

_FIND = "SELECT id FROM users WHERE tenant_id = $1 AND external_id = $2"
_ADD = """
INSERT INTO users (id, tenant_id, external_id) VALUES ($1, $2, $3) ON CONFLICT (tenant_id, external_id) DO NOTHING
"""
_RAISE = """
WITH held AS (SELECT id FROM users WHERE id = ANY ($1::uuid[]) ORDER BY id FOR NO KEY UPDATE)
UPDATE users u SET version = version + 1, updated_at = now() FROM held WHERE u.id = held.id
RETURNING u.tenant_id, u.external_id
"""


async def find(conn: asyncpg.Connection, tenant: UUID, external_id: str) -> UUID | None:
    """The id of the tenant's user, or None."""
    found: UUID | None = await conn.fetchval(_FIND, tenant, external_id)
    return found


async def find_or_add(conn: asyncpg.Connection, tenant: UUID, external_id: str) -> UUID:
    """The id of the tenant's user, who is made when nobody of that name is known: with no address and no wish."""
    await conn.execute(_ADD, uuid7(), tenant, external_id)
    found: UUID = await conn.fetchval(_FIND, tenant, external_id)
    return found


async def raise_versions(conn: asyncpg.Connection, user_ids: Iterable[UUID]) -> list[str]:
    """Let nobody go on with what is remembered of these users. The cache keys to delete once this has committed."""
    wanted = sorted(set(user_ids))
    rows = await conn.fetch(_RAISE, wanted) if wanted else []
    return [user_key(row["tenant_id"], row["external_id"]) for row in rows]
