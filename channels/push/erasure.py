"""The end of a device: the device goes, and with it its subscriptions and what waits for it; what was sent stays.

There are no foreign keys from the journey of notifications to devices, so their rules are kept here by name:
subscriptions go with the device (by the database's own key), its mailbox is emptied and those deliveries end cancelled,
and notifications, deliveries and events stay, with a device that answers null.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from channels.push import audit
from channels.push.audit import Entry
from channels.push.devices import Touched
from channels.push.vacating import vacate
from plumbing.push_metrics import TokenOperation

_LOCK = """
SELECT id, tenant_id, bundle_id, user_id, token_hash FROM devices
WHERE id = ANY ($1::uuid[]) AND ($2::uuid IS NULL OR tenant_id = $2) ORDER BY id FOR UPDATE
"""
_DELETE = "DELETE FROM devices WHERE id = ANY ($1::uuid[])"
_OVER = """
SELECT d.id FROM devices d JOIN apps a ON a.id = d.app_id
WHERE d.invalidated_at < $1 AND a.braked_at IS NULL ORDER BY d.invalidated_at LIMIT $2 FOR UPDATE OF d SKIP LOCKED
"""


async def erase(
    conn: asyncpg.Connection,
    device_ids: Sequence[UUID],
    *,
    actor: str,
    tenant: UUID | None = None,
    reason: str | None = None,
) -> Touched | None:
    """End these devices (of one tenant, where given) in the caller's transaction. None when there is none of them."""
    rows = await conn.fetch(_LOCK, list(device_ids), tenant)
    if not rows:
        return None
    ids = [row["id"] for row in rows]
    await vacate(conn, ids)
    await conn.execute(_DELETE, ids)
    touched = Touched(dismissed=set(ids))
    for row in rows:
        touched.add(row["token_hash"], row["user_id"])
    operation = TokenOperation.ERASED
    await audit.add(
        conn,
        [
            Entry(row["tenant_id"], row["bundle_id"], operation, actor, row["id"], row["token_hash"], reason)
            for row in rows
        ],
    )
    return touched


async def erase_suspended(conn: asyncpg.Connection, before: datetime, *, limit: int) -> tuple[int, Touched]:
    """End devices that were suspended before that time and that nobody restored; those of braked apps wait.

    How many, and what was touched.
    """
    over = [row["id"] for row in await conn.fetch(_OVER, before, limit)]
    touched = await erase(conn, over, actor=audit.SYSTEM, reason="grace_over") if over else None
    return len(over), touched or Touched()
