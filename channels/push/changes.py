"""A server changes a device without its token: whose it is, and what is known of it; or takes all from a user."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from channels.push import audit, topics
from channels.push.audit import Entry
from channels.push.devices import Touched
from channels.push.vacating import vacate
from plumbing.push_metrics import TokenOperation

_LOCK = "SELECT id, bundle_id, user_id, token_hash FROM devices WHERE tenant_id = $1 AND id = $2 FOR UPDATE"
_CHANGE = """
UPDATE devices SET platform = coalesce($2, platform), device_info = coalesce($3::text::jsonb, device_info),
  region = CASE WHEN $4 THEN $5 ELSE region END, user_id = CASE WHEN $6 THEN $7 ELSE user_id END,
  version = version + CASE WHEN $6 THEN 1 ELSE 0 END, updated_at = now()
WHERE id = $1
"""
_OF_USER = "SELECT id FROM devices WHERE tenant_id = $1 AND user_id = $2 ORDER BY id FOR UPDATE"
_LEAVE = """
UPDATE devices SET user_id = NULL, device_info = '{}', version = version + 1, updated_at = now()
WHERE id = ANY ($1::uuid[]) RETURNING id, bundle_id, token_hash
"""


@dataclass(frozen=True, slots=True)
class Changes:
    """What shall be different; None leaves a thing as it is, but for user and region, which have a flag for that."""

    platform: str | None = None
    device_info: Mapping[str, Any] | None = None
    region: str | None = None
    is_region_given: bool = False
    user_id: UUID | None = None
    is_user_given: bool = False


async def change(
    conn: asyncpg.Connection, tenant: UUID, device_id: UUID, changes: Changes, *, actor: str
) -> Touched | None:
    """Write changes in the caller's transaction; None when the tenant has no such device.

    What waits for the device is meant for the user it had, and goes when it gets another.
    """
    row = await conn.fetchrow(_LOCK, tenant, device_id)
    if row is None:
        return None
    is_moved = changes.is_user_given and changes.user_id != row["user_id"]
    await conn.execute(
        _CHANGE,
        device_id,
        changes.platform,
        msgspec.json.encode(dict(changes.device_info)).decode() if changes.device_info is not None else None,
        changes.is_region_given,
        changes.region,
        is_moved,
        changes.user_id,
    )
    touched = Touched(token_hashes={row["token_hash"]})
    if is_moved:
        touched.add(row["token_hash"], row["user_id"], changes.user_id)
        await vacate(conn, [device_id])
        entry = Entry(tenant, row["bundle_id"], TokenOperation.TRANSFERRED, actor, device_id, row["token_hash"])
        await audit.add(conn, [entry])
    return touched


@dataclass(slots=True)
class Left:
    """What a user's devices left behind: what was touched, and how many devices, letters and subscriptions it was."""

    touched: Touched = field(default_factory=Touched)
    counts: dict[str, int] = field(default_factory=dict)


async def leave_user(conn: asyncpg.Connection, tenant: UUID, user_id: UUID, *, actor: str) -> Left:
    """Take all devices from a user who is to be erased, with what waits for them, what they subscribed to and what they
    told of themselves."""
    ids = [row["id"] for row in await conn.fetch(_OF_USER, tenant, user_id)]
    touched = Touched()
    counts = {"devices": len(ids), "mailbox": 0, "topic_subscriptions": 0}
    if ids:
        counts["mailbox"] = await vacate(conn, ids)
        counts["topic_subscriptions"] = await topics.leave_all(conn, ids)
        rows = await conn.fetch(_LEAVE, ids)
        for row in rows:
            touched.add(row["token_hash"])
        operation, reason = TokenOperation.TRANSFERRED, "recipient_erased"
        await audit.add(
            conn,
            [Entry(tenant, row["bundle_id"], operation, actor, row["id"], row["token_hash"], reason) for row in rows],
        )
    return Left(touched, counts)
