"""The process of devices as seen from the benchmark: orders go in, answers come back."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from domain.errors import CarillonError

_LINE_BYTES = 64 * 1024 * 1024


class CrowdLost(CarillonError):
    """The process of devices ended before its time."""


@dataclass(slots=True)
class Crowd:
    """A process of devices; every order waits for its answer."""

    process: asyncio.subprocess.Process

    async def connect(
        self, url: str, *, count: int, at_once: int, run: str, app_key: str, offer: bool, within_s: float = 120.0
    ) -> dict[str, Any]:
        """Bring all devices to hello: {connected, took_s, codes}. With `offer` they offer compression, as browsers."""
        order = {"url": url, "count": count, "at_once": at_once, "run": run, "app_key": app_key, "offer": offer}
        return await self._ask("connect", **order, within_s=within_s)

    async def drop(self) -> int:
        """Every connection is lost at once; how many."""
        return int((await self._ask("drop"))["dropped"])

    async def listen(self, *, count_only: bool = False) -> None:
        """Begin to read and acknowledge, or only to count."""
        await self._ask("listen", count=count_only)

    async def heard(self, frames: int, within_s: float) -> dict[str, Any]:
        """Wait for so many; {frames, took_s, heard_at: {id: monotonic s}, twice, connected}."""
        return await self._ask("heard", frames=frames, within_s=within_s)

    async def _ask(self, do: str, **order: Any) -> dict[str, Any]:
        if self.process.stdin is None or self.process.stdout is None:
            raise CrowdLost("the process of devices has no pipes")
        self.process.stdin.write(json.dumps({"do": do, **order}).encode() + b"\n")
        await self.process.stdin.drain()
        line = await self.process.stdout.readline()
        if not line:
            raise CrowdLost("the process of devices has ended: its words are above")
        answer: dict[str, Any] = json.loads(line)
        return answer


@asynccontextmanager
async def a_crowd() -> AsyncIterator[Crowd]:
    """A process of devices for as long as the context lasts."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ops.bench.devices",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LINE_BYTES,
    )
    try:
        yield Crowd(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
