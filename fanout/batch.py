"""Group commit: requests that arrive while a batch is being written form the next one.

No timer: a lone request never waits, and a crowd shares a transaction (`fanout.line` says which of them). Bulk
requests make batches of their own. What RabbitMQ confirms beside the answers is written
down once a second: most of it is worked off by then, and needs no word.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from itertools import chain
from typing import Any
from uuid import UUID

import asyncpg
import structlog

from domain.clock import Clock, utc_now
from domain.errors import OURSELVES, CarillonError, RequestRefused, Unavailable
from domain.ids import notification_id
from domain.lanes import DECLARED_LANES, Lane, Priority
from domain.notification import NotificationRequest
from fanout.accept import Batch, Intake, commit, look_up, remember
from fanout.bulk import TRIES, accept_bulk
from fanout.cases import Accepted, BulkAccepted, Case, IdempotencyKey, Item, Sender
from fanout.gates.idempotency import fold
from fanout.limits import give_back
from fanout.line import MAX_BATCH, Line
from plumbing import metrics
from plumbing.database import borrow, is_conflict
from tracking import outbox
from tracking.rows import OutboxRow

MAX_WAITING = 5000
MAX_WAITING_BULKS = 32
"""Each holds up to 4 MiB of JSON in memory; whoever comes then is told to come again."""

MAX_PUBLISHING = 2000
"""Deliveries on their way to RabbitMQ; beyond, the relay takes what comes."""

LATE_AFTER_S = 0.5
"""A batch that takes longer makes us ask PostgreSQL whether it is there."""

SILENT_AFTER_S = 1.0
"""When it has not said so by then, whoever waits is told to come again. One that is only slow says so in time, and is
waited for: else each of its batches would be refused, and committed, and asked for again."""

PATIENCE_EVERY_S = 0.25

INLINE = frozenset(lane for lane in DECLARED_LANES if lane.priority is not Priority.LOW)
"""Lanes that may be published beside the answer; low ones go by the relay."""


Publish = Callable[[Sequence[OutboxRow]], Awaitable[set[UUID]]]
OpenLanes = Callable[[], Awaitable[Collection[Lane]]]
log = structlog.get_logger()


class Batcher:
    """Gathers single sends into batches and commits them one after the other; opened and closed with its process."""

    def __init__(
        self, intake: Intake, publish: Publish, *, open_lanes: OpenLanes | None = None, clock: Clock = utc_now
    ) -> None:
        self._intake = intake
        self._publish = publish
        self._open_lanes = open_lanes
        self._inline_lanes = INLINE
        self._has_published = True
        """Since the last look at the lanes: while nothing is published, nobody needs one."""

        self._clock = clock
        self._line = Line()
        self._begun: dict[int, tuple[float, list[Case]]] = {}
        """Each batch under way and when it was begun (the loop's time), the oldest first."""

        self._moved = asyncio.Event()
        """The next batch may begin, or the last one is over."""

        self._idle = asyncio.Event()
        self._confirmed: list[UUID] = []
        self._publishing = 0
        self._asked: asyncio.Task[bool] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._runs: list[asyncio.Task[None]] = []
        self._bulk_slots = asyncio.Semaphore(2)
        self._bulks = 0

    def open(self) -> None:
        """Begin to take cases."""
        self._runs = [asyncio.create_task(each) for each in (self._run(), self._look_around(), self._lose_patience())]

    async def close(self) -> None:
        """Commit what was taken, let the envelopes under way be confirmed, and stop."""
        await self._idle.wait()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)
        ends = [*self._runs, *([self._asked] if self._asked is not None else [])]
        for each in ends:
            each.cancel()
        await asyncio.gather(*ends, return_exceptions=True)
        with contextlib.suppress(CarillonError):
            await self._flush_confirmed()

    async def submit(self, item: Item) -> Accepted:
        """Accept one request. Raises RequestRefused (4xx) or Unavailable (503); nothing is kept then, or nobody knows
        and the same key asks again safely."""
        if len(self._line) >= MAX_WAITING:
            raise Unavailable(OURSELVES, "too many requests are waiting", retry_after_s=1)
        case = self._case(item)
        self._line.add([case])
        self._idle.clear()
        if self._line.may_begin:
            self._moved.set()
        return await case.answer

    async def submit_bulk(
        self, sender: Sender, requests: Sequence[NotificationRequest | RequestRefused], key: IdempotencyKey | None
    ) -> BulkAccepted:
        """Accept many in one transaction of their own; each has its own result. Raises as `submit` does."""
        if self._bulks >= MAX_WAITING_BULKS:
            raise Unavailable(OURSELVES, "too many bulk requests are waiting", retry_after_s=1)
        self._bulks += 1
        try:
            async with self._bulk_slots:
                accepted, at_once = await accept_bulk(
                    self._intake, sender, requests, key, now=self._clock(), inline=self._inline()
                )
        finally:
            self._bulks -= 1
        self._publish_beside(at_once)
        return accepted

    def _case(self, item: Item) -> Case:
        now_ms = int(self._clock().timestamp() * 1000)
        return Case(item, notification_id(now_ms), asyncio.get_running_loop().create_future())

    async def _run(self) -> None:
        while True:
            while batch := self._line.begin():
                self._beside(self._accept(batch))
            if self._line.is_idle:
                self._idle.set()
            await self._moved.wait()
            self._moved.clear()

    async def _accept(self, cases: list[Case]) -> None:
        """Accept one batch; whatever goes wrong, every case of it has its answer in the end, or waits for a twin."""
        metrics.ACCEPT_BATCH_SIZE.observe(len(cases))
        self._begun[id(cases)] = asyncio.get_running_loop().time(), cases
        try:
            batch = await look_up(self._intake, fold(cases))
            try:
                await self._commit(batch)
            except Exception:
                await give_back(self._intake.limiter, batch.spent, everything=True)
                raise
        except CarillonError as error:
            _refuse_all(cases, error)
        except Exception as error:
            log.exception("batch.failed", size=len(cases))
            _refuse_all(cases, error)
        finally:
            del self._begun[id(cases)]
            self._line.over(cases)
            self._moved.set()

    async def _commit(self, batch: Batch) -> None:
        now, inline = self._clock(), self._inline()
        one_by_one, conflicts = False, 0
        while True:
            try:
                committed = await commit(self._intake, batch, now=now, inline=inline, one_by_one=one_by_one)
            except asyncpg.DataError:
                if one_by_one:
                    raise
                one_by_one = True
            except Unavailable as error:
                conflicts += 1
                if conflicts == TRIES or not is_conflict(error):
                    raise
            else:
                self._publish_beside(committed.at_once)
                self._wait_for_twins(committed.waiting)
                if any(committed.loaded):
                    self._beside(remember(self._intake, committed))
                if batch.spent.unused(everything=False):
                    self._beside(give_back(self._intake.limiter, batch.spent))
                return

    def _wait_for_twins(self, waiting: Sequence[Case]) -> None:
        """Put cases whose twin is in another transaction into the next batch."""
        self._line.add(waiting)

    def _inline(self) -> frozenset[Lane]:
        return self._inline_lanes if self._publishing < MAX_PUBLISHING else frozenset()

    def _publish_beside(self, rows: list[OutboxRow]) -> None:
        if rows:
            self._has_published = True
            self._beside(self._publish_rows(rows))

    def _beside(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something after the answers that no answer waits for."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _publish_rows(self, rows: list[OutboxRow]) -> None:
        size = sum(len(row.delivery_ids) for row in rows)
        self._publishing += size
        try:
            self._confirmed += await self._publish(rows)
        finally:
            self._publishing -= size

    async def _look_around(self) -> None:
        """Each second: which lanes still have room, and what was confirmed meanwhile."""
        while True:
            try:
                if self._open_lanes is not None and (self._has_published or self._inline_lanes != INLINE):
                    self._has_published = False
                    self._inline_lanes = INLINE.intersection(await self._open_lanes())
                await self._flush_confirmed()
            except Unavailable as error:
                log.warning("batch.look_failed", error=str(error))
            except Exception:
                log.exception("batch.look_failed")
            await asyncio.sleep(1)

    async def _lose_patience(self) -> None:
        """While PostgreSQL says nothing: answer whoever waits, in a batch or for one. What comes of a batch comes."""
        while True:
            await asyncio.sleep(PATIENCE_EVERY_S)
            if self._is_late() and not await self._is_there():
                silent = Unavailable("PostgreSQL", f"no answer for {SILENT_AFTER_S:g} s", retry_after_s=1)
                begun = chain.from_iterable(cases for _, cases in self._begun.values())
                _refuse_all([*begun, *self._line.dissolve()], silent)

    def _is_late(self) -> bool:
        now_s = asyncio.get_running_loop().time()
        return any(now_s - begun_s > LATE_AFTER_S for begun_s, _ in self._begun.values())

    async def _is_there(self) -> bool:
        """Whether PostgreSQL answers the least question in time; what it still owes an answer to is not asked anew."""
        if self._asked is None or self._asked.done():
            self._asked = asyncio.create_task(self._ask())
        await asyncio.wait([self._asked], timeout=SILENT_AFTER_S)
        return self._asked.done() and self._asked.result()

    async def _ask(self) -> bool:
        try:
            async with borrow(self._intake.pool) as conn:
                await conn.execute("SELECT 1")
        except Unavailable:
            return False
        return True

    async def _flush_confirmed(self) -> None:
        while confirmed := self._confirmed[:MAX_BATCH]:
            async with borrow(self._intake.pool) as conn:
                await outbox.mark_published(conn, confirmed, is_late=True)
            del self._confirmed[: len(confirmed)]


def _refuse_all(cases: Sequence[Case], error: BaseException) -> None:
    for case in cases:
        case.refuse(error)
