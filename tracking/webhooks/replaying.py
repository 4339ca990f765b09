"""What a tenant asks of its webhook's messages: the log of attempts, to tell them again, and a test."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from domain.delivery import DeliveryStatus
from domain.ids import moment_of
from plumbing.database import borrow
from tracking.webhooks.messages import DELIVERED, FAILED

MOST_REPLAYED = 10_000
_LAST = UUID(int=(1 << 128) - 1)

_ATTEMPTS = """
SELECT a.id, a.message_id, a.number, a.status_code, a.answer, a.error, a.duration_ms, m.status, m.delivery_id,
  m.id IS NOT NULL AND m.delivery_id IS NULL AS is_test
FROM webhook_attempts a LEFT JOIN webhook_messages m ON m.id = a.message_id
WHERE a.webhook_id = $1 AND a.id < $2 ORDER BY a.id DESC LIMIT $3
"""
_AGAIN = "next_attempt_at = now(), attempts = 0, unheard = 0, outcome = NULL"
_REPLAY_ONE = f"""
UPDATE webhook_messages SET {_AGAIN} WHERE id = $2 AND webhook_id = $1 RETURNING id
"""  # noqa: S608  # only our own words
_REPLAY_MANY = f"""
WITH chosen AS (
  SELECT id FROM webhook_messages WHERE webhook_id = $1 AND at >= $2 AND at < $3
    AND outcome = ANY($4::smallint[]) ORDER BY at LIMIT $5 FOR UPDATE)
UPDATE webhook_messages m SET {_AGAIN} FROM chosen WHERE m.id = chosen.id RETURNING m.id
"""  # noqa: S608  # only our own words
_TEST = "INSERT INTO webhook_messages (webhook_id, tenant_id) VALUES ($1, $2) RETURNING id"


@dataclass(frozen=True, slots=True)
class AttemptLine:
    """One attempt in the log. `status` None: of a test, or of a message that is kept no longer."""

    id: UUID
    message_id: UUID
    number: int
    at: datetime
    status_code: int | None
    answer: str | None
    error: str | None
    duration_ms: int
    status: DeliveryStatus | None
    delivery_id: UUID | None
    is_test: bool


async def attempts(pool: asyncpg.Pool, webhook: UUID, *, limit: int, before: UUID | None) -> list[AttemptLine]:
    """The newest attempts first; the caller has seen to it that the webhook is the tenant's."""
    async with borrow(pool) as conn:
        return [_line(row) for row in await conn.fetch(_ATTEMPTS, webhook, before or _LAST, limit)]


async def replay_one(pool: asyncpg.Pool, webhook: UUID, message: UUID) -> bool:
    """Tell one message again, as if it had never been tried; False when this webhook has none of that id."""
    async with borrow(pool) as conn:
        return await conn.fetchval(_REPLAY_ONE, webhook, message) is not None


async def replay_many(pool: asyncpg.Pool, webhook: UUID, *, since: datetime, until: datetime, failed_only: bool) -> int:
    """Tell again what happened in this time and is settled, the oldest MOST_REPLAYED of it; how many."""
    outcomes = [FAILED] if failed_only else [DELIVERED, FAILED]
    async with borrow(pool) as conn:
        return len(await conn.fetch(_REPLAY_MANY, webhook, since, until, outcomes, MOST_REPLAYED))


async def note_test(pool: asyncpg.Pool, tenant: UUID, webhook: UUID) -> UUID:
    """Note a test event; its message's id."""
    async with borrow(pool) as conn:
        message: UUID = await conn.fetchval(_TEST, webhook, tenant)
    return message


def _line(row: asyncpg.Record) -> AttemptLine:
    return AttemptLine(
        id=row["id"],
        message_id=row["message_id"],
        number=row["number"],
        at=moment_of(row["id"]),
        status_code=row["status_code"],
        answer=row["answer"],
        error=row["error"],
        duration_ms=row["duration_ms"],
        status=DeliveryStatus.of(row["status"]) if row["status"] is not None else None,
        delivery_id=row["delivery_id"],
        is_test=row["is_test"],
    )
