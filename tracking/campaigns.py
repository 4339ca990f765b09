"""What became of the notifications of one campaign: counted by status, and withdrawn a part at a time."""

from typing import NamedTuple
from uuid import UUID

import asyncpg

from domain.delivery import DeliveryStatus
from domain.ids import delivery_range
from tracking import outbox
from tracking.events import detail
from tracking.receipts import Forget
from tracking.sql import sql
from tracking.webhooks.noting import heard

_COUNTS = """
SELECT d.status, count(*) AS deliveries FROM notifications n
JOIN deliveries d ON d.id > n.id AND d.id <= (left(n.id::text, 32) || 'ffff')::uuid
WHERE n.campaign_id = $1 GROUP BY d.status
"""
_PART = "SELECT id FROM notifications WHERE campaign_id = $1 AND id > $2 ORDER BY id LIMIT $3"
_NOTE = "UPDATE notifications SET cancelled_at = coalesce(cancelled_at, now()) WHERE id = ANY($1::uuid[])"
_HOLD = """
SELECT d.id FROM unnest($1::uuid[], $2::uuid[]) k(low, high) JOIN deliveries d ON d.id > k.low AND d.id <= k.high
ORDER BY d.id FOR UPDATE OF d
"""
"""Whoever finishes an attempt now has written it before, or sees the note: nothing slips into a mailbox in between."""
_WITHDRAW = sql("""
WITH withdrawn AS (
  UPDATE deliveries d SET status = <cancelled>, problem = NULL, reason = <reason.cancelled>, next_attempt_at = NULL,
    updated_at = now()
  FROM unnest($1::uuid[]) k(id) WHERE d.id = k.id AND (d.status IN <WAITING> OR d.status = <stored>)
  RETURNING d.id, d.attempt, d.envelope_id),
noted AS (
  INSERT INTO events (delivery_id, at, kind, attempt, detail)
  SELECT id, now(), <event.cancelled>, attempt, $2::bytea FROM withdrawn)
SELECT id, envelope_id FROM withdrawn
""")
_CANCELLED = detail(DeliveryStatus.CANCELLED)
_FIRST = UUID(int=0)


class Withdrawn(NamedTuple):
    """How many notifications were looked at, the last of them, and how many deliveries are cancelled now."""

    notifications: int
    last: UUID | None
    deliveries: int


async def counts(conn: asyncpg.Connection, campaign_id: UUID) -> dict[DeliveryStatus, int]:
    """Deliveries of the campaign by where they stand now. It reads every one of them."""
    rows = await conn.fetch(_COUNTS, campaign_id)
    return {DeliveryStatus.of(row["status"]): row["deliveries"] for row in rows}


async def withdraw(
    conn: asyncpg.Connection, campaign_id: UUID, *, after: UUID | None, limit: int, forget: Forget
) -> Withdrawn:
    """Cancel what waits of the next `limit` notifications, by id, inside the caller's transaction.

    `forget` removes letters from the mailbox. The notifications' note stands: what is under way and comes back unsent
    ends `cancelled` by itself.
    """
    ids = [row["id"] for row in await conn.fetch(_PART, campaign_id, after or _FIRST, limit)]
    if not ids:
        return Withdrawn(0, after, 0)
    await conn.execute(_NOTE, ids)
    lows, highs = zip(*map(delivery_range, ids), strict=True)
    held = [row["id"] for row in await conn.fetch(_HOLD, lows, highs)]
    gone = await conn.fetch(heard(_WITHDRAW), held, _CANCELLED)
    await forget(conn, sorted(row["id"] for row in gone))
    await outbox.release(conn, [row["envelope_id"] for row in gone])
    return Withdrawn(len(ids), ids[-1], len(gone))
