"""What webhooks are to be told: claimed by who tells it, settled by an attempt, forgotten after a month.

A claim is a lease: whoever dies over a message leaves it to the next after LEASE_S, under the same id. Each claim
counts as an attempt, and what is written about one that was claimed anew meanwhile is not taken.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from domain.delivery import DeliveryStatus
from domain.ids import first_id_at, notification_of
from domain.lanes import Channel
from domain.notification import Mode
from domain.reasons import Reason
from domain.webhooks import TellingOutcome, Verdict
from plumbing.database import borrow

LEASE_S = 60.0
AT_ONCE_EACH = 4
"""Messages of one webhook under way at once in a process; one that fails gets one at a time."""

KEPT = timedelta(days=30)
DELIVERED, FAILED = 1, 2
_LAST = UUID(int=(1 << 128) - 1)

_CLAIM = """
WITH due AS MATERIALIZED (
  SELECT m.id FROM webhooks w LEFT JOIN unnest($1::uuid[], $2::int[]) b(id, free) ON b.id = w.id
  CROSS JOIN LATERAL (
    SELECT l.id, l.next_attempt_at, row_number() OVER (ORDER BY l.next_attempt_at) AS place FROM (
      SELECT m.id, m.next_attempt_at FROM webhook_messages m
      WHERE m.webhook_id = w.id AND m.next_attempt_at IS NOT NULL AND m.next_attempt_at <= now()
      ORDER BY m.next_attempt_at LIMIT $3 FOR UPDATE OF m SKIP LOCKED) l) m
  WHERE w.disabled_at IS NULL AND w.deleted_at IS NULL
    AND m.place <= CASE WHEN w.failing_since IS NULL THEN coalesce(b.free, $3) ELSE (b.free IS NULL)::int END
  ORDER BY m.next_attempt_at LIMIT $4),
claimed AS (
  UPDATE webhook_messages m SET attempts = m.attempts + 1, unheard = m.unheard + 1,
    next_attempt_at = now() + $5::interval
  FROM due WHERE m.id = due.id RETURNING m.*)
SELECT c.id, c.webhook_id, c.tenant_id, c.delivery_id, c.status, c.reason, c.delivery_attempt, c.at, c.attempts,
  c.unheard, w.url, w.failing_since, w.secret_sealed,
  CASE WHEN w.old_secret_until > now() THEN w.old_secret_sealed END AS old_secret_sealed
FROM claimed c JOIN webhooks w ON w.id = c.webhook_id
"""
_FACTS = """
SELECT d.id, d.channel, d.mode, u.external_id, n.category, n.template, n.reference
FROM unnest($1::uuid[], $2::uuid[]) k(id, notification_id)
JOIN deliveries d ON d.id = k.id JOIN notifications n ON n.id = k.notification_id LEFT JOIN users u ON u.id = d.user_id
"""
_SETTLE = """
WITH settled AS (
  UPDATE webhook_messages SET next_attempt_at = $3, outcome = $4, unheard = 0
  WHERE id = $1 AND attempts = $2 RETURNING webhook_id),
logged AS (
  INSERT INTO webhook_attempts (id, webhook_id, message_id, number, status_code, answer, error, duration_ms)
  VALUES ($5, $6, $1, $2, $7, $8, $9, $10))
UPDATE webhooks SET disabled_at = CASE WHEN $11::text IS NULL THEN disabled_at ELSE coalesce(disabled_at, now()) END,
  disabled_reason = coalesce(disabled_reason, $11::text),
  failing_since = CASE WHEN $4 IS DISTINCT FROM 1 THEN coalesce(failing_since, now()) END
WHERE id = (SELECT webhook_id FROM settled)
  AND ($11::text IS NOT NULL OR (failing_since IS NULL) IS DISTINCT FROM ($4 IS NOT DISTINCT FROM 1))
"""
_FORGET_ATTEMPTS = """
WITH old AS (
  SELECT a.id FROM webhooks w CROSS JOIN LATERAL (
    SELECT id FROM webhook_attempts
    WHERE webhook_id = w.id AND id < CASE WHEN w.deleted_at IS NULL THEN $1::uuid ELSE $3::uuid END
    ORDER BY id LIMIT $2) a LIMIT $2),
gone AS (DELETE FROM webhook_attempts a USING old WHERE a.id = old.id RETURNING 1)
SELECT count(*)::int FROM gone
"""
_FORGET_MESSAGES = """
WITH old AS (
  SELECT m.id FROM webhooks w CROSS JOIN LATERAL (
    SELECT id FROM webhook_messages
    WHERE webhook_id = w.id AND at < CASE WHEN w.deleted_at IS NULL THEN $1::timestamptz ELSE 'infinity' END
    ORDER BY at LIMIT $2) m LIMIT $2),
