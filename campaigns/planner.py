"""The planner: makes notifications of broadcasts, a batch of subscribers at a time. Any number may run at once.

What a batch plans and how far the broadcast has come are one transaction, begun only by who holds the broadcast's row:
a planner that is killed leaves a batch whole or not at all, and two of them never plan one device twice.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

import structlog

from campaigns import broadcasts, subscribers
from campaigns.broadcasts import Broadcast
from campaigns.publication import due_now
from channels.push import mailbox
from domain.clock import Clock, utc_now
from domain.errors import CarillonError, Unavailable
from domain.ids import notification_id
from domain.lanes import Channel, Lane
from domain.notification import Recipient
from fanout.accept import Batch, Intake, count_expired, enter, look_up
from fanout.cases import Case, Item, Sender
from fanout.limits import give_back
from plumbing import metrics
from plumbing.database import borrow, is_conflict
from plumbing.failpoints import Failpoint, reach
from tracking import campaigns, outbox

BATCH = 500
"""Subscribers planned in one transaction, or notifications withdrawn: as many as fit into one envelope."""

MAX_WAITING = 50_000
"""Deliveries of a lane that may wait for the broker, about; what is beyond waits as a broadcast, which is one row."""

MAX_BROADCASTS = 20
IDLE_PAUSE_S = 0.5
LOOK_EVERY_S = 1.0
REST_S = 30.0
"""A broadcast that failed is left alone for so long; the others go on."""

log = structlog.get_logger(__name__)


class Planner:
    """Runs in every scheduler; `turn` is one batch of each open broadcast, `run` goes on until it is cancelled."""

    def __init__(
        self, intake: Intake, *, batch: int = BATCH, max_waiting: int = MAX_WAITING, clock: Clock = utc_now
    ) -> None:
        self._intake = intake
        self._batch = batch
        self._max_waiting = max_waiting
        self._clock = clock
        self._after = UUID(int=0)
        self._room: dict[Lane, tuple[float, int]] = {}
        self._rests_until_s: dict[UUID, float] = {}
        self.turned_s = time.monotonic()
        """When it last looked (monotonic); the watchdog reads it."""

    async def run(self) -> None:
        """Plan what is open, look again soon: at once when there was work."""
        while True:
            try:
                done = await self.turn()
            except CarillonError as error:
                log.warning("planner.failed", error=str(error))
                metrics.DUTY_FAILURES.labels(duty=metrics.Duty.PLAN).inc()
                done = 0
            await asyncio.sleep(0 if done else IDLE_PAUSE_S)

    async def turn(self) -> int:
        """One batch of each of the next open broadcasts, in turn; how many devices were planned or withdrawn.

        Raises Unavailable when nothing can be read.
        """
        self.turned_s = time.monotonic()
        found = await broadcasts.to_do(self._intake.pool, after=self._after, limit=MAX_BROADCASTS)
        self._after = found[-1].id if len(found) == MAX_BROADCASTS else UUID(int=0)
        self._rests_until_s = {one: at for one, at in self._rests_until_s.items() if at > self.turned_s}
        return sum([await self._work(one) for one in found if one.id not in self._rests_until_s])

    async def _work(self, broadcast: Broadcast) -> int:
        """One batch of one broadcast; its failure is told, and keeps no other from its turn."""
        self.turned_s = time.monotonic()
        try:
            if broadcast.cancelled_at is not None:
                return await self._withdraw(broadcast)
            return await self._plan(broadcast)
        except Unavailable as error:
            log.warning("broadcast.disturbed", broadcast_id=str(broadcast.id), error=str(error))
            if not is_conflict(error):
                raise
        except Exception:
            self._rests_until_s[broadcast.id] = time.monotonic() + REST_S
            metrics.DUTY_FAILURES.labels(duty=metrics.Duty.PLAN).inc()
            log.exception("broadcast.failed", broadcast_id=str(broadcast.id))
        return 0

    async def _plan(self, broadcast: Broadcast) -> int:
        lane = Lane(Channel.PUSH, broadcast.request.priority)
        if await self._room_of(lane) <= 0:
            return 0
        now = self._clock()
        devices = await subscribers.following(self._intake.pool, broadcast, self._batch)
        batch = await look_up(self._intake, _cases(broadcast, devices, now))
        _raise_refusal(batch, devices)
        try:
            recorded = await self._commit(broadcast, batch, devices, now)
        except Exception:
            await give_back(self._intake.limiter, batch.spent, everything=True)
            raise
        await give_back(self._intake.limiter, batch.spent, everything=recorded is None)
        if recorded is None:
            return 0
        count_expired(recorded)
        metrics.BROADCAST_PLANNED.inc(len(recorded))
        looked_s, room = self._room[lane]
        self._room[lane] = looked_s, room - len(recorded)
        return len(devices)

    async def _commit(
        self, broadcast: Broadcast, batch: Batch, devices: Sequence[UUID], now: datetime
    ) -> list[Case] | None:
        """Plan these devices and note it, in one transaction; None when another planner or a cancellation was first."""
        async with borrow(self._intake.pool) as conn, conn.transaction():
            if not await broadcasts.hold(conn, broadcast):
                return None
            there = await subscribers.still_there(conn, broadcast, devices[-1]) if devices else set()
            cases = [case for case in batch.cases if case.request.to.device_id in there]
            committed = await enter(self._intake, conn, batch, cases, now=now, inline=frozenset())
            await broadcasts.advance(
                conn,
                broadcast,
                cursor=devices[-1] if devices else None,
                planned=len(committed.recorded),
                is_last=len(devices) < self._batch,
            )
            reach(Failpoint.PLANNER_BEFORE_COMMIT)
        reach(Failpoint.PLANNER_AFTER_COMMIT)
        return committed.recorded

    async def _withdraw(self, broadcast: Broadcast) -> int:
        """Cancel what waits of the next notifications of a cancelled broadcast; how many were looked at."""
        async with borrow(self._intake.pool) as conn, conn.transaction():
            if not await broadcasts.hold(conn, broadcast):
                return 0
            gone = await campaigns.withdraw(
                conn, broadcast.id, after=broadcast.withdrawn_to, limit=self._batch, forget=mailbox.forget
            )
            is_last = gone.notifications < self._batch
            await broadcasts.note_withdrawn(conn, broadcast, gone.last, is_last=is_last)
        if gone.deliveries:
            log.info("broadcast.withdrawn", broadcast_id=str(broadcast.id), deliveries=gone.deliveries)
        return gone.notifications

    async def _room_of(self, lane: Lane) -> int:
        """How many deliveries the lane may still take, by a look at the outbox at most once a second."""
        looked_s, room = self._room.get(lane, (float("-inf"), 0))
        if time.monotonic() - looked_s >= LOOK_EVERY_S:
            async with borrow(self._intake.pool) as conn:
                room = self._max_waiting - await outbox.waiting(conn, lane, at_most=self._max_waiting)
            self._room[lane] = time.monotonic(), room
        return room


def _cases(broadcast: Broadcast, devices: Sequence[UUID], now: datetime) -> list[Case]:
    """One case per device. Nobody waits for their answers: what is decided stands in what is recorded."""
    loop = asyncio.get_running_loop()
    sender = Sender(broadcast.tenant_id, broadcast.mode, broadcast.key_id, "")
    request = due_now(broadcast.request, created_at=broadcast.created_at, now=now)
    now_ms = int(now.timestamp() * 1000)
    cases = []
    for device in devices:
        one = replace(request, to=Recipient(device_id=device))
        case = Case(Item(sender, one, campaign_id=broadcast.id), notification_id(now_ms), loop.create_future())
        case.answer.add_done_callback(lambda answer: answer.cancelled() or answer.exception())
        cases.append(case)
    return cases


def _raise_refusal(batch: Batch, devices: Sequence[UUID]) -> None:
    """Words are refused to all or to none: then the broadcast cannot be planned, and nothing is skipped."""
    if devices and not batch.cases:
        raise CarillonError("no device of this batch was taken: its category or its words are refused")
