"""Receipts: what providers report later, applied in batches; those that match nothing yet wait, then go to the dead.

A message holds one receipt or, from a gateway, an array of at most 500. What speaks of a push whose end is still held
is written together with that. A receipt may overtake the row it speaks of.
Unmatched ones are kept here unacknowledged for 10 s, 1 m and 5 m: a crash gives them back to the broker, and their wait
begins anew.
"""

import asyncio
from collections.abc import Awaitable, Callable, Container, Sequence
from functools import partial

import asyncpg
import structlog

from domain.errors import CarillonError
from domain.receipts import Receipt
from plumbing import metrics
from plumbing.broker.topology import RECEIPTS_QUEUE
from tracking import receipts as ledger
from workers.holding import Told
from workers.receipt_messages import Held, Met, ReceiptMessage, UnreadableReceipts, encode_many, read_message

MAX_BATCH = 500
GATHER_S = 0.05
"""So long the first of a batch waits for others."""

MAX_UNMATCHED = 500
"""More than so many kept waiting: the next ones go to the dead letters at once."""

PREFETCH = 2 * MAX_UNMATCHED
WAITS_S = (10.0, 60.0, 300.0)
AGAIN_S = 1.0
EARLY_S = 0.5
MAX_EARLY = 20
"""A device that left before the worker could note that it had sent: the note comes soon, or a lease has run out."""

Meet = Callable[[Receipt, Told], bool]
"""Joins a receipt to the end that it speaks of, where that is not written yet."""

PublishDead = Callable[[str, bytes, dict[str, str | int]], Awaitable[bool]]
log = structlog.get_logger(__name__)


