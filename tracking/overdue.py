"""Acknowledgements that did not come: what was sent and is overdue waits for a worker again."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from domain.delivery import DeliveryStatus
from domain.reasons import Reason
from tracking.events import detail
from tracking.sql import sql

_REQUEUE = sql("""
WITH back AS (
  UPDATE deliveries d SET status = <queued>, reason = NULL, next_attempt_at = NULL, updated_at = now()
  FROM unnest($1::uuid[]) k(id)
  WHERE d.id = k.id AND d.status = <sent> AND d.next_attempt_at <= now()
  RETURNING d.id, d.attempt),
noted AS (
  INSERT INTO events (delivery_id, at, kind, attempt, detail)
  SELECT id, now(), <event.requeued>, attempt, $2::bytea FROM back)
SELECT id FROM back
""")
_OVERDUE = detail(DeliveryStatus.QUEUED, reason=Reason.ACK_OVERDUE)


async def requeue(conn: asyncpg.Connection, ids: Sequence[UUID]) -> set[UUID]:
    """Queue those of `ids` again whose acknowledgement is overdue; the caller publishes their envelopes again.

    The next attempt goes by way of the mailbox, so nothing is handed over twice at once.
    """
    return {row["id"] for row in await conn.fetch(_REQUEUE, sorted(ids), _OVERDUE)} if ids else set()
