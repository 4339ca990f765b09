"""A child process that works deliveries one at a time: told an id by a line, it answers with a line when it is done."""

import asyncio
import contextlib
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from typing import Self
from uuid import UUID

from domain.lanes import Channel

ENDS_WITHIN_S = 5.0


class Child:
    """Made by `start`; it lives until `end`, or until it dies of a delivery."""

    def __init__(self, process: Process) -> None:
        if process.stdin is None or process.stdout is None:
            raise ValueError("a child is told and answers over pipes")
        self._process, self._told, self._answers = process, process.stdin, process.stdout

    @classmethod
    async def start(cls, program: Sequence[str], channel: Channel) -> Self:
        """Start `program` for deliveries of a channel. Raises OSError."""
        return cls(await asyncio.create_subprocess_exec(*program, str(channel), stdin=PIPE, stdout=PIPE))

    async def work(self, delivery: UUID, *, within_s: float) -> str | None:
        """Have it work one delivery: None when it did, whatever the outcome; else how the child ended, in words."""
        code: int | None = None
        try:
            async with asyncio.timeout(within_s):
                with contextlib.suppress(ConnectionError):
                    self._told.write(f"{delivery}\n".encode())
                    await self._told.drain()
                if await self._answers.readline():
                    return None
                code = await self._process.wait()
        except TimeoutError:
            await self._kill()
        except asyncio.CancelledError:
            await self._kill()
            raise
        return how_it_ended(code, within_s)

    async def end(self) -> None:
        """Let it go: it has nothing in hand."""
        self._told.close()
        try:
            async with asyncio.timeout(ENDS_WITHIN_S):
                await self._process.wait()
        except TimeoutError:
            await self._kill()

    async def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()


def how_it_ended(code: int | None, within_s: float) -> str:
    """A child's end in words: `code` as Python tells it, None when it was ended because it took too long."""
    if code is None:
        return f"ended after {within_s:g} s without an outcome"
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
