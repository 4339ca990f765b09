"""Ends attempts: one fenced write per slice, its events and its outbox rows in one transaction; or gives claims back.

Fenced: a worker whose lease was taken from it changes nothing. Never lowering, and of two ends the first one stays: a
receipt may have come before.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from domain.clock import rfc3339
from domain.delivery import PROBLEMS, DeliveryStatus
from domain.ids import notification_of
from domain.reasons import Reason
from domain.receipts import Receipt
from plumbing.database import borrow
from plumbing.failpoints import Failpoint, reach
from tracking import outbox
from tracking.dead import letters
from tracking.ending import End, end
from tracking.events import ATTEMPT_OUTCOMES, EventKind, detail
from tracking.receipts import facts_of
from tracking.sent import ACK_MARGIN_S, SentAttempt, write_sent
from tracking.sql import sql
from tracking.webhooks.noting import heard

_FINISH = sql("""
WITH written AS (
  UPDATE deliveries d SET
    status = CASE
      WHEN (<RANKS>)[d.status] >= (<RANKS>)[k.status] THEN d.status
      WHEN k.status IN (<resting>, <stored>) AND EXISTS (
        SELECT 1 FROM notifications n WHERE n.id = k.notification_id AND n.cancelled_at IS NOT NULL) THEN <cancelled>
      ELSE k.status END,
    problem = CASE WHEN (<RANKS>)[d.status] >= (<RANKS>)[k.status] THEN d.problem ELSE k.problem END,
    reason = CASE WHEN (<RANKS>)[d.status] >= (<RANKS>)[k.status] THEN d.reason ELSE k.reason END,
    next_attempt_at = CASE WHEN (<RANKS>)[d.status] >= (<RANKS>)[k.status] THEN NULL ELSE k.next_attempt_at END,
    provider = k.provider, provider_id = coalesce(k.provider_id, d.provider_id),
    lease_token = NULL, lease_until = NULL, updated_at = now()
  FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::smallint[], $5::smallint[], $6::smallint[], $7::timestamptz[],
    $8::text[], $9::text[], $10::smallint[], $11::smallint[], $12::bytea[])
    k(id, notification_id, token, status, problem, reason, next_attempt_at, provider, provider_id, kind, attempt,
      detail)
  WHERE d.id = k.id AND d.lease_token = k.token
  RETURNING d.id, d.status, d.envelope_id, d.next_attempt_at, k.kind, k.attempt, k.detail),
noted AS (
  INSERT INTO events (delivery_id, at, kind, attempt, detail) SELECT id, now(), kind, attempt, detail FROM written)
SELECT id, status, envelope_id, coalesce(next_attempt_at, now()) AS due_at, next_attempt_at IS NOT NULL AS is_awaited
FROM written
""")
_LOCK = sql("""
SELECT d.id, d.status = <sending> AS is_open FROM unnest($1::uuid[], $2::uuid[]) k(id, token)
JOIN deliveries d ON d.id = k.id WHERE d.lease_token = k.token ORDER BY d.id FOR UPDATE OF d
""")
_CANCELLED_BEFORE = "SELECT n.id FROM notifications n WHERE n.id = ANY($1::uuid[]) AND n.cancelled_at IS NOT NULL"
_WITHDRAW = sql("""
WITH gone AS (
  UPDATE deliveries d SET reason = <reason.cancelled>, problem = NULL, next_attempt_at = NULL
  FROM unnest($1::uuid[]) k(id) WHERE d.id = k.id RETURNING d.id, d.attempt)
INSERT INTO events (delivery_id, at, kind, attempt, detail)
SELECT id, now(), <event.cancelled>, attempt, $2 FROM gone
""")
_GIVE_BACK = sql("""
WITH back AS (
  UPDATE deliveries d SET attempt = d.attempt - 1, lease_token = NULL, lease_until = NULL, updated_at = now(),
    status = CASE WHEN d.attempt > 1 THEN <resting> ELSE <queued> END,
    next_attempt_at = CASE WHEN d.attempt > 1 THEN now() END
  FROM unnest($1::uuid[], $2::uuid[]) k(id, token)
  WHERE d.id = k.id AND d.lease_token = k.token AND d.status = <sending>
  RETURNING d.id, d.attempt + 1 AS attempt, d.status),
noted AS (
  INSERT INTO events (delivery_id, at, kind, attempt, detail)
  SELECT id, now(), <event.not_sent>, attempt, CASE WHEN status = <queued> THEN $3::bytea ELSE $4::bytea END FROM back)
