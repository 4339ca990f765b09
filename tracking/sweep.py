"""The sweeper: looks at envelopes of which nothing was heard in time, and sees to it that none is forgotten.

It reads the outbox by `watch_at` and never scans deliveries. What becomes of each open delivery of such an envelope:

| status          | and                                              | verdict | becomes                            |
|-----------------|--------------------------------------------------|---------|------------------------------------|
| sending         | lease still running                              | wait    | looked at again when it is over    |
| sending         | lease over, third time (`crashes` 3)             | bury    | dead_lettered(worker_crash)        |
| sending         | lease over, push or the category says retry      | again   | queued; from crash 2 in quarantine |
| sending         | lease over, the category says hold               | hold    | ambiguous(worker_lost)             |
| queued, resting | past `expires_at`, or cancelled                  | end     | expired, cancelled                 |
| or deferred     | not due, or due for less than WATCH_S            | wait    | looked at again then               |
|                 | its lane is drained, or published 10 minutes ago | again   | published again; suspects likewise |
|                 | its lane still has messages                      | wait    | looked at again after WATCH_S      |
| sent            | its acknowledgement is not overdue               | wait    | looked at again when it is         |
|                 | overdue                                          | again   | queued, published again            |
|                 | overdue, past `expires_at`, or cancelled         | end     | queued, then expired or cancelled  |

An ended attempt leaves the event `attempt_unknown`. An envelope without an open delivery is deleted.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import asyncpg

from domain.delivery import DeliveryStatus
from domain.ids import notification_of
from domain.lanes import Channel, Lane, Priority
from domain.reasons import Reason
from plumbing.failpoints import Failpoint, reach
from tracking import outbox
from tracking.claim import SUSPECT_FROM, Over, end_what_is_over
from tracking.dead import letters
from tracking.dead.crash import Death, crash_letter, deaths_of
from tracking.events import detail
from tracking.overdue import requeue
from tracking.rows import OutboxRow
from tracking.sql import sql
from tracking.webhooks.noting import heard

BURIED_AT = 3
_MARGIN = timedelta(seconds=outbox.WATCH_S)
_MOMENT = timedelta(seconds=1)
_LOST_AFTER = timedelta(minutes=10)
_SENT = DeliveryStatus.SENT

Policy = Callable[[UUID, str], Awaitable[str]]
"""What a tenant's category says of attempts without outcome: `retry` or `hold`."""

_IS_ANY_DUE = "SELECT EXISTS (SELECT 1 FROM outbox o WHERE o.published_at IS NOT NULL AND o.watch_at <= now())"
_WATCHED = """
SELECT o.id, o.tenant_id, o.channel, o.priority, o.delivery_ids, o.published_at, now() AS now
FROM outbox o WHERE o.published_at IS NOT NULL AND o.watch_at <= now()
ORDER BY o.watch_at LIMIT $1 FOR UPDATE OF o SKIP LOCKED
"""
_OPEN = sql(f"""
SELECT d.id, d.envelope_id, d.tenant_id, d.channel, d.priority, d.status, d.attempt, d.crashes, d.lease_token,
  d.lease_until, d.next_attempt_at, d.provider, n.category, n.template, n.template_version,
  d.expires_at <= now() OR n.cancelled_at IS NOT NULL AS is_over
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) k(id, notification_id, envelope_id)
JOIN deliveries d ON d.id = k.id JOIN notifications n ON n.id = k.notification_id
WHERE d.envelope_id = k.envelope_id AND {outbox.IS_OPEN}
""")  # noqa: S608  # only our own words
_END_ATTEMPTS = sql("""
WITH ended AS (
  UPDATE deliveries d SET status = k.status, reason = k.reason, crashes = d.crashes + 1, lease_token = NULL,
    problem = CASE WHEN k.status IN <PROBLEMS> THEN k.status END,
    lease_until = NULL, next_attempt_at = NULL, updated_at = now()
  FROM unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::smallint[], $5::bytea[]) k(id, token, status, reason, detail)
  WHERE d.id = k.id AND d.status = <sending> AND d.lease_token = k.token AND d.lease_until < now()
  RETURNING d.id, d.attempt, d.status, k.detail),
noted AS (
  INSERT INTO events (delivery_id, at, kind, attempt, detail)
  SELECT id, now(), <event.attempt_unknown>, attempt, detail FROM ended
  UNION ALL SELECT id, now(), <event.dead_lettered>, attempt, detail FROM ended WHERE status = <dead_lettered>)
SELECT id, status FROM ended
""")


