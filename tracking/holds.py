"""The holds themselves: opened, listed and released by operators, read by every worker twice a second."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

from domain.holds import OF_TENANT, Hold, HoldKind
from domain.ids import uuid7

MOST_COUNTED = 5_000
"""Envelopes of one hold that are counted: a list shall be quick with a million deliveries set aside."""

_COLUMNS = """h.id, h.tenant_id, h.kind, h.subject, h.why, h.created_by, h.created_at, h.released_at, h.released_by,
  h.released_why"""
_OPEN = f"SELECT {_COLUMNS} FROM holds h WHERE h.released_at IS NULL ORDER BY h.id"  # noqa: S608  # our own words
_ONE_OPENS = "SELECT pg_advisory_xact_lock(hashtext('carillon holds'))"
_ALIKE = f"""
SELECT {_COLUMNS} FROM holds h
WHERE h.released_at IS NULL AND h.kind = $1 AND h.subject = $2 AND h.tenant_id IS NOT DISTINCT FROM $3
"""  # noqa: S608  # our own words
_ADD = f"""
INSERT INTO holds AS h (id, tenant_id, kind, subject, why, created_by) VALUES ($4, $3, $1, $2, $5, $6)
RETURNING {_COLUMNS}
"""  # noqa: S608  # our own words
_RELEASE = f"""
UPDATE holds h SET released_at = coalesce(h.released_at, now()), released_by = coalesce(h.released_by, $3),
  released_why = CASE WHEN h.released_at IS NULL THEN $4 ELSE h.released_why END
WHERE h.id = $1 AND (h.tenant_id IS NULL OR h.tenant_id = $2) RETURNING {_COLUMNS}
"""  # noqa: S608  # our own words
_PAGE = f"""
SELECT {_COLUMNS}, w.envelopes, w.deliveries
FROM (
  SELECT * FROM holds h WHERE (h.tenant_id IS NULL OR h.tenant_id = $1) AND ($2::uuid IS NULL OR h.id < $2)
    AND ($3::boolean IS NULL OR (h.released_at IS NULL) = $3) AND ($4::text IS NULL OR h.kind = $4)
  ORDER BY h.id DESC LIMIT $5) h
CROSS JOIN LATERAL (
  SELECT count(*) AS envelopes, coalesce(sum(cardinality(x.delivery_ids)), 0)::bigint AS deliveries
  FROM (SELECT o.delivery_ids FROM outbox o WHERE o.held_by = h.id LIMIT $6) x) w
ORDER BY h.id DESC
"""  # noqa: S608  # our own words


@dataclass(frozen=True, slots=True)
class Listed:
    """A hold with what is set aside under it, about: at least so many where `is_more`."""

    hold: Hold
    deliveries: int
    is_more: bool


async def open_holds(conn: asyncpg.Connection) -> list[Hold]:
    """Every open hold, the oldest first."""
    return [_hold(row) for row in await conn.fetch(_OPEN)]


async def add(
    conn: asyncpg.Connection, tenant_id: UUID, kind: HoldKind, subject: str, *, why: str, who: str
) -> tuple[Hold, bool]:
    """Open a hold, in a transaction of its own; whether it is new. What is held already stays held by the first."""
    owner = tenant_id if kind in OF_TENANT else None
    async with conn.transaction():
        await conn.execute(_ONE_OPENS)
        known = await conn.fetchrow(_ALIKE, kind, subject, owner)
        if known is not None:
            return _hold(known), False
        return _hold(await conn.fetchrow(_ADD, kind, subject, owner, uuid7(), why, who)), True


async def release(
    conn: asyncpg.Connection, tenant_id: UUID, hold_id: UUID, *, why: str | None, who: str
) -> Hold | None:
    """Release a hold of the platform or of this tenant; None when there is none. The first release stays."""
    row = await conn.fetchrow(_RELEASE, hold_id, tenant_id, who, why)
    return _hold(row) if row is not None else None


async def find_open(conn: asyncpg.Connection, tenant_id: UUID, kind: HoldKind, subject: str) -> Hold | None:
    """The open hold of that subject."""
    row = await conn.fetchrow(_ALIKE, kind, subject, tenant_id if kind in OF_TENANT else None)
    return _hold(row) if row is not None else None


async def list_page(
    conn: asyncpg.Connection,
    tenant_id: UUID,
    *,
    is_open: bool | None,
    limit: int,
    kind: HoldKind | None = None,
    below: UUID | None = None,
) -> Sequence[Listed]:
    """Holds of the platform and of this tenant, the newest first; `is_open` None means all."""
    rows = await conn.fetch(_PAGE, tenant_id, below, is_open, kind, limit, MOST_COUNTED)
    return [Listed(_hold(row), row["deliveries"], row["envelopes"] >= MOST_COUNTED) for row in rows]


def _hold(row: Any) -> Hold:
    return Hold(
        id=row["id"],
        tenant_id=row["tenant_id"],
        kind=HoldKind(row["kind"]),
        subject=row["subject"],
        why=row["why"],
        created_by=row["created_by"],
        created_at=row["created_at"],
        released_at=row["released_at"],
        released_by=row["released_by"],
        released_why=row["released_why"],
    )
