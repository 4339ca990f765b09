"""Quarantine: deliveries during whose work a process died are worked one at a time, each in a child process.

If the child dies, nothing else does: how it died is noted, its lease runs out, and the sweeper counts the crash. What a
child leaves to be done (a rest, a dead letter) it does itself.
"""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Sequence
from uuid import UUID

import asyncpg
import structlog

from domain.errors import CarillonError
from domain.lanes import Channel
from plumbing import metrics
from plumbing.broker.consumer import Incoming
from plumbing.broker.envelope import UnreadableEnvelope, decode
from plumbing.broker.publisher import Publisher
from tracking.dead.crash import note_death

CHILD_TIMEOUT_S = 60.0
AGAIN_S = 1.0
CHILD = (sys.executable, "-m", "workers.quarantine_child")
PREFETCH = 1

log = structlog.get_logger(__name__)


class Quarantine:
    """Works what `put` was given, one after the other, until `close`."""

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

        The child at work has `within_s` to end, then it is killed: its lease runs out, and a crash is counted that was
        none.
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
            channel, message = await self._queue.get()
            self._is_idle.clear()
            try:
                await self._work(channel, message)
            except Exception:  # no memory for a child, say: the broker counts how often, and buries it in the end
                log.exception("quarantine.failed", channel=channel)
                await asyncio.sleep(AGAIN_S)
                await message.requeue()
        self._is_idle.set()

    async def _work(self, channel: Channel, message: Incoming) -> None:
        try:
            envelope = decode(message.body)
        except UnreadableEnvelope as error:
            headers: dict[str, str | int] = {"x-reason": "unreadable_message", "x-detail": str(error)[:200]}
            if await self._publisher.publish_dead(channel, message.body, headers):
                await message.ack()
            else:
                await message.reject_to_dead()
            return
        for delivery in envelope.delivery_ids:
            if self._is_closing:
                return
            survived = await self._work_alone(channel, delivery)
            metrics.QUARANTINE_CHILDREN.labels(survived="yes" if survived else "no").inc()
        await message.ack()

    async def _work_alone(self, channel: Channel, delivery: UUID) -> bool:
        """One delivery in one child; whether the child ended well within its time."""
        process = await asyncio.create_subprocess_exec(
            *self._child, str(channel), str(delivery), stdin=asyncio.subprocess.DEVNULL
        )
        try:
            async with asyncio.timeout(self._timeout_s):
                code = await process.wait()
        except TimeoutError:
            code = None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if code != 0:
            log.warning("quarantine.child_died", delivery_id=str(delivery), exit_code=code)
            await self._note(delivery, how_it_ended(code, self._timeout_s))
        return code == 0

    async def _note(self, delivery: UUID, how: str) -> None:
        """Evidence for who looks at the letter; without it the delivery goes its way all the same."""
        if self._pool is None:
            return
        try:
            await note_death(self._pool, delivery, how)
        except CarillonError as error:
            log.warning("quarantine.death_not_noted", delivery_id=str(delivery), error=str(error))


def how_it_ended(code: int | None, timeout_s: float) -> str:
    """A child's end in words: `code` as Python tells it, None when it was ended because it took too long."""
    if code is None:
        return f"ended after {timeout_s:g} s without an outcome"
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