class Verdict(StrEnum):
    """What is to be done about one open delivery of an envelope that is due."""

    WAIT = "wait"
    AGAIN = "again"
    HOLD = "hold"
    BURY = "bury"
    END = "end"


@dataclass(slots=True)
class Watched:
    """One open delivery as the sweeper finds it; `is_over` when it expired or its notification was cancelled."""

    id: UUID
    envelope_id: UUID
    tenant_id: UUID
    lane: Lane
    status: DeliveryStatus
    attempt: int
    crashes: int
    lease_token: UUID | None
    lease_until: datetime | None
    next_attempt_at: datetime | None
    provider: str | None
    category: str
    template: str | None
    template_version: int
    is_over: bool


@dataclass(slots=True)
class SweepReport:
    """What a sweep did. `quarantine` holds envelopes of one that the caller publishes to quarantine after COMMIT."""

    looked_at: int = 0
    deleted: int = 0
    published_again: int = 0
    unknown: list[UUID] = field(default_factory=list)
    overdue: list[UUID] = field(default_factory=list)
    held: list[UUID] = field(default_factory=list)
    buried: list[UUID] = field(default_factory=list)
    ended: list[Over] = field(default_factory=list)
    quarantine: list[OutboxRow] = field(default_factory=list)


def judge(
    one: Watched, *, now: datetime, published_at: datetime, is_drained: bool, retries: bool
) -> tuple[Verdict, datetime]:
    """The table above for one delivery, and when to look again where the verdict is to wait."""
    if one.status is DeliveryStatus.SENDING:
        if one.lease_until is not None and one.lease_until >= now:
            return Verdict.WAIT, one.lease_until + _MOMENT
        if one.crashes + 1 >= BURIED_AT:
            return Verdict.BURY, now
        return (Verdict.AGAIN if retries or one.lane.channel is Channel.PUSH else Verdict.HOLD), now
    if one.status is DeliveryStatus.SENT and one.next_attempt_at is not None and one.next_attempt_at > now:
        return Verdict.WAIT, one.next_attempt_at + _MOMENT
    if one.is_over:
        return Verdict.END, now
    if one.status is DeliveryStatus.SENT:
        return Verdict.AGAIN, now
    expected_at = (one.next_attempt_at or published_at) + _MARGIN
    if one.next_attempt_at is not None and expected_at > now:
        return Verdict.WAIT, expected_at
    is_lost = is_drained or published_at <= now - _LOST_AFTER
    return (Verdict.AGAIN if is_lost else Verdict.WAIT), now + _MARGIN


async def is_any_due(conn: asyncpg.Connection) -> bool:
    """Whether a sweep would find an envelope to look at."""
    found: bool = await conn.fetchval(_IS_ANY_DUE)
    return found


async def sweep(conn: asyncpg.Connection, *, limit: int, drained: Collection[Lane], policy: Policy) -> SweepReport:
    """Look at no more than `limit` due envelopes, in one transaction; what the relay must publish again is marked so.

    `drained`: lanes of which the broker holds nothing any more, neither in the work queue nor in a retry queue of
    their channel (a parked copy there would be joined by another at every look).
    """
    report = SweepReport()
    async with conn.transaction():
        rows = await conn.fetch(_WATCHED, limit)
        report.looked_at = len(rows)
        if rows:
            await _see_to(conn, rows, report, drained=drained, policy=policy)
        reach(Failpoint.SWEEPER_BEFORE_COMMIT)
    return report


async def _see_to(
    conn: asyncpg.Connection, rows: Sequence[Any], report: SweepReport, *, drained: Collection[Lane], policy: Policy
) -> None:
    envelopes = {row["id"]: row for row in rows}
    by_verdict: dict[Verdict, list[Watched]] = defaultdict(list)
    look_again: dict[UUID, datetime] = {}
    for one in await _open_deliveries(conn, rows):
        row = envelopes[one.envelope_id]
        expired_lease = one.status is DeliveryStatus.SENDING and (
            one.lease_until is None or one.lease_until < row["now"]
        )
        retries = expired_lease and await policy(one.tenant_id, one.category) == "retry"
        verdict, at = judge(
            one,
            now=row["now"],
            published_at=row["published_at"],
            is_drained=one.lane in drained,
            retries=retries,
        )
        by_verdict[verdict].append(one)
        if verdict is Verdict.WAIT:
            look_again[one.envelope_id] = min(at, look_again.get(one.envelope_id, at))
    overdue = [one.id for one in (*by_verdict[Verdict.AGAIN], *by_verdict[Verdict.END]) if one.status is _SENT]
    report.overdue = sorted(await requeue(conn, overdue))
    report.ended = await end_what_is_over(conn, sorted(one.id for one in by_verdict[Verdict.END]))
    await _end_attempts(conn, by_verdict, report)
    await _publish_again(conn, by_verdict, report)
    await outbox.look_again(conn, look_again)
    report.deleted = await outbox.release(conn, envelopes)


