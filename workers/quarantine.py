"""Quarantine: deliveries during whose work a process died are worked one at a time, each in a child process.

If the child dies, nothing else does; its lease runs out, and the sweeper counts the crash. What a child leaves to
be done (a rest, a dead letter) it does itself.
"""

import asyncio
import contextlib
import sys
from collections.abc import Sequence
from uuid import UUID

import structlog

from domain.lanes import Channel
from plumbing import metrics
from plumbing.broker.consumer import Incoming
from plumbing.broker.envelope import UnreadableEnvelope, decode
from plumbing.broker.publisher import Publisher

CHILD_TIMEOUT_S = 60.0
CHILD = (sys.executable, "-m", "workers.quarantine_child")
PREFETCH = 1

log = structlog.get_logger(__name__)


class Quarantine:
    """Works what `put` was given, one after the other; `close` kills the child at work, whose lease then runs out."""

    def __init__(
        self, publisher: Publisher, *, child: Sequence[str] = CHILD, timeout_s: float = CHILD_TIMEOUT_S
    ) -> None:
        self._publisher = publisher
        self._child = tuple(child)
        self._timeout_s = timeout_s
        self._queue: asyncio.Queue[tuple[Channel, Incoming]] = asyncio.Queue()
        self._run: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin to work."""
        self._run = asyncio.create_task(self._work_all(), name="quarantine")

    def put(self, channel: Channel, message: Incoming) -> None:
        """Take a message of a channel's quarantine queue; returns at once."""
        self._queue.put_nowait((channel, message))

    async def close(self) -> None:
        """Stop; a message not worked off goes back to the broker with the connection."""
        if self._run is not None:
            self._run.cancel()
            await asyncio.gather(self._run, return_exceptions=True)

    async def _work_all(self) -> None:
        while True:
            channel, message = await self._queue.get()
            try:
                envelope = decode(message.body)
            except UnreadableEnvelope as error:
                headers: dict[str, str | int] = {"x-reason": "unreadable_message", "x-detail": str(error)[:200]}
                if await self._publisher.publish_dead(channel, message.body, headers):
                    await message.ack()
                continue
            for delivery in envelope.delivery_ids:
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
        return code == 0
