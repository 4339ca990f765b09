"""Work that is done over and over: one task per kind of work, none per connection."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from domain.errors import CarillonError

log = structlog.get_logger(__name__)


class Rounds:
    """Runs each kind of work every so many seconds, until `close`. Troubles are logged, and the next round comes."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    def every(self, period_s: float | Callable[[], float], work: Callable[[], Awaitable[None]], name: str) -> None:
        """Do this from now on; a round that takes longer than its period puts off the next one. The period may be
        asked for before each."""
        self._tasks.append(asyncio.create_task(_repeat(period_s, work, name), name=name))

    @property
    def trouble(self) -> str | None:
        """What has ended that should not have."""
        ended = [task.get_name() for task in self._tasks if task.done()]
        return f"{', '.join(ended)} ended" if ended else None

    async def close(self) -> None:
        """Stop."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()


async def _repeat(period_s: float | Callable[[], float], work: Callable[[], Awaitable[None]], name: str) -> None:
    loop = asyncio.get_running_loop()
    while True:
        begun = loop.time()
        try:
            await work()
        except CarillonError as error:
            log.warning("gateway.round_failed", round=name, error=str(error))
        except Exception:
            log.exception("gateway.round_broken", round=name)
        until_s = begun + (period_s if isinstance(period_s, float) else period_s())
        await asyncio.sleep(max(0.0, until_s - loop.time()))
