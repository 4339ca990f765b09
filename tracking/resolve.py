"""What a person decides about one delivery: what an ambiguous one was, and that a resting one need not rest longer."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

import asyncpg

from domain.delivery import PROBLEMS, DeliveryStatus
from domain.errors import RequestRefused
from domain.ids import notification_of
from domain.lanes import Channel
from domain.reasons import Reason
from plumbing.database import borrow
from tracking import outbox
from tracking.events import EventKind, detail
from tracking.sql import sql
from tracking.webhooks.noting import heard

AT_ONCE = 500
"""Envelopes that one call by filter looks through in one transaction."""

_HOLD = """
SELECT d.id, d.status, d.envelope_id, d.attempt, d.next_attempt_at > now() + interval '1 second' AS rests,
  d.expires_at <= now() AS has_expired, n.cancelled_at IS NOT NULL AS is_cancelled
FROM deliveries d JOIN notifications n ON n.id = $2
WHERE d.id = $1 AND d.tenant_id = $3 FOR UPDATE OF d
"""
_BEFORE = """
SELECT convert_from(e.detail, 'UTF8')::jsonb->>'as' FROM events e
WHERE e.delivery_id = $1 AND e.kind = $2 ORDER BY e.at DESC LIMIT 1
"""
_RESOLVE = sql("""
WITH resolved AS (
  UPDATE deliveries d SET status = k.status, problem = k.problem, reason = k.reason, next_attempt_at = NULL,
    updated_at = now()
  FROM unnest($1::uuid[], $2::smallint[], $3::smallint[], $4::smallint[], $5::smallint[], $6::bytea[])
    k(id, status, problem, reason, kind, detail)
  WHERE d.id = k.id AND d.status = <ambiguous>
  RETURNING d.id, d.attempt, k.kind, k.detail),
noted AS (
  INSERT INTO events (delivery_id, at, kind, attempt, detail) SELECT id, now(), kind, attempt, detail FROM resolved)
SELECT id FROM resolved
""")
_HURRY = sql("""
WITH hurried AS (
  UPDATE deliveries d SET next_attempt_at = now(), updated_at = now()
  FROM unnest($1::uuid[]) k(id)
  WHERE d.id = k.id AND d.status = <resting> AND d.next_attempt_at > now() + interval '1 second'
  RETURNING d.id, d.attempt),
noted AS (
  INSERT INTO events (delivery_id, at, kind, attempt, detail)
  SELECT id, now(), <event.requeued>, attempt, $2::bytea FROM hurried)
SELECT id FROM hurried
""")
_WINDOW = """
SELECT o.id, o.delivery_ids FROM outbox o
WHERE o.id > $1 AND o.tenant_id = $2 AND ($3::smallint IS NULL OR o.channel = $3) AND o.held_by IS NULL
ORDER BY o.id LIMIT $4
"""
_RESTING = sql("""
SELECT d.id, d.envelope_id, d.tenant_id, d.channel, d.priority FROM unnest($1::uuid[]) k(id)
JOIN deliveries d ON d.id = k.id
WHERE d.status = <resting> AND d.next_attempt_at > now() + interval '1 second'
  AND ($2::smallint IS NULL OR d.reason = $2)
