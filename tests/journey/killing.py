"""Signals for roles and servers of a running platform: to the next life of a program, never twice to the same one."""

import asyncio
import os
import signal

from tests.journey.running import Up

_LIVES_WITHIN_S = 60.0


class Killer:
    """Remembers who was hit already, so that each blow meets a new life."""

    def __init__(self, platform: Up) -> None:
        self._platform = platform
        self._last: dict[str, int] = {}
        self.count = 0

    async def hit(self, name: str, how: signal.Signals = signal.SIGKILL) -> int:
        """Signal the next life of `name`; its pid. One that ended by itself (its server was away) does not count."""
        while True:
            pid = await self.next_life(name)
            self._last[name] = pid
            try:
                os.kill(pid, how)
            except ProcessLookupError:
                continue
            self.count += 1
            return pid

    async def hit_all(self, names: tuple[str, ...]) -> None:
        """Kill all of them at one moment."""
        for name in names:
            await self.next_life(name)
        for name in names:
            await self.hit(name)

    async def next_life(self, name: str) -> int:
        """Wait until `name` lives in another life than the one that was hit; its pid. TimeoutError."""
        async with asyncio.timeout(_LIVES_WITHIN_S):
            while (pid := self._platform.run["pids"].get(name)) in (None, self._last.get(name)):
                await asyncio.sleep(0.05)
        return int(pid)
