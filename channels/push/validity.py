"""Tokens that are said to be dead: their devices are suspended, reported, and can be restored; a brake guards all.

One wrong certificate or topic can make a provider call every token dead. So when more of an app's tokens die in a
window than is likely, nothing more of that app is invalidated until an operator has looked and released the brake.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import asyncpg

from channels.push import audit, feedback
from channels.push.audit import Entry
from channels.push.devices import Touched
from plumbing.push_metrics import TokenOperation

LEAST_TO_BRAKE = 20
"""Fewer dead tokens never brake: of an app with five devices two may die."""

_LOCK_APPS = """
SELECT a.id, a.tenant_id, a.bundle_id, a.braked_at, array_agg(d.id ORDER BY d.id) AS devices
FROM (SELECT a.id, a.tenant_id, a.bundle_id, a.braked_at FROM apps a
  WHERE a.id IN (SELECT app_id FROM devices WHERE id = ANY ($1::uuid[])) ORDER BY a.id FOR NO KEY UPDATE) a
JOIN devices d ON d.app_id = a.id AND d.id = ANY ($1::uuid[]) AND d.invalidated_at IS NULL
  AND ($2::timestamptz IS NULL OR d.updated_at <= $2)
GROUP BY a.id, a.tenant_id, a.bundle_id, a.braked_at ORDER BY a.id
"""
_RECENT = """
SELECT count(*)::int FROM devices d JOIN apps a ON a.id = d.app_id WHERE d.app_id = $1
  AND d.invalidated_at > greatest(now() - make_interval(secs => $2), a.released_at)
  AND (d.invalidation_reason = 'stale') = $3
"""
_VALID = "SELECT count(*)::int FROM (SELECT 1 FROM devices WHERE app_id = $1 AND invalidated_at IS NULL LIMIT $2) v"
_INVALIDATE = """
WITH wanted AS (SELECT id FROM devices WHERE id = ANY ($1::uuid[]) AND invalidated_at IS NULL
  AND ($3::timestamptz IS NULL OR updated_at <= $3) ORDER BY id FOR UPDATE)
UPDATE devices d SET invalidated_at = now(), invalidation_reason = $2, version = version + 1, updated_at = now()
FROM wanted w WHERE d.id = w.id
RETURNING d.id, d.tenant_id, d.app_id, d.bundle_id, d.user_id, d.token_hash
"""
_RESTORE = """
WITH wanted AS (SELECT id FROM devices WHERE tenant_id = $1 AND id = ANY ($2::uuid[]) AND invalidated_at IS NOT NULL
  ORDER BY id FOR UPDATE)
UPDATE devices d SET invalidated_at = NULL, invalidation_reason = NULL, version = version + 1, updated_at = now()
FROM wanted w WHERE d.id = w.id
RETURNING d.id, d.tenant_id, d.app_id, d.bundle_id, d.user_id, d.token_hash
"""
_BRAKE = "UPDATE apps SET braked_at = now() WHERE id = $1"
_RELEASE = """
UPDATE apps SET braked_at = NULL, released_at = now() WHERE tenant_id = $1 AND bundle_id = $2 AND braked_at IS NOT NULL
RETURNING id
"""


class InvalidationReason(StrEnum):
    """Why a token is taken for dead."""

    UNREGISTERED = "unregistered"
    """The app was removed, or its push service says so."""
    BAD_TOKEN = "bad_token"  # noqa: S105  # a reason and no secret
    STALE = "stale"
    """Nothing was seen of the device for a long time."""
    REPORTED = "reported"
    """The tenant says so."""


@dataclass(frozen=True, slots=True)
class Brake:
    """More than `percent` of an app's valid tokens within `window_s`, and at least LEAST_TO_BRAKE, is too much."""

    percent: float
    window_s: int

    def is_too_much(self, dead: int, valid: int) -> bool:
        """Whether `dead` tokens in the window are too many, of those and `valid` more. Pure."""
        return dead >= LEAST_TO_BRAKE and dead * 100 > self.percent * (dead + valid)

    def enough(self, dead: int) -> int:
        """So many valid ones make `dead` tokens look harmless: there is no need to count further."""
        return int(dead * 100 / self.percent) + 1


