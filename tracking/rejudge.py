"""Writes what the rules decided anew about deliveries that a claim found stale: go on, later, or not at all."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from domain.clock import rfc3339
from domain.decision import Decision, Verdict
from domain.delivery import PROBLEMS, DeliveryStatus
from plumbing.database import borrow
from tracking import outbox
from tracking.events import EventKind, detail
from tracking.sql import sql
from tracking.webhooks.noting import heard

_REJUDGE = sql("""
WITH judged AS (
  UPDATE deliveries d SET recipient_version = k.version, recheck_at = k.recheck_at, updated_at = now(),
    status = coalesce(k.status, d.status), problem = k.problem, reason = coalesce(k.reason, d.reason),
    next_attempt_at = CASE WHEN k.status IS NULL THEN d.next_attempt_at ELSE k.until END
  FROM unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::smallint[], $5::smallint[], $6::smallint[],
    $7::timestamptz[], $8::smallint[], $9::bytea[])
    k(id, version, recheck_at, status, problem, reason, until, kind, detail)
  WHERE d.id = k.id AND d.status IN <WAITING>
  RETURNING d.id, d.envelope_id, d.attempt, d.next_attempt_at, d.status, k.kind, k.detail),
noted AS (
  INSERT INTO events (delivery_id, at, kind, attempt, detail)
  SELECT id, now(), kind, attempt, detail FROM judged WHERE kind IS NOT NULL)
SELECT id, envelope_id, next_attempt_at, kind FROM judged
""")

_STATUSES = {
    Verdict.SUPPRESS: (DeliveryStatus.SUPPRESSED, EventKind.SUPPRESSED),
    Verdict.DEFER: (DeliveryStatus.DEFERRED, EventKind.DEFERRED),
}
_Row = tuple[UUID, int, datetime | None, int | None, int | None, int | None, datetime | None, int | None, bytes | None]


@dataclass(slots=True)
class Judged:
    """One stale delivery, the version and hours it was judged by, and what came out."""

    id: UUID
    recipient_version: int
    recheck_at: datetime | None
    decision: Decision


async def rejudge(pool: asyncpg.Pool, judged: Sequence[Judged]) -> set[UUID]:
    """Write these decisions; answers those that passed and may be claimed now. What no longer waits is left alone.

    Suppressed ones end with the decision's reason; deferred ones get an envelope of their own, due when the
    decision says. Raises Unavailable.
    """
    if not judged:
        return set()
    ordered = sorted(judged, key=lambda one: one.id)
    async with borrow(pool) as conn, conn.transaction():
        rows = await conn.fetch(heard(_REJUDGE), *zip(*map(_values, ordered), strict=True))
        deferred: dict[UUID | None, list[asyncpg.Record]] = defaultdict(list)
        for row in rows:
            if row["kind"] == EventKind.DEFERRED.code:
                deferred[row["envelope_id"]].append(row)
        await outbox.move(
            conn,
            [
                outbox.Move([row["id"] for row in group], min(row["next_attempt_at"] for row in group))
                for group in deferred.values()
            ],
        )
        await outbox.release(conn, [row["envelope_id"] for row in rows if row["kind"] is not None])
    return {row["id"] for row in rows if row["kind"] is None}


def _values(one: Judged) -> _Row:
    decision = one.decision
    status, kind = _STATUSES.get(decision.verdict, (None, None))
    if status is None or kind is None:
        return one.id, one.recipient_version, one.recheck_at, None, None, None, None, None, None
    reason = decision.reason
    until = decision.until if status is DeliveryStatus.DEFERRED else None
    facts = detail(status, reason=reason, gate=decision.gate, until=rfc3339(until) if until else None)
    return (
        one.id,
        one.recipient_version,
        one.recheck_at,
        status.code,
        status.code if status in PROBLEMS else None,
        reason.code if reason is not None else None,
        until,
        kind.code,
        facts,
    )
