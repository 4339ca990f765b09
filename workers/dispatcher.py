"""The dispatcher of one channel: hands free slots to lanes that have work, claims so many deliveries, sends at once.

Slots first, then the claim: what is claimed has a slot, so its provider call begins within milliseconds of the
claim's look at preferences. It decides nothing about outcomes; the finisher writes them down.
"""

import asyncio
from collections import Counter
from collections.abc import Coroutine, Mapping
from typing import Any
from uuid import UUID

import structlog

from domain.errors import CarillonError, CircuitOpen, NotSent
from domain.lanes import Channel, Priority
from domain.notification import Mode
from plumbing import metrics
from plumbing.failpoints import Failpoint, reach
from tracking.claim import Claim, claim
from workers.aside import set_aside
from workers.backoff import PARKING_LEVEL
from workers.crew import Crew
from workers.fairness import Slots, TenantTurns
from workers.finisher import Finisher
from workers.parcels import Parcel, Piece, by_parcel, settle
from workers.sending import Work, send, send_together
from workers.telling import tell_over

MAX_SLICE = 64
MAX_PUSH_SLICE = 250
"""Rows of larger slices cost less, but while one is composed (some 10 ms) nobody else in this process gets a turn."""

MAX_UNWRITTEN = 1000
"""With so many endings unwritten nothing new is claimed: PostgreSQL is behind."""

UNWRITTEN_PAUSE_S = 0.1
PACE_PAUSE_S = 0.05
"""Where the provider's pace leaves little room, the next look is so much later: what was claimed for it is on its way
by then, and nothing is claimed that would have to be given back."""

LEASE_MARGIN_S = 5.0
NO_CLAIM_PAUSE_S = 0.5
SHORTEST_PAUSE_S = 0.5
STUCK_S = 60.0

log = structlog.get_logger(__name__)


