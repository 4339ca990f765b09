"""Webhooks: made, listed, changed, disabled, deleted. Secrets come and go sealed; each tenant sees its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from domain.delivery import DeliveryStatus
from domain.ids import uuid7
from domain.webhooks import Disabled
from plumbing.database import borrow
from plumbing.listening import LISTENING

MOST_PER_TENANT = 50

_COLUMNS = """id, tenant_id, url, statuses, created_at, failing_since, disabled_at, disabled_reason,
  CASE WHEN old_secret_until > now() THEN old_secret_until END AS old_secret_until"""
_HIS = "tenant_id = $1 AND id = $2 AND deleted_at IS NULL"
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('webhooks ' || $1::text, 0))"
_COUNT = "SELECT count(*) FROM webhooks WHERE tenant_id = $1 AND deleted_at IS NULL"
_ADD = f"""
INSERT INTO webhooks (id, tenant_id, url, statuses, secret_sealed) VALUES ($1, $2, $3, $4, $5) RETURNING {_COLUMNS}
"""  # noqa: S608  # only our own words
_PAGE = f"""
SELECT {_COLUMNS} FROM webhooks WHERE tenant_id = $1 AND id > $2 AND deleted_at IS NULL ORDER BY id LIMIT $3
"""  # noqa: S608  # only our own words
_GET = f"SELECT {_COLUMNS} FROM webhooks WHERE {_HIS}"  # noqa: S608  # only our own words
_CHANGE = f"""
UPDATE webhooks SET url = coalesce($3, url), statuses = coalesce($4::smallint[], statuses),
  disabled_at = CASE $5::boolean WHEN true THEN NULL WHEN false THEN coalesce(disabled_at, now()) ELSE disabled_at END,
  disabled_reason = CASE $5::boolean WHEN true THEN NULL WHEN false THEN coalesce(disabled_reason, $6)
    ELSE disabled_reason END,
  failing_since = CASE WHEN $5::boolean AND disabled_at IS NOT NULL THEN NULL ELSE failing_since END
WHERE {_HIS} RETURNING {_COLUMNS}
"""  # noqa: S608  # only our own words
_ROTATE = f"""
UPDATE webhooks SET old_secret_sealed = secret_sealed, old_secret_until = now() + $4::interval, secret_sealed = $3
WHERE {_HIS} RETURNING {_COLUMNS}
"""  # noqa: S608  # only our own words
_DELETE = f"UPDATE webhooks SET deleted_at = now() WHERE {_HIS} RETURNING id"  # noqa: S608  # only our own words
_NOBODY = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Webhook:
    """One webhook as it stands, without its secrets. `failing_since`: nothing but failure since then."""

    id: UUID
    tenant_id: UUID
    url: str
    statuses: tuple[DeliveryStatus, ...]
    created_at: datetime
    failing_since: datetime | None
    disabled_at: datetime | None
    disabled_reason: Disabled | None
    old_secret_until: datetime | None


async def add(
    pool: asyncpg.Pool, tenant: UUID, *, url: str, statuses: Sequence[DeliveryStatus], secret_sealed: bytes
) -> Webhook | None:
    """A new webhook, that every process tells; None when the tenant has as many as it may.

    The first of a platform takes two seconds and a half: so long may other processes believe that nobody listens.
    """
    async with borrow(pool) as conn, conn.transaction():
        await conn.execute(_LOCK, str(tenant))
        if await conn.fetchval(_COUNT, tenant) >= MOST_PER_TENANT:
            return None
        row = await conn.fetchrow(_ADD, uuid7(), tenant, url, [one.code for one in statuses], secret_sealed)
    await LISTENING.spread()
    return _webhook(row)


async def page(pool: asyncpg.Pool, tenant: UUID, *, limit: int, after: UUID | None) -> list[Webhook]:
    """A tenant's webhooks, oldest first."""
    async with borrow(pool) as conn:
        return [_webhook(row) for row in await conn.fetch(_PAGE, tenant, after or _NOBODY, limit)]


async def get(pool: asyncpg.Pool, tenant: UUID, webhook: UUID) -> Webhook | None:
    """One of a tenant's."""
    async with borrow(pool) as conn:
        return _found(await conn.fetchrow(_GET, tenant, webhook))


async def change(
    pool: asyncpg.Pool,
    tenant: UUID,
    webhook: UUID,
    *,
    url: str | None = None,
    statuses: Sequence[DeliveryStatus] | None = None,
    is_active: bool | None = None,
) -> Webhook | None:
    """Change what is given; one that is made active again begins with a clean record."""
    codes = None if statuses is None else [one.code for one in statuses]
    async with borrow(pool) as conn:
        return _found(await conn.fetchrow(_CHANGE, tenant, webhook, url, codes, is_active, Disabled.BY_HAND))


async def rotate(
    pool: asyncpg.Pool, tenant: UUID, webhook: UUID, *, secret_sealed: bytes, overlap: timedelta
) -> Webhook | None:
    """A new secret; the one before signs as well for so long. One that was before that is forgotten."""
    async with borrow(pool) as conn:
        return _found(await conn.fetchrow(_ROTATE, tenant, webhook, secret_sealed, overlap))


async def delete(pool: asyncpg.Pool, tenant: UUID, webhook: UUID) -> bool:
    """Delete one of a tenant's, at once for everybody; its messages are removed by and by."""
    async with borrow(pool) as conn:
        return await conn.fetchval(_DELETE, tenant, webhook) is not None


def _found(row: asyncpg.Record | None) -> Webhook | None:
    return None if row is None else _webhook(row)


def _webhook(row: asyncpg.Record) -> Webhook:
    return Webhook(
        id=row["id"],
        tenant_id=row["tenant_id"],
        url=row["url"],
        statuses=tuple(map(DeliveryStatus.of, row["statuses"])),
        created_at=row["created_at"],
        failing_since=row["failing_since"],
        disabled_at=row["disabled_at"],
        disabled_reason=Disabled(row["disabled_reason"]) if row["disabled_reason"] else None,
        old_secret_until=row["old_secret_until"],
    )
