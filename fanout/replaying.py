"""Runs a replay, one transaction at a time: a canary, ten, then the rest at their pace; it stops by itself.

The cursor is written with each batch: whoever takes over goes on where the last one has committed.
"""

import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from domain.delivery import DeliveryStatus
from domain.reasons import Reason
from domain.replay import MAX_LETTERS, NEXT, TEN, Refusal, RunStatus, StageVerdict, stage_verdict
from fanout.rechecking import recheck
from plumbing.failpoints import Failpoint, reach
from preferences.categories import Categories
from tracking.dead import replay, runs
from tracking.dead.hold import hold
from tracking.dead.listing import Chosen, count
from tracking.dead.runs import Run
from tracking.dead.trail import Act, Note, note
from tracking.rows import OutboxRow

MAX_BATCH = 500
LONGEST_PAUSE = timedelta(seconds=6)
"""What a run may catch up with at once: a little more than a leader's beat."""


@dataclass(slots=True)
class Step:
    """What one transaction did. `quarantine` is to be published after COMMIT; `has_more`: go on at once."""

    run: Run
    has_more: bool = False
    quarantine: list[OutboxRow] = field(default_factory=list)


@dataclass(slots=True)
class Counted:
    """What a dry run found; `is_complete` when it looked at all of them."""

    matched: int
    looked_at: int = 0
    replayed: int = 0
    refused: Counter[Refusal] = field(default_factory=Counter)
    is_complete: bool = False


async def step(conn: asyncpg.Connection, categories: Categories, run_id: UUID) -> Step | None:
    """Take a run one batch further, in the caller's transaction; None when it is over, or somebody is at it."""
    run = await runs.hold(conn, run_id)
    if run is None:
        return None
    now: datetime = await conn.fetchval("SELECT now()")
    if run.watched and not await _judge_stage(conn, run):
        return Step(run)
    if run.status.is_over:
        await runs.keep(conn, run)
        return Step(run)
    done = Step(run)
    if run.status is RunStatus.REST:
        await _send_rest(conn, categories, done, now)
    else:
        await _send_stage(conn, categories, done, now)
    await runs.keep(conn, run)
    reach(Failpoint.REPLAY_BEFORE_COMMIT)
    return done


async def count_dry(
    conn: asyncpg.Connection, categories: Categories, tenant_id: UUID, chosen: Chosen, *, within_s: float
) -> Counted:
    """What a run would do by now: counted, and nothing else; it begins no batch after `within_s`."""
    begun_s = time.monotonic()
    found = Counted(await count(conn, tenant_id, chosen, at_most=MAX_LETTERS + 1))
    after: UUID | None = None
    while not found.is_complete and time.monotonic() - begun_s < within_s:
        held = await hold(conn, tenant_id, chosen, limit=MAX_BATCH, after=after, is_locking=False)
        now: datetime = await conn.fetchval("SELECT now()")
        rechecked = await recheck(conn, categories, tenant_id, held, now=now, is_dry=True)
        found.looked_at += len(held)
        found.replayed += len(rechecked.replays)
        found.refused.update(one.refusal for one in rechecked.refused)
        found.is_complete = len(held) < MAX_BATCH
        after = held[-1].id if held else None
    return found


async def _judge_stage(conn: asyncpg.Connection, run: Run) -> bool:
    """Look at what was sent first: on to the next stage, or an end; False while nothing can be said yet."""
    standings = await replay.standings(conn, run.watched)
    verdict = stage_verdict(DeliveryStatus.of(row["status"]) for row in standings)
    if verdict is StageVerdict.WAIT:
        return False
    if verdict is StageVerdict.FAILED:
        [first, *_] = [row for row in standings if stage_verdict([DeliveryStatus.of(row["status"])]) is verdict]
        reason = f" ({Reason.of(first['reason'])})" if first["reason"] is not None else ""
        run.why = f"{run.status}: delivery {first['id']} is {DeliveryStatus.of(first['status'])}{reason}"
        run.status = RunStatus.STOPPED
    elif verdict is StageVerdict.PASSED:
        run.status = NEXT[run.status]
    run.watched = []
    return True


async def _send_stage(conn: asyncpg.Connection, categories: Categories, done: Step, now: datetime) -> None:
    """Send as many as the stage wants; where rules refuse some, others take their place."""
    run = done.run
    wanted = run.canary if run.status is RunStatus.CANARY else TEN
    looked_at, is_last = 0, False
    while len(run.watched) < wanted and looked_at < MAX_BATCH and not is_last:
        limit = wanted - len(run.watched)
        number, back = await _send(conn, categories, done, limit, now)
        run.watched += back
        looked_at += number
        is_last = number < limit
    run.updated_at = now
    if is_last and not run.watched:
        run.status = RunStatus.FINISHED
    done.has_more = not run.watched and not is_last


async def _send_rest(conn: asyncpg.Connection, categories: Categories, done: Step, now: datetime) -> None:
    """Send what is due by the run's pace."""
    run = done.run
    since = max(run.updated_at, now - LONGEST_PAUSE)
    due = int((now - since).total_seconds() * run.rate_per_s)
    limit = min(due, MAX_BATCH)
    if limit == 0:
        return
    number, _ = await _send(conn, categories, done, limit, now)
    run.updated_at = since + timedelta(seconds=number / run.rate_per_s)
    if number < limit:
        run.status = RunStatus.FINISHED
    else:
        done.has_more = due > limit


async def _send(
    conn: asyncpg.Connection, categories: Categories, done: Step, limit: int, now: datetime
) -> tuple[int, list[UUID]]:
    """Look at the next `limit` letters and put back what may go: how many there were, and the deliveries."""
    run = done.run
    held = await hold(conn, run.tenant_id, run.chosen, limit=limit, after=run.cursor, until=run.created_at)
    rechecked = await recheck(conn, categories, run.tenant_id, held, now=now)
    back = await replay.put_back(conn, run.tenant_id, rechecked.replays, run_id=run.id, who=run.created_by)
    gone_on = {one.journey.id: one.letter_id for one in rechecked.replays}
    for delivery in back.delivery_ids:
        del gone_on[delivery]
    run.refused.update(one.refusal for one in rechecked.refused)
    run.refused.update(Refusal.MOVED_ON for _ in gone_on)
    notes = [
        Note(one.letter_id, Act.REFUSED, f"{one.refusal}: {one.detail}" if one.detail else str(one.refusal))
        for one in rechecked.refused
        if one.refusal is not Refusal.ALREADY_SETTLED
    ]
    await note(conn, run.tenant_id, notes, who=run.created_by, run_id=run.id)
    run.looked_at += len(held)
    run.replayed += len(back.delivery_ids)
    run.cursor = held[-1].id if held else run.cursor
    done.quarantine += back.quarantine
    return len(held), back.delivery_ids
