"""Which web pages may be devices: the origins of all apps, remembered for three seconds per process.

Whose page it is, is seen once it says which app it means.
"""

import asyncio
import time
from collections.abc import Callable
from uuid import UUID

import asyncpg

from plumbing.database import borrow, postgres_errors

REMEMBERED_S = 3.0
_ALL = "SELECT DISTINCT unnest(web_origins) FROM apps"
_ADD = "UPDATE apps SET web_origins = web_origins || $2::text WHERE id = $1 AND NOT $2 = ANY (web_origins)"


async def add_origin(conn: asyncpg.Connection, app_id: UUID, origin: str) -> None:
    """Let pages of `origin` be devices of this app, besides those that are let already. Unavailable."""
    with postgres_errors():
        await conn.execute(_ADD, app_id, origin)


class Origins:
    """The origins that any app names: what a browser asks about before it says which app it means."""

    def __init__(self, pool: asyncpg.Pool, *, timer: Callable[[], float] = time.monotonic) -> None:
        self._pool = pool
        self._timer = timer
        self._known: frozenset[str] = frozenset()
        self._until = -1.0
        self._asking: asyncio.Task[None] | None = None

    async def holds(self, origin: str) -> bool:
        """Whether some app names this origin. However many ask, one question in REMEMBERED_S goes out. Unavailable."""
        if self._timer() >= self._until:
            if self._asking is None or self._asking.done():
                self._asking = asyncio.create_task(self.refresh())
            await asyncio.shield(self._asking)
        return self.held(origin)

    def held(self, origin: str) -> bool:
        """Whether some app named it when they were read last: for who cannot wait, and refreshes in time."""
        return origin in self._known

    async def refresh(self) -> None:
        """Read them again. Unavailable; then those known stay."""
        until = self._timer() + REMEMBERED_S
        async with borrow(self._pool) as conn:
            self._known = frozenset(row[0] for row in await conn.fetch(_ALL))
        self._until = until