SELECT id FROM back
""")
_CANCELLED = detail(DeliveryStatus.CANCELLED)
_CANCELLED_CODE = DeliveryStatus.CANCELLED.code
_FAILED_CODE = DeliveryStatus.FAILED.code
_RESTING_CODE = DeliveryStatus.RESTING.code
_SENT_CODE = DeliveryStatus.SENT.code

Keep = Callable[[asyncpg.Connection, Sequence[Any]], Awaitable[Sequence[End]]]
"""Puts letters into the mailbox, in the transaction it is given; answers whose end that is, old ones and new ones."""


@dataclass(slots=True)
class Finished:
    """How one attempt ended. `answer` is what the provider said, `next_attempt_at` when a resting one may go again.

    A sent one with `next_attempt_at` waits until then to be acknowledged. `outcome` is the event it leaves, where its
    status does not say it all; `letter` goes to the dead letters when it failed so, `mail` into the mailbox when it is
    stored (of a type that only the caller's `keep` knows).
    """

    id: UUID
    lease_token: UUID
    attempt: int
    envelope_id: UUID | None
    status: DeliveryStatus
    reason: Reason | None
    provider: str | None
    provider_id: str | None
    next_attempt_at: datetime | None
    begun_at: datetime
    answer: str
    duration_ms: float
    outcome: EventKind | None = None
    letter: letters.DeadLetter | None = None
    mail: Any = None
    is_kept_here: bool = False
    """It rests here, and in no retry queue."""
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class FinishResult:
    """`written`: attempts that were still ours. `cancelled`: those that would have waited, had nobody cancelled.

    `kept`: those whose mail lies in the mailbox now. `ended`: what the mailbox ended instead, theirs and older ones'.
    """

    written: set[UUID] = field(default_factory=set)
    cancelled: set[UUID] = field(default_factory=set)
    kept: set[UUID] = field(default_factory=set)
    ended: dict[UUID, End] = field(default_factory=dict)


async def finish(pool: asyncpg.Pool, attempts: Sequence[Finished], *, keep: Keep | None = None) -> FinishResult:
    """Write how these attempts ended, and commit. Publish what rests and acknowledge only afterwards.

    What rests here gets an outbox row of its own and needs no retry queue. Raises Unavailable.
    """
    result = FinishResult()
    if not attempts:
        return result
    ordered = sorted(attempts, key=lambda one: one.id)
    wished_to_wait = {one.id for one in ordered if one.status in (DeliveryStatus.RESTING, DeliveryStatus.STORED)}
    async with borrow(pool) as conn, conn.transaction():
        if keep is not None:
            await _keep(conn, ordered, keep, result)
        ended = [_as_ended(one, result.ended.get(one.id)) for one in ordered]
        rows = await conn.fetch(heard(_FINISH), *zip(*map(_values, ended), strict=True))
        cancelled = {row["id"] for row in rows if row["status"] == _CANCELLED_CODE} & wished_to_wait
        if cancelled:
            await conn.execute(_WITHDRAW, sorted(cancelled), _CANCELLED)
        own = {one.id for one in ordered}
        await end(conn, [one for one in result.ended.values() if one.delivery_id not in own])
        kept = {one.id for one in ordered if one.is_kept_here}
        await _rest(conn, [row for row in rows if row["status"] == _RESTING_CODE], kept)
        await _await_acks(conn, [row for row in rows if row["status"] == _SENT_CODE and row["is_awaited"]])
        failed = {row["id"] for row in rows if row["status"] == _FAILED_CODE}
        await letters.keep(conn, [one.letter for one in ordered if one.letter is not None and one.id in failed])
        await outbox.release(conn, [row["envelope_id"] for row in rows])
    result.written, result.cancelled = {row["id"] for row in rows}, cancelled
    return result


async def finish_sent(
    pool: asyncpg.Pool, attempts: Sequence[Finished], acks: Mapping[UUID, Receipt] | None = None
) -> set[UUID]:
    """Write attempts that were sent and nothing else, each with its device's acknowledgement where that is there.

    One statement, and committed. Answers those that were written; finish the others as usual. Raises Unavailable.
    """
    details: dict[tuple[Any, ...], bytes] = {}
    rows = []
    for one in attempts:
        alike = one.provider, one.provider_id, one.answer, one.begun_at, one.duration_ms, one.next_attempt_at
        told = details.get(alike)
        if told is None:
            told = details[alike] = _detail(one)
        ack = acks.get(one.id) if acks is not None else None
        rows.append(
            SentAttempt(
                one.id,
                one.lease_token,
                one.next_attempt_at,
                one.provider,
                one.provider_id,
                told,
                facts_of(ack) if ack is not None else None,
            )
        )
    return await write_sent(pool, rows)


async def give_back(pool: asyncpg.Pool, claims: Sequence[tuple[UUID, UUID]], *, reason: Reason) -> set[UUID]:
    """Return claims `(id, lease token)` of which nothing was sent: the attempt does not count. Answers those returned.

    They wait as before (`queued`, or `resting` and due at once when there was an earlier attempt). Raises Unavailable.
    """
    if not claims:
        return set()
    ids, tokens = zip(*sorted(claims), strict=True)
    queued, resting = (detail(status, reason=reason) for status in (DeliveryStatus.QUEUED, DeliveryStatus.RESTING))
    async with borrow(pool) as conn:
        return {row["id"] for row in await conn.fetch(_GIVE_BACK, ids, tokens, queued, resting)}


async def _keep(conn: asyncpg.Connection, ordered: Sequence[Finished], keep: Keep, result: FinishResult) -> None:
    """Put the mail of what is stored into the mailbox, unless something came first: a receipt, or a cancellation.

    All of these deliveries are locked before, in order; whoever cancels locks them too, and so is seen here.
    """
    mail = {one.id: one.mail for one in ordered if one.status is DeliveryStatus.STORED and one.mail is not None}
    if not mail:
        return
    rows = await conn.fetch(_LOCK, [one.id for one in ordered], [one.lease_token for one in ordered])
    still = [row["id"] for row in rows if row["is_open"] and row["id"] in mail]
    withdrawn = await conn.fetch(_CANCELLED_BEFORE, sorted({notification_of(one) for one in still}))
    gone = {row["id"] for row in withdrawn}
    result.kept = {one for one in still if notification_of(one) not in gone}
    for one in await keep(conn, [mail[kept] for kept in sorted(result.kept)]):
        result.ended.setdefault(one.delivery_id, one)
    result.kept -= result.ended.keys()
    reach(Failpoint.PUSH_AFTER_STORE)


def _as_ended(one: Finished, instead: End | None) -> Finished:
    """The attempt as it is written: what the mailbox would not keep has ended at once."""
    if instead is None:
        return one
    return replace(one, status=instead.status, reason=instead.reason, facts=instead.facts)


async def _await_acks(conn: asyncpg.Connection, rows: Sequence[Any]) -> None:
    """Look at these envelopes again when the first acknowledgement is overdue."""
    due: dict[UUID, datetime] = {}
    for row in rows:
        if row["envelope_id"] is not None:
            due[row["envelope_id"]] = min(row["due_at"], due.get(row["envelope_id"], row["due_at"]))
    await outbox.watch(conn, due, margin_s=ACK_MARGIN_S)


async def _rest(conn: asyncpg.Connection, rows: Sequence[Any], kept: Set[UUID]) -> None:
    """What rests in the broker moves the time at which somebody looks again; what is kept gets envelopes of its own."""
    soon: dict[UUID, datetime] = {}
    moves: dict[tuple[UUID | None, datetime], outbox.Move] = {}
    for row in rows:
        envelope, due_at = row["envelope_id"], row["due_at"]
        if row["id"] in kept or envelope is None:
            moves.setdefault((envelope, due_at), outbox.Move([], due_at)).delivery_ids.append(row["id"])
        else:
            soon[envelope] = min(due_at, soon.get(envelope, due_at))
    await outbox.watch(conn, soon)
    await outbox.move(conn, list(moves.values()))


def _values(one: Finished) -> tuple[Any, ...]:
    kind: EventKind = one.outcome or ATTEMPT_OUTCOMES[one.status]
    return (
        one.id,
        notification_of(one.id),
        one.lease_token,
        one.status.code,
        one.status.code if one.status in PROBLEMS else None,
        one.reason.code if one.reason is not None else None,
        one.next_attempt_at,
        one.provider,
        one.provider_id,
        kind.code,
        one.attempt,
        _detail(one),
    )


def _detail(one: Finished) -> bytes:
    return detail(
        one.status,
        reason=one.reason,
        provider=one.provider,
        provider_id=one.provider_id,
        answer=one.answer or None,
        begun_at=rfc3339(one.begun_at),
        duration_ms=round(one.duration_ms, 1),
        next_attempt_at=rfc3339(one.next_attempt_at) if one.next_attempt_at else None,
        **one.facts,
    )