@dataclass(slots=True)
class Invalidated:
    """The devices that were suspended, the apps whose brake was or is on (their devices were not), what was touched."""

    device_ids: list[UUID] = field(default_factory=list)
    braked: set[UUID] = field(default_factory=set)
    touched: Touched = field(default_factory=Touched)


async def invalidate(
    conn: asyncpg.Connection,
    device_ids: Sequence[UUID],
    *,
    reason: str,
    actor: str,
    brake: Brake,
    known_at: datetime | None = None,
) -> Invalidated:
    """Suspend these devices and report them as feedback; those that are suspended already are left as they are.

    With `known_at` a device that has registered again since then is left alone: its news is newer.
    """
    result = Invalidated()
    for app in await conn.fetch(_LOCK_APPS, list(device_ids), known_at):
        if app["braked_at"] is not None or await _brakes(conn, app, brake, actor, reason):
            result.braked.add(app["id"])
            continue
        rows = await conn.fetch(_INVALIDATE, app["devices"], reason, known_at)
        _note(rows, result.touched)
        result.touched.dismissed |= {row["id"] for row in rows}
        result.device_ids += [row["id"] for row in rows]
        await feedback.add(conn, rows, reason)
        await audit.add(conn, _entries(rows, TokenOperation.INVALIDATED, actor, reason))
    return result


async def restore(conn: asyncpg.Connection, tenant: UUID, device_ids: Sequence[UUID], *, actor: str) -> Touched:
    """Take these devices of a tenant for valid again."""
    touched = Touched()
    rows = await conn.fetch(_RESTORE, tenant, list(device_ids))
    _note(rows, touched)
    await audit.add(conn, _entries(rows, TokenOperation.RESTORED, actor))
    return touched


async def release(conn: asyncpg.Connection, tenant: UUID, bundle_id: str, *, actor: str) -> bool:
    """Let an app's tokens be invalidated again, counting from now; whether its brake was on."""
    if await conn.fetchval(_RELEASE, tenant, bundle_id) is None:
        return False
    await audit.add(conn, [Entry(tenant, bundle_id, TokenOperation.RELEASED, actor)])
    return True


async def count_braked(conn: asyncpg.Connection) -> int:
    """How many apps wait for somebody to look."""
    count: int = await conn.fetchval("SELECT count(*)::int FROM apps WHERE braked_at IS NOT NULL")
    return count


async def _brakes(conn: asyncpg.Connection, app: asyncpg.Record, brake: Brake, actor: str, cause: str) -> bool:
    """Whether these would be too many; then the app is braked. The app's row is locked, so nobody counts beside us.

    Tokens that died and devices that are stale are counted apart: neither makes the other look like a disaster.
    """
    dying = len(app["devices"])
    dead = await conn.fetchval(_RECENT, app["id"], brake.window_s, cause == InvalidationReason.STALE) + dying
    if dead < LEAST_TO_BRAKE:
        return False
    valid = await conn.fetchval(_VALID, app["id"], brake.enough(dead) + dying) - dying
    if not brake.is_too_much(dead, valid):
        return False
    await conn.execute(_BRAKE, app["id"])
    reason = f"{dead} of {dead + valid} tokens within {brake.window_s} s"
    await audit.add(conn, [Entry(app["tenant_id"], app["bundle_id"], TokenOperation.BRAKED, actor, reason=reason)])
    return True


def _note(rows: Sequence[asyncpg.Record], touched: Touched) -> None:
    for row in rows:
        touched.add(row["token_hash"], row["user_id"])


def _entries(
    rows: Sequence[asyncpg.Record], operation: TokenOperation, actor: str, reason: str | None = None
) -> list[Entry]:
    return [
        Entry(row["tenant_id"], row["bundle_id"], operation, actor, row["id"], row["token_hash"], reason)
        for row in rows
    ]