async def _open_deliveries(conn: asyncpg.Connection, rows: Sequence[Any]) -> list[Watched]:
    pairs = sorted((delivery, row["id"]) for row in rows for delivery in row["delivery_ids"])
    ids = [delivery for delivery, _ in pairs]
    found = await conn.fetch(_OPEN, ids, [notification_of(one) for one in ids], [envelope for _, envelope in pairs])
    return [
        Watched(
            id=row["id"],
            envelope_id=row["envelope_id"],
            tenant_id=row["tenant_id"],
            lane=Lane(Channel.of(row["channel"]), Priority.of(row["priority"])),
            status=DeliveryStatus.of(row["status"]),
            attempt=row["attempt"],
            crashes=row["crashes"],
            lease_token=row["lease_token"],
            lease_until=row["lease_until"],
            next_attempt_at=row["next_attempt_at"],
            provider=row["provider"],
            category=row["category"],
            template=row["template"],
            template_version=row["template_version"],
            is_over=row["is_over"],
        )
        for row in found
    ]


async def _end_attempts(
    conn: asyncpg.Connection, by_verdict: dict[Verdict, list[Watched]], report: SweepReport
) -> None:
    """End the attempts whose worker was lost, unless that worker finished after all since we looked."""
    becomes = {
        Verdict.AGAIN: (DeliveryStatus.QUEUED, Reason.WORKER_LOST),
        Verdict.HOLD: (DeliveryStatus.AMBIGUOUS, Reason.WORKER_LOST),
        Verdict.BURY: (DeliveryStatus.DEAD_LETTERED, Reason.WORKER_CRASH),
    }
    lost = sorted(
        (one.id, one.lease_token, status.code, reason.code, detail(status, reason=reason))
        for verdict, (status, reason) in becomes.items()
        for one in by_verdict[verdict]
        if one.status is DeliveryStatus.SENDING
    )
    if not lost:
        return
    rows = await conn.fetch(heard(_END_ATTEMPTS), *zip(*lost, strict=True))
    after = {row["id"]: DeliveryStatus.of(row["status"]) for row in rows}
    report.unknown = sorted(after)
    report.held = sorted(one for one, status in after.items() if status is DeliveryStatus.AMBIGUOUS)
    buried = [one for one in by_verdict[Verdict.BURY] if one.id in after]
    report.buried = [one.id for one in buried]
    deaths = await deaths_of(conn, report.buried)
    await letters.keep(conn, [_letter(one, deaths.get(one.id, ())) for one in buried])
    still = [one for one in by_verdict[Verdict.AGAIN] if one.status is not DeliveryStatus.SENDING or one.id in after]
    for one in still:
        one.crashes += one.id in after
    by_verdict[Verdict.AGAIN] = still


async def _publish_again(
    conn: asyncpg.Connection, by_verdict: dict[Verdict, list[Watched]], report: SweepReport
) -> None:
    """Suspects of a crash get an envelope each; those of the others go to the relay again, with all that is open now:
    a worker may have laid one to rest since we looked."""
    again = by_verdict[Verdict.AGAIN]
    suspects = [one for one in again if one.crashes >= SUSPECT_FROM]
    if suspects:
        now = await conn.fetchval("SELECT now()")
        ids = await outbox.move(conn, [outbox.Move([one.id], now) for one in suspects], watch_s=outbox.WATCH_S)
        report.quarantine = [
            OutboxRow(envelope, one.tenant_id, one.lane, [one.id], now)
            for envelope, one in zip(ids, suspects, strict=True)
        ]
    moved = {one.id for one in suspects}
    envelopes = sorted({one.envelope_id for one in again if one.id not in moved})
    await outbox.publish_again(conn, envelopes)
    report.published_again = len(envelopes)


def _letter(one: Watched, deaths: Sequence[Death]) -> letters.DeadLetter:
    return crash_letter(
        one.id,
        one.tenant_id,
        one.lane,
        provider=one.provider,
        template=one.template,
        template_version=one.template_version,
        category=one.category,
        attempt=one.attempt,
        crashes=one.crashes + 1,
        deaths=deaths,
    )