gone AS (DELETE FROM webhook_messages m USING old WHERE m.id = old.id RETURNING 1)
SELECT count(*)::int FROM gone
"""
_FORGET_DELETED = """
DELETE FROM webhooks w WHERE w.deleted_at < now() - interval '1 hour'
  AND NOT EXISTS (SELECT FROM webhook_messages m WHERE m.webhook_id = w.id)
  AND NOT EXISTS (SELECT FROM webhook_attempts a WHERE a.webhook_id = w.id)
"""
"""An hour later nobody is about to write for it any more."""

_FAILING = """
SELECT count(*)::int FROM webhooks
WHERE failing_since < now() - interval '1 hour' AND disabled_at IS NULL AND deleted_at IS NULL
"""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is told of a delivery beside its status."""

    channel: Channel
    mode: Mode
    user: str | None
    category: str
    template: str | None
    reference: str | None


@dataclass(frozen=True, slots=True)
class Message:
    """A message that is ours to tell for LEASE_S. `status` None: a test. `facts` None: a test, or past retention."""

    id: UUID
    webhook_id: UUID
    tenant_id: UUID
    delivery_id: UUID | None
    status: DeliveryStatus | None
    reason: Reason | None
    delivery_attempt: int | None
    at: datetime
    attempts: int
    unheard: int
    """Claims on end, this one too, of which nobody has noted how they ended."""
    url: str
    failing_since: datetime | None
    secrets_sealed: tuple[bytes, ...]
    facts: Facts | None


@dataclass(frozen=True, slots=True)
class Attempted:
    """One attempt as it is kept: when it began (in its id), what was answered or why nothing was."""

    id: UUID
    status_code: int | None
    answer: str | None
    error: str | None
    duration_ms: float


async def claim(pool: asyncpg.Pool, *, free: Mapping[UUID, int], limit: int) -> list[Message]:
    """Claim what is due, the oldest first, and commit; `free`: how many more a busy webhook may have."""
    async with borrow(pool) as conn:
        lease = timedelta(seconds=LEASE_S)
        rows = await conn.fetch(_CLAIM, list(free), list(free.values()), AT_ONCE_EACH, limit, lease)
        ids = sorted({row["delivery_id"] for row in rows if row["delivery_id"] is not None})
        facts = {}
        if ids:
            found = await conn.fetch(_FACTS, ids, [notification_of(one) for one in ids])
            facts = {row["id"]: _facts(row) for row in found}
    return [_message(row, facts.get(row["delivery_id"])) for row in rows]


async def settle(pool: asyncpg.Pool, message: Message, attempted: Attempted, verdict: Verdict) -> None:
    """Write how an attempt ended, and what follows for its webhook. Unavailable: it will be told again."""
    outcomes = {TellingOutcome.DELIVERED: DELIVERED, TellingOutcome.FAILED: FAILED}
    outcome = outcomes.get(verdict.outcome)
    if verdict.outcome is TellingOutcome.DISABLED and verdict.next_attempt_at is None:
        outcome = FAILED
    async with borrow(pool) as conn:
        await conn.execute(
            _SETTLE,
            message.id,
            message.attempts,
            verdict.next_attempt_at,
            outcome,
            attempted.id,
            message.webhook_id,
            attempted.status_code,
            attempted.answer,
            attempted.error,
            round(attempted.duration_ms),
            verdict.disabled,
        )


async def forget(conn: asyncpg.Connection, now: datetime, *, limit: int) -> int:
    """Delete at most `limit` attempts and as many messages that are older than a month or of deleted webhooks."""
    attempts: int = await conn.fetchval(_FORGET_ATTEMPTS, first_id_at(now - KEPT), limit, _LAST)
    messages: int = await conn.fetchval(_FORGET_MESSAGES, now - KEPT, limit)
    await conn.execute(_FORGET_DELETED)
    return max(attempts, messages)


async def count_failing(conn: asyncpg.Connection) -> int:
    """Webhooks of all tenants that have met with nothing but failure for an hour, and are told still."""
    count: int = await conn.fetchval(_FAILING)
    return count


def _facts(row: asyncpg.Record) -> Facts:
    return Facts(
        Channel.of(row["channel"]),
        Mode.of(row["mode"]),
        row["external_id"],
        row["category"],
        row["template"],
        row["reference"],
    )


def _message(row: asyncpg.Record, facts: Facts | None) -> Message:
    return Message(
        id=row["id"],
        webhook_id=row["webhook_id"],
        tenant_id=row["tenant_id"],
        delivery_id=row["delivery_id"],
        status=DeliveryStatus.of(row["status"]) if row["status"] is not None else None,
        reason=Reason.of(row["reason"]) if row["reason"] is not None else None,
        delivery_attempt=row["delivery_attempt"],
        at=row["at"],
        attempts=row["attempts"],
        unheard=row["unheard"],
        url=row["url"],
        failing_since=row["failing_since"],
        secrets_sealed=tuple(one for one in (row["secret_sealed"], row["old_secret_sealed"]) if one is not None),
        facts=facts,
    )