class Dispatcher:
    """Works off one channel's lanes. `put` takes messages, `drain` ends it without losing one."""

    def __init__(self, channel: Channel, crew: Crew, finisher: Finisher, *, slots: int) -> None:
        self.channel = channel
        self._crew = crew
        self._finisher = finisher
        self._slots = Slots(slots)
        self._lanes: Mapping[Priority, TenantTurns[Piece]] = {priority: TenantTurns() for priority in Priority}
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots_busy = metrics.SLOTS_BUSY.labels(channel=channel)
        self._run: asyncio.Task[None] | None = None
        self._is_closing = False
        self._paused_until_s = 0.0
        self._is_on_trial = False
        self._turned_s = asyncio.get_running_loop().time()

    def open(self) -> None:
        """Begin to work."""
        self._run = asyncio.create_task(self._dispatch(), name=f"dispatcher {self.channel}")
        self._run.add_done_callback(_tell_of_death)

    @property
    def is_alive(self) -> bool:
        """Whether it still takes up work: its loop runs, and turned within STUCK_S unless it waits on purpose."""
        if self._run is None or self._run.done():
            return False
        idle_since_s = max(self._turned_s, self._paused_until_s)
        return not self.waiting or asyncio.get_running_loop().time() - idle_since_s < STUCK_S

    @property
    def waiting(self) -> int:
        """Deliveries held and not claimed."""
        return sum(len(line) for line in self._lanes.values())

    def put(self, parcel: Parcel) -> None:
        """Take a message's deliveries; returns at once. How many come is bounded by the consumer's prefetch."""
        self._lanes[parcel.envelope.lane.priority].add(parcel.envelope.tenant_id, parcel.pieces())
        self._wake.set()

    async def drain(self, timeout_s: float) -> None:
        """Claim no more, let provider calls in flight end, park the rest for ten seconds."""
        self._is_closing = True
        self._wake.set()
        unfinished: set[asyncio.Task[None]] = {self._run} if self._run is not None else set()
        try:
            async with asyncio.timeout(timeout_s):
                while unfinished := {task for task in (*unfinished, *self._tasks) if not task.done()}:
                    await asyncio.wait(unfinished)
        except TimeoutError:
            log.warning("dispatcher.cut_short", channel=self.channel, calls=len(unfinished))
            for task in unfinished:
                task.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)
        await self._park([piece for line in self._lanes.values() for piece in line.drain()])

    async def _dispatch(self) -> None:
        while not self._is_closing:
            await self._wake.wait()
            self._wake.clear()
            while pieces := self._next_pieces():
                await self._turn(pieces)

    def _next_pieces(self) -> list[tuple[Priority, Piece]]:
        """Work for the slots that are free now; each of the pieces holds a slot of its priority."""
        loop = asyncio.get_running_loop()
        self._turned_s = loop.time()
        if self._finisher.backlog > MAX_UNWRITTEN:
            self._pause(UNWRITTEN_PAUSE_S)
        if self._is_closing or loop.time() < self._paused_until_s:
            return []
        at_most = MAX_PUSH_SLICE if self.channel is Channel.PUSH else MAX_SLICE
        room = self._crew.sending.room(self.channel)
        if room < at_most and self.waiting:
            self._pause(PACE_PAUSE_S)
            at_most = room
        if self._is_on_trial:
            at_most = 0 if self._slots.free < self._slots.total else min(at_most, 1)
        granted = self._slots.grant({priority: len(line) for priority, line in self._lanes.items()}, at_most=at_most)
        self._slots_busy.set(self._slots.total - self._slots.free)
        return [(priority, piece) for priority, count in granted.items() for piece in self._lanes[priority].take(count)]

    async def _turn(self, pieces: list[tuple[Priority, Piece]]) -> None:
        """Claim these in one statement; send what is ours, set the rest aside and free its slots."""
        copies: dict[UUID, list[Piece]] = {}
        for _, piece in pieces:
            copies.setdefault(piece.id, []).append(piece)
        claimed_s = asyncio.get_running_loop().time()
        lease_s = self._crew.sending.timeout_s(self.channel) + LEASE_MARGIN_S
        try:
            pieces = await self._pass_by_held(pieces, copies)
            may_repeat = self.channel is Channel.PUSH  # devices know what they were sent
            answer = await claim(self._crew.pool, copies, lease_s=lease_s, may_repeat=may_repeat)
        except CarillonError as error:
            log.warning("claim.failed", channel=self.channel, size=len(pieces), error=str(error))
            self._return(pieces)
            self._pause(NO_CLAIM_PAUSE_S)
            return
        except BaseException:
            self._return(pieces)
            raise
        metrics.CLAIM_BATCH_SIZE.observe(len(copies))
        if answer.claimed:
            reach(Failpoint.WORKER_AFTER_CLAIM)
        tell_over(answer.over)
        self._free_unclaimed(pieces, answer)
        works = [Work(delivery, copies.pop(delivery.id), claimed_s) for delivery in answer.claimed]
        if works and self.channel is Channel.PUSH:
            self._start(self._send_together(works))
        else:
            for work in works:
                self._start(self._send(work))
        if copies:
            self._start(self._set_aside(answer, [piece for copied in copies.values() for piece in copied]))

    async def _pass_by_held(
        self, pieces: list[tuple[Priority, Piece]], copies: dict[UUID, list[Piece]]
    ) -> list[tuple[Priority, Piece]]:
        """What no hold names. The others are set aside in PostgreSQL, taken out of `copies`, and settled."""
        holds = self._crew.holds
        await holds.keep_fresh()
        held = await holds.set_aside(copies) if holds.now else None
        if not held:
            return pieces
        done = [piece for delivery in held for piece in copies.pop(delivery)]
        for priority, piece in pieces:
            if piece.id in held:
                self._slots.release(priority)
        self._start(settle(done))
        return [(priority, piece) for priority, piece in pieces if piece.id not in held]

    def _free_unclaimed(self, pieces: list[tuple[Priority, Piece]], answer: Claim) -> None:
        """One slot stays with each claimed delivery; those of copies and of everything else are free again."""
        if len(answer.claimed) == len(pieces):
            return
        kept = {delivery.id for delivery in answer.claimed}
        for priority, piece in pieces:
            if piece.id in kept:
                kept.discard(piece.id)
            else:
                self._slots.release(priority)

    def _return(self, pieces: list[tuple[Priority, Piece]]) -> None:
        for priority, piece in pieces:
            self._slots.release(priority)
            self._lanes[priority].add(piece.parcel.envelope.tenant_id, [piece])

    async def _send(self, work: Work) -> None:
        try:
            ended, outcome = await send(self._crew, work)
        finally:
            # the slot is of the lane that brought it, whatever the row says
            self._slots.release(work.pieces[0].parcel.envelope.lane.priority)
            self._wake.set()
        if isinstance(outcome, CircuitOpen):
            self._pause(max(outcome.retry_after_s, SHORTEST_PAUSE_S))
            self._is_on_trial = True
        elif not isinstance(outcome, NotSent) and work.claimed.mode is not Mode.TEST:
            self._is_on_trial = False  # what a test key sent says nothing of the provider
        self._finisher.add(ended)

    async def _send_together(self, works: list[Work]) -> None:
        """Push: one call for the whole slice; it has no breaker that could ask for a pause."""
        try:
            ended = await send_together(self._crew, works)
        finally:
            brought = Counter(work.pieces[0].parcel.envelope.lane.priority for work in works)
            for priority, count in brought.items():
                self._slots.release(priority, count)
            self._wake.set()
        for one in ended:
            self._finisher.add(one)

    async def _set_aside(self, answer: Claim, pieces: list[Piece]) -> None:
        for piece in await set_aside(self._crew, answer, pieces):
            self._lanes[piece.parcel.envelope.lane.priority].add(piece.parcel.envelope.tenant_id, [piece])
        self._wake.set()

    def _pause(self, pause_s: float) -> None:
        """Grant no slot for a while: not while the breaker is open, nor while PostgreSQL does not answer."""
        loop = asyncio.get_running_loop()
        self._paused_until_s = max(self._paused_until_s, loop.time() + pause_s)
        loop.call_at(self._paused_until_s + 0.001, self._wake.set)

    def resume(self) -> None:
        """Look again at once, whatever it waits for: a breaker was ordered to open or close."""
        self._paused_until_s, self._is_on_trial = 0.0, False
        self._wake.set()

    async def _park(self, pieces: list[Piece]) -> None:
        """Send unclaimed deliveries to the ten-second queue, unchanged; what is not confirmed comes again by itself."""
        await asyncio.gather(*(self._park_part(parcel, ids) for parcel, ids in by_parcel(pieces)))

    async def _park_part(self, parcel: Parcel, ids: list[UUID]) -> None:
        if await self._crew.publisher.publish_retry(parcel.part(ids), PARKING_LEVEL):
            metrics.PARKED.labels(lane=parcel.envelope.lane).inc(len(ids))
            await settle([Piece(delivery, parcel) for delivery in ids])

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(_tell_of_death)


def _tell_of_death(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("dispatcher.task_failed", exc_info=error)
