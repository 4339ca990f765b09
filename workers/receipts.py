"""Receipts: what providers report later, applied in batches; those that match nothing yet wait, then go to the dead.

A receipt may overtake the row it speaks of. Unmatched ones are kept here unacknowledged for 10 s, 1 m and 5 m: a
crash gives them back to the broker, and their wait begins anew.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import asyncpg
import msgspec
import structlog

from domain.errors import CarillonError
from domain.receipts import Receipt
from plumbing import metrics
from plumbing.broker.topology import RECEIPTS_QUEUE
from tracking import receipts as ledger

MAX_BATCH = 500
MAX_UNMATCHED = 500
"""More than so many kept waiting: the next ones go to the dead letters at once."""

PREFETCH = 2 * MAX_UNMATCHED
WAITS_S = (10.0, 60.0, 300.0)
AGAIN_S = 1.0

PublishDead = Callable[[str, bytes, dict[str, str | int]], Awaitable[bool]]
log = structlog.get_logger(__name__)
_decode = msgspec.json.Decoder(Receipt).decode


class ReceiptMessage(Protocol):
    """A message with a receipt in it."""

    body: bytes

    async def ack(self) -> None:
        """Done with it."""

    async def reject_to_dead(self) -> None:
        """Let the broker bury it."""


@dataclass(eq=False, slots=True)
class _Held:
    message: ReceiptMessage
    receipt: Receipt
    waited: int = 0


def encode(receipt: Receipt) -> bytes:
    """A receipt as the body of its message."""
    return msgspec.json.encode(receipt)


class Receipts:
    """Applies what `put` was given, in batches; `close` ends it, and what was not applied comes again."""

    def __init__(self, pool: asyncpg.Pool, publish_dead: PublishDead, *, waits_s: tuple[float, ...] = WAITS_S) -> None:
        self._pool = pool
        self._publish_dead = publish_dead
        self._waits_s = waits_s
        self._queue: asyncio.Queue[_Held | ReceiptMessage] = asyncio.Queue()
        self._waiting: set[asyncio.TimerHandle] = set()
        self._run: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin to apply."""
        self._run = asyncio.create_task(self._apply_all(), name="receipts")

    def put(self, message: ReceiptMessage) -> None:
        """Take a message; returns at once. How many come is bounded by the prefetch."""
        self._queue.put_nowait(message)

    async def close(self) -> None:
        """Stop. Messages not acknowledged go back to the broker with the connection."""
        for timer in self._waiting:
            timer.cancel()
        if self._run is not None:
            self._run.cancel()
            await asyncio.gather(self._run, return_exceptions=True)

    async def _apply_all(self) -> None:
        while True:
            batch = [await self._queue.get()]
            while len(batch) < MAX_BATCH and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            held = [one for entry in batch if (one := await self._read(entry)) is not None]
            if held:
                await self._apply_until_done(held)

    async def _apply_until_done(self, held: list[_Held]) -> None:
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
                    metrics.RECEIPTS.labels(outcome=metrics.ReceiptOutcome.UNREADABLE).inc()
                    await self._bury(held[0].message, "unusable_receipt", type(error).__name__)
            return

    async def _read(self, entry: "_Held | ReceiptMessage") -> _Held | None:
        if isinstance(entry, _Held):
            return entry
        try:
            return _Held(entry, _decode(entry.body))
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            await self._bury(entry, "unreadable_receipt", str(error)[:200])
            metrics.RECEIPTS.labels(outcome=metrics.ReceiptOutcome.UNREADABLE).inc()
            return None

    async def _apply(self, held: list[_Held]) -> None:
        answer = await ledger.apply(self._pool, [one.receipt for one in held])
        unmatched = {id(receipt) for receipt in answer.unmatched}
        metrics.RECEIPTS.labels(outcome=metrics.ReceiptOutcome.APPLIED).inc(answer.applied)
        metrics.RECEIPTS.labels(outcome=metrics.ReceiptOutcome.IGNORED).inc(answer.ignored)
        for one in held:
            if id(one.receipt) not in unmatched:
                await one.message.ack()
            elif one.receipt.delivery_id is None or not self._wait(one):
                metrics.RECEIPTS.labels(outcome=metrics.ReceiptOutcome.UNMATCHED).inc()
                await self._bury(one.message, "unmatched_receipt", f"no delivery after {one.waited} waits")

    def _wait(self, one: _Held) -> bool:
        """Let it come again later; False when it has waited enough, or too many wait already."""
        if one.waited >= len(self._waits_s) or len(self._waiting) >= MAX_UNMATCHED:
            return False

        def come_again() -> None:
            self._waiting.discard(timer)
            self._queue.put_nowait(one)

        timer = asyncio.get_running_loop().call_later(self._waits_s[one.waited], come_again)
        one.waited += 1
        self._waiting.add(timer)
        return True

    async def _bury(self, message: ReceiptMessage, reason: str, detail: str) -> None:
        """To the dead receipts; where it could not be published, by the queue's own path."""
        if await self._publish_dead(RECEIPTS_QUEUE, message.body, {"x-reason": reason, "x-detail": detail}):
            await message.ack()
        else:
            await message.reject_to_dead()
