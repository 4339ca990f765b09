"""Quarantine: deliveries during whose work a process died are worked one at a time, in a child process.

If the child dies, nothing else does: the delivery in its hands is the guilty one. How the child died is noted, the
lease runs out, the sweeper counts the crash, and a new child goes on with the next. What a child leaves to be done
(a rest, a dead letter) it does itself.
"""

import asyncio
import contextlib
import sys
from collections.abc import Sequence
from uuid import UUID

import asyncpg
import structlog

from domain.errors import CarillonError
from domain.lanes import Channel
from plumbing import metrics
from plumbing.broker.consumer import Incoming
from plumbing.broker.envelope import Envelope, UnreadableEnvelope, decode
from plumbing.broker.publisher import Publisher
from tracking.dead.crash import note_death
from workers.child import Child

CHILD_TIMEOUT_S = 60.0
AGAIN_S = 1.0
CHILD = (sys.executable, "-m", "workers.quarantine_child")
PREFETCH = 16
"""Messages that share a child while it lives. Each death of this process counts against all of them."""

log = structlog.get_logger(__name__)


class Quarantine:
    """Works what `put` was given, one delivery after the other, until `close`."""

    def __init__(
        self,
        publisher: Publisher,
        *,
        pool: asyncpg.Pool | None = None,
        child: Sequence[str] = CHILD,
        timeout_s: float = CHILD_TIMEOUT_S,
    ) -> None:
        self._publisher = publisher
        self._pool = pool
        self._child = tuple(child)
        self._timeout_s = timeout_s
        self._queue: asyncio.Queue[tuple[Channel, Incoming]] = asyncio.Queue()
        self._run: asyncio.Task[None] | None = None
        self._is_idle = asyncio.Event()
        self._is_closing = False

    def open(self) -> None:
        """Begin to work."""
        self._run = asyncio.create_task(self._work_all(), name="quarantine")

    def put(self, channel: Channel, message: Incoming) -> None:
        """Take a message of a channel's quarantine queue; returns at once."""
        self._queue.put_nowait((channel, message))

    async def close(self, within_s: float = 0.0) -> None:
        """Stop; a message not worked off goes back to the broker with the connection.

        The delivery at work has `within_s` to end, then its child is killed: its lease runs out, and a crash is
        counted that was none.
        """
        self._is_closing = True
        if self._run is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await self._is_idle.wait()
            self._run.cancel()
            await asyncio.gather(self._run, return_exceptions=True)

    async def _work_all(self) -> None:
        while not self._is_closing:
            self._is_idle.set()
            channel, first = await self._queue.get()
            self._is_idle.clear()
            messages = [first, *self._others_of(channel)]
            try:
                await self._work(channel, messages)
            except Exception:  # no memory for a child, say: the broker counts how often, and buries it in the end
                log.exception("quarantine.failed", channel=channel)
                await asyncio.sleep(AGAIN_S)
                for message in messages:
                    await message.requeue()
        self._is_idle.set()

    def _others_of(self, channel: Channel) -> list[Incoming]:
        """What else of this channel is there already; the others keep their place."""
        waiting = [self._queue.get_nowait() for _ in range(self._queue.qsize())]
        for of, message in waiting:
            if of is not channel:
                self._queue.put_nowait((of, message))
        return [message for of, message in waiting if of is channel]

    async def _work(self, channel: Channel, messages: list[Incoming]) -> None:
        """Work these in one child, or in as many as die; a message is taken out of `messages` when it is answered."""
        child: Child | None = None
        try:
            while messages and not self._is_closing:
                message = messages[0]
                envelope = await self._read(channel, message)
                for delivery in envelope.delivery_ids if envelope is not None else ():
                    if self._is_closing:
                        return
                    child = child or await Child.start(self._child, channel)
                    if await self._survives(child, delivery):
                        continue
                    child = None
                if envelope is not None:
                    await message.ack()
                messages.pop(0)
        finally:
            if child is not None:
                await child.end()

    async def _read(self, channel: Channel, message: Incoming) -> Envelope | None:
        """The envelope; None when nobody can read it, and it was sent to the dead letters."""
        try:
            return decode(message.body)
        except UnreadableEnvelope as error:
            headers: dict[str, str | int] = {"x-reason": "unreadable_message", "x-detail": str(error)[:200]}
            if await self._publisher.publish_dead(channel, message.body, headers):
                await message.ack()
            else:
                await message.reject_to_dead()
            return None

    async def _survives(self, child: Child, delivery: UUID) -> bool:
        """Have one delivery worked; whether the child lived through it."""
        how = await child.work(delivery, within_s=self._timeout_s)
        metrics.QUARANTINE_CHILDREN.labels(survived="no" if how else "yes").inc()
        if how:
            log.warning("quarantine.child_died", delivery_id=str(delivery), how=how)
            await self._note(delivery, how)
        return not how

    async def _note(self, delivery: UUID, how: str) -> None:
        """Evidence for who looks at the letter; without it the delivery goes its way all the same."""
        if self._pool is None:
            return
        try:
            await note_death(self._pool, delivery, how)
        except CarillonError as error:
            log.warning("quarantine.death_not_noted", delivery_id=str(delivery), error=str(error))