ORDER BY d.id FOR UPDATE OF d SKIP LOCKED
""")


class ResolveAs(StrEnum):
    """What an ambiguous delivery was, as a person knows or decides."""

    SENT = "sent"
    FAILED = "failed"
    RETRY = "retry"


_BECOMES = {
    ResolveAs.SENT: DeliveryStatus.SENT,
    ResolveAs.FAILED: DeliveryStatus.FAILED,
    ResolveAs.RETRY: DeliveryStatus.QUEUED,
}


@dataclass(frozen=True, slots=True)
class Changed:
    """Where a delivery stands now, and whether it was this call that changed it."""

    id: UUID
    status: DeliveryStatus
    is_changed: bool


@dataclass(frozen=True, slots=True)
class Hurried:
    """How many need not rest any longer, and after which envelope to go on; None at the end."""

    count: int
    after: UUID | None


async def resolve(
    pool: asyncpg.Pool, tenant_id: UUID, delivery: UUID, wish: ResolveAs, *, why: str, who: str
) -> Changed | None:
    """Resolve an ambiguous delivery, and commit; None when this tenant has none of that id. The same twice is harmless.

    Raises RequestRefused(409) for what is not ambiguous, and for a retry of what is over; Unavailable.
    """
    async with borrow(pool) as conn, conn.transaction():
        row = await conn.fetchrow(_HOLD, delivery, notification_of(delivery), tenant_id)
        if row is None:
            return None
        status = DeliveryStatus.of(row["status"])
        if status is not DeliveryStatus.AMBIGUOUS:
            if await conn.fetchval(_BEFORE, delivery, EventKind.RESOLVED.code) == wish:
                return Changed(delivery, status, is_changed=False)
            raise RequestRefused("not_ambiguous", f"this delivery is {status}, not ambiguous", 409)
        if wish is ResolveAs.RETRY and (row["has_expired"] or row["is_cancelled"]):
            over = "has expired" if row["has_expired"] else "was cancelled"
            raise RequestRefused("too_late", f"this delivery {over}: nothing more is sent of it", 409)
        becomes = _BECOMES[wish]
        await _resolve(conn, delivery, becomes, facts={"as": wish, "why": why, "by": who})
        if wish is ResolveAs.RETRY:
            await outbox.move(conn, [outbox.Move([delivery], await conn.fetchval("SELECT now()"))])
        await outbox.release(conn, [row["envelope_id"]])
    return Changed(delivery, becomes, is_changed=True)


async def retry_now(pool: asyncpg.Pool, tenant_id: UUID, delivery: UUID, *, why: str, who: str) -> Changed | None:
    """Let a resting delivery go at once, and commit; None when there is none. One that is due already stays as it is.

    Raises RequestRefused(409) for what does not rest, Unavailable.
    """
    async with borrow(pool) as conn, conn.transaction():
        row = await conn.fetchrow(_HOLD, delivery, notification_of(delivery), tenant_id)
        if row is None:
            return None
        status = DeliveryStatus.of(row["status"])
        if status is not DeliveryStatus.RESTING:
            raise RequestRefused("not_resting", f"this delivery is {status}: only a resting one can be retried", 409)
        if row["rests"]:
            await _hurry(conn, [(delivery, row["envelope_id"])], why=why, who=who)
    return Changed(delivery, status, is_changed=bool(row["rests"]))


async def retry_all_now(
    pool: asyncpg.Pool,
    tenant_id: UUID,
    *,
    channel: Channel | None,
    reason: Reason | None,
    why: str,
    who: str,
    after: UUID | None,
) -> Hurried:
    """The same for the resting deliveries of the next AT_ONCE envelopes of the to-do list, and commit. Unavailable.

    They go by the relay, as their lanes have room: nobody is stampeded.
    """
    async with borrow(pool) as conn, conn.transaction():
        channel_code = channel.code if channel is not None else None
        rows = await conn.fetch(_WINDOW, after or UUID(int=0), tenant_id, channel_code, AT_ONCE)
        ids = sorted({delivery for row in rows for delivery in row["delivery_ids"]})
        resting = await conn.fetch(_RESTING, ids, reason.code if reason is not None else None) if ids else []
        await _hurry(conn, [(row["id"], row["envelope_id"]) for row in resting], why=why, who=who)
    return Hurried(len(resting), rows[-1]["id"] if len(rows) == AT_ONCE else None)


async def _resolve(conn: asyncpg.Connection, delivery: UUID, status: DeliveryStatus, *, facts: dict[str, Any]) -> None:
    reason = None if status is DeliveryStatus.QUEUED else Reason.RESOLVED_BY_HAND
    await conn.execute(
        heard(_RESOLVE),
        [delivery],
        [status.code],
        [status.code if status in PROBLEMS else None],
        [reason.code if reason is not None else None],
        [EventKind.RESOLVED.code],
        [detail(status, reason=reason, **facts)],
    )


async def _hurry(conn: asyncpg.Connection, resting: Sequence[tuple[UUID, UUID | None]], *, why: str, who: str) -> None:
    """Give these, locked, envelopes of their own that are due: as many together as came together."""
    if not resting:
        return
    told = detail(DeliveryStatus.RESTING, why=why, by=who)
    await conn.execute(_HURRY, [delivery for delivery, _ in resting], told)
    together: dict[UUID | None, list[UUID]] = {}
    for delivery, envelope in resting:
        together.setdefault(envelope, []).append(delivery)
    now = await conn.fetchval("SELECT now()")
    await outbox.move(conn, [outbox.Move(ids, now) for ids in together.values()])
    await outbox.release(conn, list(together))
