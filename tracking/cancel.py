"""Withdraws a notification: what waits is cancelled at once, what is under way is told apart from what is gone."""

from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg

from domain.delivery import WAITING, DeliveryStatus
from domain.ids import delivery_range
from domain.lanes import Channel
from plumbing.database import borrow
from tracking import outbox
from tracking.events import detail
from tracking.receipts import Forget
from tracking.sql import sql
from tracking.webhooks.noting import heard

_NOTE = """
UPDATE notifications SET cancelled_at = coalesce(cancelled_at, now()) WHERE id = $1 AND tenant_id = $2 RETURNING id
"""
_HOLD = "SELECT 1 FROM deliveries d WHERE d.id > $1 AND d.id <= $2 ORDER BY d.id FOR UPDATE OF d"
"""Whoever finishes an attempt now has written it before, or sees the note: nothing slips into a mailbox in between."""
_WITHDRAW = sql("""
WITH withdrawn AS (
  UPDATE deliveries d SET status = <cancelled>, problem = NULL, reason = <reason.cancelled>, next_attempt_at = NULL,
    updated_at = now()
  WHERE d.id > $1 AND d.id <= $2 AND (d.status IN <WAITING> OR d.status = <stored>)
  RETURNING d.id, d.attempt, d.envelope_id),
noted AS (
  INSERT INTO events (delivery_id, at, kind, attempt, detail)
  SELECT id, now(), <event.cancelled>, attempt, $3::bytea FROM withdrawn)
SELECT id, envelope_id FROM withdrawn
""")
_ALL = "SELECT id, channel, status, address_id FROM deliveries WHERE id > $1 AND id <= $2 ORDER BY id"
_CANCELLED = detail(DeliveryStatus.CANCELLED)


class CancelOutcome(StrEnum):
    """What a cancellation could still do about one delivery."""

    WITHDRAWN = "withdrawn"
    IN_FLIGHT = "in_flight"
    ALREADY_SENT = "already_sent"
    IRREVOCABLE = "irrevocable"


class Cancellation(NamedTuple):
    """One delivery of a cancelled notification."""

    delivery_id: UUID
    channel: Channel
    outcome: CancelOutcome
    device_id: UUID | None = None
    """The device that a push may have reached: it can be asked to take it back."""


_S = DeliveryStatus
_OUTCOMES = {
    **dict.fromkeys(WAITING, CancelOutcome.IN_FLIGHT),
    _S.SENDING: CancelOutcome.IN_FLIGHT,
    _S.CANCELLED: CancelOutcome.WITHDRAWN,
    _S.SENT: CancelOutcome.ALREADY_SENT,
    _S.DELIVERED: CancelOutcome.ALREADY_SENT,
    _S.COLLAPSED: CancelOutcome.ALREADY_SENT,
}
"""What is not here has ended otherwise (failed, suppressed, …) or is ambiguous: nothing about it can be revoked.
One that waits after all was withdrawn must have been in flight a moment ago; its next claim withdraws it."""

_MAY_BE_THERE = frozenset({_S.SENDING, _S.STORED, _S.SENT, _S.DELIVERED})


async def cancel(
    pool: asyncpg.Pool, tenant_id: UUID, notification_id: UUID, *, forget: Forget | None = None
) -> list[Cancellation] | None:
    """Cancel a notification of this tenant; None when there is none. Doing it twice gives the same answer.

    `forget` removes letters from the mailbox, in the same transaction.

    The note on the notification stands in any case: an attempt under way that would rest, or a claim that comes
    back unsent, ends `cancelled` by itself. Raises Unavailable.
    """
    low, high = delivery_range(notification_id)
    async with borrow(pool) as conn, conn.transaction():
        if await conn.fetchval(_NOTE, notification_id, tenant_id) is None:
            return None
        await conn.execute(_HOLD, low, high)
        before = {row["id"]: row["status"] for row in await conn.fetch(_ALL, low, high)}
        gone = await conn.fetch(heard(_WITHDRAW), low, high, _CANCELLED)
        if forget is not None:
            await forget(conn, sorted(row["id"] for row in gone))
        rows = await conn.fetch(_ALL, low, high)
        await outbox.release(conn, [row["envelope_id"] for row in gone])
    return [_cancellation(row, DeliveryStatus.of(before[row["id"]])) for row in rows if row["id"] in before]


def _cancellation(row: Any, before: DeliveryStatus) -> Cancellation:
    channel = Channel.of(row["channel"])
    device_id = row["address_id"] if channel is Channel.PUSH and before in _MAY_BE_THERE else None
    return Cancellation(row["id"], channel, _outcome(row["status"]), device_id)


def _outcome(code: int) -> CancelOutcome:
    return _OUTCOMES.get(DeliveryStatus.of(code), CancelOutcome.IRREVOCABLE)
