"""Apps and devices for tests, written straight into their tables."""

import json
from uuid import UUID

import asyncpg

from domain.ids import uuid7
from plumbing.secrets import Seal
from tests.builders import SECRET_KEY

SEAL = Seal(SECRET_KEY)


async def an_app(pool: asyncpg.Pool, tenant: UUID, bundle_id: str | None = None) -> UUID:
    """An app of this tenant, with a bundle id that nobody else has unless one is given."""
    identifier = uuid7()
    await pool.execute(
        "INSERT INTO apps (id, tenant_id, bundle_id, app_key) VALUES ($1, $2, $3, $4)",
        identifier,
        tenant,
        bundle_id or f"org.example.{identifier.hex}",
        f"cn_app_{identifier.hex}",
    )
    return identifier


async def a_user(pool: asyncpg.Pool, tenant: UUID, name: str, **chosen: object) -> UUID:
    """A user of this tenant, without addresses; `chosen` are its preferences."""
    identifier = uuid7()
    await pool.execute("INSERT INTO users (id, tenant_id, external_id) VALUES ($1, $2, $3)", identifier, tenant, name)
    if chosen:
        await pool.execute(
            "INSERT INTO preferences (user_id, document, version) VALUES ($1, $2, 1)", identifier, json.dumps(chosen)
        )
    return identifier


async def a_device(
    pool: asyncpg.Pool,
    tenant: UUID,
    app: UUID,
    *,
    user: UUID | None = None,
    token: str | None = None,
    provider: str = "carillon",
    is_gone: bool = False,
) -> UUID:
    """A device of this app; its token is made up when none is given."""
    identifier = uuid7()
    await pool.execute(
        """INSERT INTO devices
             (id, tenant_id, app_id, bundle_id, user_id, token_hash, provider, platform, invalidated_at)
           SELECT $1, $2, $3, a.bundle_id, $4, $5, $6, 'web', CASE WHEN $7 THEN now() END
           FROM apps a WHERE a.id = $3""",
        identifier,
        tenant,
        app,
        user,
        SEAL.token_hash(token or identifier.hex),
        provider,
        is_gone,
    )
    return identifier
