"""Which pages may open a connection at all: the web origins of every app. Whose page it is, is seen at the hello."""

import asyncpg

from plumbing.database import borrow

REFRESH_S = 3.0
_ORIGINS = "SELECT DISTINCT unnest(web_origins) AS origin FROM apps"


class Origins:
    """The origins of all apps, as they were a few seconds ago."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._known: frozenset[str] = frozenset()

    def allow(self, origin: str | None) -> bool:
        """Whether a page from there may connect; None is no page."""
        return origin is None or origin in self._known

    async def refresh(self) -> None:
        """Read them again. Raises Unavailable; then those known stay."""
        async with borrow(self._pool) as conn:
            rows = await conn.fetch(_ORIGINS)
        self._known = frozenset(row["origin"] for row in rows)
