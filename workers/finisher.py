"""Writes down how attempts ended, many in one transaction: then publishes what rests, then acknowledges.

Group commit: a batch closes when the one before it has committed, so a lone ending never waits and a crowd shares a
transaction. Pushes on which nothing waits are held a moment longer (`workers.holding`). A crash between any two steps
leaves a message that comes again or a row that the sweeper finds.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Coroutine
from typing import Any
from uuid import UUID

import structlog

from domain.errors import CarillonError
from domain.ids import uuid7
from domain.lanes import Lane
from domain.reasons import Reason
from domain.receipts import Receipt, ReceiptKind
from plumbing import metrics
from plumbing.broker.envelope import Envelope
from plumbing.failpoints import Failpoint, reach
from tracking.claim import Claimed
from tracking.finish import FinishResult, finish, finish_sent, give_back
from workers.backoff import PARKING_LEVEL
from workers.crew import Crew
from workers.endings import Ending
from workers.holding import GATHER_S, Ended, Holding, Told
from workers.parcels import settle
from workers.telling import tell, tell_displaced, tell_sent

MAX_BATCH = 500
AGAIN_S = 0.5
"""PostgreSQL did not take a batch: so long until the next try."""

PUBLISH_TRIES = 3

log = structlog.get_logger(__name__)


class Finisher:
    """Takes endings and sees them through; `drain` before the process ends."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._waiting: deque[Ended] = deque()
        self._holding = Holding()
        self._tick: asyncio.TimerHandle | None = None
        self._added = asyncio.Event()
        self._following: set[asyncio.Task[None]] = set()
        self._run: asyncio.Task[None] | None = None
        self._busy = 0
        self._is_closing = False

    @property
    def backlog(self) -> int:
        """Endings not written yet, but for those that are held on purpose."""
        return len(self._waiting) + self._busy

    def open(self) -> None:
        """Begin to write."""
        self._run = asyncio.create_task(self._write_all(), name="finisher")

    def add(self, ended: Ended) -> None:
        """Take one ending; returns at once."""
        if self._is_closing or not ended.may_wait or ended in self._holding:
            self._waiting.append(ended)
            self._added.set()
            return
        loop = asyncio.get_running_loop()
        self._holding.add(ended, loop.time())
        if self._holding.is_full:
            self._release_held()
        elif self._tick is None:
            self._tick = loop.call_later(GATHER_S, self._release_held)

    def meet(self, receipt: Receipt, told: Told) -> bool:
        """Let a receipt join the end that it speaks of, where that is held; `told` hears when it is written."""
        is_met = self._holding.meet(receipt, told)
        if is_met and receipt.kind is not ReceiptKind.DELIVERED:
            self._release_held()
        return is_met

    def _release_held(self) -> None:
        """Have written what was held long enough, or has what it was held for."""
        loop = asyncio.get_running_loop()
        if self._tick is not None:
            self._tick.cancel()
            self._tick = None
        if due := self._holding.due(loop.time(), is_all=self._is_closing):
            self._waiting.extend(due)
            self._added.set()
        if len(self._holding):
            self._tick = loop.call_later(GATHER_S, self._release_held)

    async def drain(self, timeout_s: float) -> bool:
        """Write, publish and acknowledge all that was added, then stop; False when the time was not enough."""
        self._is_closing = True
        self._release_held()
        self._added.set()
        left = {task for task in (self._run, *self._following) if task is not None}
        try:
            async with asyncio.timeout(timeout_s):
                while left:
                    await asyncio.wait(left)
                    left = set(self._following)
        except TimeoutError:
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
            return False
        return True

    async def _write_all(self) -> None:
        while self._waiting or not self._is_closing:
            await self._added.wait()
            self._added.clear()
            while self._waiting:
                plain, others = self._next_batch()
                self._busy = len(plain) + len(others)
                for alike in _by_kind([*await self._write_sent(plain), *others]):
                    await self._write_until_done(alike)
                self._busy = 0

    def _next_batch(self) -> tuple[list[Ended], list[Ended]]:
        """What is written next: attempts that were sent and nothing else, and the others."""
        plain: list[Ended] = []
        others: list[Ended] = []
        for _ in range(min(MAX_BATCH, len(self._waiting))):
            ended = self._waiting.popleft()
            ended.is_begun = True
            (plain if ended.is_plain else others).append(ended)
        return plain, others

    async def _write_sent(self, batch: list[Ended]) -> list[Ended]:
        """Write what was sent in one statement; answers those that this could not be done for."""
        if not batch:
            return []
        acks = {ended.ending.claimed.id: ended.ack for ended in batch if ended.ack is not None}
        finished = [ended.ending.finished for ended in batch if ended.ending.finished is not None]
        while True:
            try:
                written = await finish_sent(self._crew.pool, finished, acks)
            except CarillonError as error:
                log.warning("finish.postponed", size=len(batch), error=str(error))
                await asyncio.sleep(AGAIN_S)
                continue
            except Exception as error:
                log.warning("finish.divided", size=len(batch), error=repr(error))
                return batch
            break
        metrics.FINISH_BATCH_SIZE.observe(len(batch))
        done = [ended for ended in batch if ended.ending.claimed.id in written]
        if done:
            self._start(self._follow_sent(done))
        return [ended for ended in batch if ended.ending.claimed.id not in written] if len(done) < len(batch) else []

    async def _write_until_done(self, batch: list[Ended]) -> None:
        while True:
            try:
                written = await self._write(batch)
            except CarillonError as error:
                log.warning("finish.postponed", size=len(batch), error=str(error))
                await asyncio.sleep(AGAIN_S)
                continue
            except Exception:
                if len(batch) > 1:  # one of them is guilty: alone each errs for itself
                    for ended in batch:
                        await self._write_until_done([ended])
                else:
                    log.exception("finish.failed", delivery_id=str(batch[0].ending.claimed.id))
                    self._holding.end(batch[0], is_written=False)
                    await settle(list(batch[0].pieces))  # its lease runs out, and the sweeper judges it
                return
            self._start(self._follow(batch, written))
            return

    def _start(self, following: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(following)
        self._following.add(task)
        task.add_done_callback(self._following.discard)

    async def _write(self, batch: list[Ended]) -> FinishResult:
        """Write endings of one kind; `written` are those that were still ours and stand as their ending says."""
        metrics.FINISH_BATCH_SIZE.observe(len(batch))
        finished = [ended.ending.finished for ended in batch if ended.ending.finished is not None]
        if finished:
            result = await finish(self._crew.pool, finished, keep=self._crew.keep)
            result.written -= result.cancelled
            return result
        claims = [(ended.ending.claimed.id, ended.ending.claimed.lease_token) for ended in batch]
        reason = batch[0].ending.reason or Reason.SHUTDOWN
        return FinishResult(written=await give_back(self._crew.pool, claims, reason=reason))

    async def _follow_sent(self, batch: list[Ended]) -> None:
        """After the commit: count, tell those whose receipts were written with it, then acknowledge."""
        reach(Failpoint.WORKER_AFTER_FINISH)
        try:
            tell_sent([ended.ending for ended in batch])
            for ended in batch:
                self._holding.end(ended, is_written=True)
        except Exception:
            log.exception("finish.not_followed", size=len(batch))
        await settle([piece for ended in batch for piece in ended.pieces])

    async def _follow(self, batch: list[Ended], result: FinishResult) -> None:
        """After the commit: publish what rests, tell of letters and of what failed for good, then acknowledge."""
        reach(Failpoint.WORKER_AFTER_FINISH)
        endings = [ended.ending for ended in batch if ended.ending.claimed.id in result.written]
        try:
            for ending in endings:
                tell(ending, result.ended.get(ending.claimed.id))
            tell_displaced(result, {ended.ending.claimed.id for ended in batch})
            letters = [e.finished.mail for e in endings if e.finished is not None and e.claimed.id in result.kept]
            await asyncio.gather(self._publish_resting(endings), self._crew.announce(letters))
            for ending in endings:
                if ending.is_gone:
                    await self._suppress(ending.claimed)
        except Exception:
            log.exception("finish.not_followed", size=len(endings))  # what rests is the sweeper's
        for ended in batch:
            self._holding.end(ended, is_written=False)
        await settle([piece for ended in batch for piece in ended.pieces])

    async def _publish_resting(self, endings: list[Ending]) -> None:
        """One envelope per outbox row and level; what is not confirmed after three tries is the sweeper's."""
        bundles: defaultdict[tuple[UUID, UUID, Lane, str], list[UUID]] = defaultdict(list)
        for ending in endings:
            level = _level(ending)
            if level is not None:
                claimed = ending.claimed
                lane = Lane(claimed.channel, claimed.priority)
                bundles[(claimed.envelope_id or uuid7(), claimed.tenant_id, lane, level)].append(claimed.id)
        waiting = [
            (Envelope(envelope, tenant, lane, tuple(ids)), level)
            for (envelope, tenant, lane, level), ids in bundles.items()
        ]
        for turn in range(PUBLISH_TRIES):
            answers = await asyncio.gather(
                *(self._crew.publisher.publish_retry(envelope, level) for envelope, level in waiting)
            )
            waiting = [one for one, is_confirmed in zip(waiting, answers, strict=True) if not is_confirmed]
            if not waiting:
                return
            await asyncio.sleep(turn + 1)
        log.warning("rest.left_to_sweeper", envelopes=len(waiting))

    async def _suppress(self, claimed: Claimed) -> None:
        try:
            await self._crew.suppress(claimed)
        except CarillonError as error:  # the next failure of this address suppresses it
            log.warning("suppression.missed", delivery_id=str(claimed.id), error=str(error))


def _by_kind(batch: list[Ended]) -> list[list[Ended]]:
    """What is finished, and what is given back for each reason: each is one transaction, tried again by itself."""
    kinds: defaultdict[Reason | None, list[Ended]] = defaultdict(list)
    for ended in batch:
        kinds[ended.ending.reason if ended.ending.finished is None else None].append(ended)
    return list(kinds.values())


def _level(ending: Ending) -> str | None:
    """The retry level on which a delivery rests; None when it has ended, or waits in PostgreSQL."""
    if ending.finished is None:
        return PARKING_LEVEL
    return ending.rest.level if ending.rest is not None else None