class Receipts:
    """Applies what `put` was given, in batches; `close` ends it, and what was not applied comes again."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        publish_dead: PublishDead,
        *,
        waits_s: tuple[float, ...] = WAITS_S,
        forget: ledger.Forget | None = None,
        meet: Meet | None = None,
    ) -> None:
        self._pool = pool
        self._meet = meet
        self._forget = forget
        self._publish_dead = publish_dead
        self._waits_s = waits_s
        self._queue: asyncio.Queue[Held | ReceiptMessage] = asyncio.Queue()
        self._waiting: set[asyncio.TimerHandle] = set()
        self._acks: set[asyncio.Task[None]] = set()
        self._run: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin to apply."""
        self._run = asyncio.create_task(self._apply_all(), name="receipts")

    def put(self, message: ReceiptMessage) -> None:
        """Take a message; returns at once. How many come is bounded by the prefetch."""
        try:
            held = read_message(message)
        except UnreadableReceipts:
            self._queue.put_nowait(message)
            return
        left = held if self._meet is None else self._join(held, self._meet)
        if left is not None:
            self._queue.put_nowait(left)

    def _join(self, one: Held, meet: Meet) -> Held | None:
        """Have written what can be written with its end; answers the rest, if there is any."""
        met = Met(one, self._after_meeting)
        rest = [receipt for receipt in one.receipts if not meet(receipt, partial(met.told, receipt))]
        return met.begin(len(one.receipts) - len(rest), rest)

    def _after_meeting(self, met: Met) -> None:
        """The ends are written: with these receipts, or some of them have to be applied in the usual way."""
        metrics.RECEIPTS.labels(outcome=metrics.ReceiptOutcome.APPLIED).inc(met.written)
        if met.left:
            self._queue.put_nowait(Held(met.message, met.left, is_many=met.is_many))
            return
        task = asyncio.create_task(met.message.ack())
        self._acks.add(task)
        task.add_done_callback(self._acks.discard)

    @property
    def waiting(self) -> int:
        """Messages held until what they speak of is there."""
        return len(self._waiting)

    async def close(self) -> None:
        """Stop. Messages not acknowledged go back to the broker with the connection."""
        for timer in self._waiting:
            timer.cancel()
        if self._run is not None:
            self._run.cancel()
            await asyncio.gather(self._run, *self._acks, return_exceptions=True)

    async def _apply_all(self) -> None:
        while True:
            entry: Held | ReceiptMessage | None = await self._queue.get()
            until_s = asyncio.get_running_loop().time() + GATHER_S
            held: list[Held] = []
            while entry is not None:
                if (one := await self._read(entry)) is not None:
                    held.append(one)
                is_full = sum(len(one.receipts) for one in held) >= MAX_BATCH
                entry = None if is_full else await self._next(until_s)
            if held:
                await self._apply_until_done(held)

    async def _next(self, until_s: float) -> Held | ReceiptMessage | None:
        """One more, where it comes in time."""
        if not self._queue.empty():
            return self._queue.get_nowait()
        try:
            async with asyncio.timeout_at(until_s):
                return await self._queue.get()
        except TimeoutError:
            return None

    async def _apply_until_done(self, held: list[Held]) -> None:
        while True:
            try:
                await self._apply(held)
            except CarillonError as error:
                log.warning("receipts.postponed", size=len(held), error=str(error))
                await asyncio.sleep(AGAIN_S)
                continue
            except Exception as error:
                if len(held) > 1:  # one of them is guilty: alone each errs for itself
                    for one in held:
                        await self._apply_until_done([one])
                else:
                    log.exception("receipts.failed")
                    await self._apply_each(held[0], type(error).__name__)
            return

    async def _apply_each(self, one: Held, error: str) -> None:
        """One receipt of a message is guilty, perhaps its only one: the others count all the same."""
        guilty = []
        for receipt in one.receipts:
            try:
                await ledger.apply(self._pool, [receipt], forget=self._forget)
            except Exception:
                guilty.append(receipt)
        metrics.RECEIPTS.labels(outcome=metrics.ReceiptOutcome.UNREADABLE).inc(len(guilty))
        await self._end(one, guilty, "unusable_receipt", error)

    async def _read(self, entry: "Held | ReceiptMessage") -> Held | None:
        if isinstance(entry, Held):
            return entry
        try:
            return read_message(entry)
        except UnreadableReceipts as error:
            await self._bury(entry, entry.body, "unreadable_receipt", str(error)[:200])
            metrics.RECEIPTS.labels(outcome=metrics.ReceiptOutcome.UNREADABLE).inc()
            return None

    async def _apply(self, held: list[Held]) -> None:
        told = [receipt for one in held for receipt in one.receipts]
        answer = await ledger.apply(self._pool, told, forget=self._forget)
        metrics.RECEIPTS.labels(outcome=metrics.ReceiptOutcome.APPLIED).inc(answer.applied)
        metrics.RECEIPTS.labels(outcome=metrics.ReceiptOutcome.IGNORED).inc(answer.ignored)
        early = {id(receipt) for receipt in answer.early}
        unmatched = {id(receipt) for receipt in answer.unmatched}
        for one in held:
            await self._hold(one, early=early, unmatched=unmatched)

    async def _hold(self, one: Held, *, early: Container[int], unmatched: Container[int]) -> None:
        """Acknowledge a message of which nothing is left; let the rest come again, as long as that may help."""
        may_wait = one.waited < len(self._waits_s) and len(self._waiting) < MAX_UNMATCHED
        unknown = [receipt for receipt in one.receipts if id(receipt) in unmatched]
        too_early = [receipt for receipt in one.receipts if id(receipt) in early and one.early < MAX_EARLY]
        waiting = [receipt for receipt in unknown if receipt.delivery_id is not None and may_wait]
        lost = [receipt for receipt in unknown if receipt.delivery_id is None or not may_wait]
        metrics.RECEIPTS.labels(outcome=metrics.ReceiptOutcome.UNMATCHED).inc(len(lost))
        if not waiting and not too_early:
            await self._end(one, lost, "unmatched_receipt", f"no delivery after {one.waited} waits")
            return
        if lost:
            await self._publish_dead(
                RECEIPTS_QUEUE, encode_many(lost), {"x-reason": "unmatched_receipt", "x-detail": "no reference"}
            )
        one.receipts = [*too_early, *waiting]
        one.early += bool(too_early)
        one.waited += bool(waiting and not too_early)
        self._wait(one, EARLY_S if too_early else self._waits_s[one.waited - 1])

    async def _end(self, one: Held, lost: Sequence[Receipt], reason: str, detail: str) -> None:
        """Nothing more will come of this message; those of its receipts that were of no use go to the dead."""
        if not lost:
            await one.message.ack()
        else:
            body = encode_many(lost) if one.is_many else one.message.body
            await self._bury(one.message, body, reason, detail)

    def _wait(self, one: Held, wait_s: float) -> None:
        """Let it come again later."""

        def come_again() -> None:
            self._waiting.discard(timer)
            self._queue.put_nowait(one)

        timer = asyncio.get_running_loop().call_later(wait_s, come_again)
        self._waiting.add(timer)

    async def _bury(self, message: ReceiptMessage, body: bytes, reason: str, detail: str) -> None:
        """To the dead receipts; where it could not be published, by the queue's own path."""
        if await self._publish_dead(RECEIPTS_QUEUE, body, {"x-reason": reason, "x-detail": detail}):
            await message.ack()
        else:
            await message.reject_to_dead()
