"""Whether anybody at all listens to what becomes of deliveries: known to a process without asking each time.

Statements that write a status tell webhooks of it in the same breath, and only where this says so: a platform without
webhooks pays nothing. It may say yes where nobody listens, which costs a join and tells nobody; it never says no for
longer than LOOK_EVERY_S after the first webhook was made.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import structlog

LOOK_EVERY_S = 2.0
_MARGIN_S = 0.5
_ANYBODY = "SELECT EXISTS (SELECT FROM webhooks WHERE deleted_at IS NULL)"

_SILENT = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)
"""Nobody answers. The third is what asyncpg says of a connection that broke amid a statement that it prepared."""

log = structlog.get_logger(__name__)


class Listening:
    """Says yes or no; asks again every LOOK_EVERY_S while it is kept."""

    def __init__(self) -> None:
        self.is_on = False
        self._known_by_s = 0.0
        """When every process knows of the first webhook (monotonic)."""

    @asynccontextmanager
    async def kept(self, pool: asyncpg.Pool) -> AsyncIterator[None]:
        """Keep it up to date until the block ends."""
        await self.look(pool)
        task = asyncio.create_task(self._look_on(pool), name="listening")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def look(self, pool: asyncpg.Pool) -> None:
        """Ask once. Where nobody answers, or the table is not there yet, it says yes: that is never wrong."""
        was_on = self.is_on
        self.is_on = True
        with contextlib.suppress(*_SILENT):
            found = bool(await pool.fetchval(_ANYBODY, timeout=LOOK_EVERY_S))
            self.is_on = found or time.monotonic() < self._known_by_s  # it may have looked just before
        if was_on != self.is_on:
            log.info("listening.changed", is_on=self.is_on)

    async def spread(self) -> None:
        """A webhook was made here, and committed: return when every other process knows that somebody listens."""
        if not self.is_on:
            self.is_on = True
            self._known_by_s = time.monotonic() + LOOK_EVERY_S + _MARGIN_S
        await asyncio.sleep(self._known_by_s - time.monotonic())

    async def _look_on(self, pool: asyncpg.Pool) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self.look(pool)


LISTENING = Listening()
"""Of the process, not of a call: were it an argument, whoever forgot to pass it would tell nobody, and not notice."""
