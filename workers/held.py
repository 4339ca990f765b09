"""What a worker knows of open holds and of orders to breakers: read twice a second, and before use once it is old."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from uuid import UUID

import asyncpg
import structlog

from domain.errors import CarillonError
from domain.holds import Hold, OpenHolds
from plumbing.database import borrow
from tracking.claim import Claimed
from tracking.holds import open_holds
from tracking.orders import wishes
from tracking.set_aside import set_aside

REFRESH_S = 0.5
OLD_S = 0.9
"""A copy of this age is not relied on: a process that was stopped for a while reads it again before it claims."""

log = structlog.get_logger(__name__)


class Holds:
    """The open holds. Without a pool there are none, and nothing is ever asked."""

    def __init__(self, pool: asyncpg.Pool | None = None) -> None:
        self._pool = pool
        self._read_s = float("-inf")
        self._known: list[Hold] = []
        self._orders: Mapping[str, str] = {}
        self.now = OpenHolds()
        self.heed: list[Callable[[Mapping[str, str]], None]] = []
        """Who wants to hear what operators order breakers to do, by provider, when that changes."""

    async def run(self) -> None:
        """Read them twice a second until cancelled; while PostgreSQL does not answer nothing is claimed either."""
        while self._pool is not None:
            try:
                await self.refresh()
            except CarillonError as error:
                log.warning("holds.unknown", error=str(error))
            except Exception:
                log.exception("holds.failed")
            await asyncio.sleep(REFRESH_S)

    async def refresh(self) -> None:
        """Read them now. Raises Unavailable."""
        if self._pool is None:
            return
        asked_s = asyncio.get_running_loop().time()
        async with borrow(self._pool) as conn:
            known, orders = await open_holds(conn), await wishes(conn)
        if known != self._known:
            self._known, self.now = known, OpenHolds(known)
        if orders != self._orders:
            self._orders = orders
            for heed in self.heed:
                heed(orders)
        self._read_s = asked_s

    async def keep_fresh(self) -> None:
        """Read them if the copy is old. Raises Unavailable."""
        if self._pool is not None and asyncio.get_running_loop().time() - self._read_s > OLD_S:
            await self.refresh()

    async def set_aside(self, ids: Iterable[UUID]) -> set[UUID]:
        """Set aside in PostgreSQL what is held of these; answers which. Raises Unavailable."""
        if not self.now or self._pool is None:
            return set()
        return await set_aside(self._pool, ids, self.now)

    def over(self, claimed: Claimed) -> Hold | None:
        """The hold that names this delivery: its provider must not be called now."""
        if not self.now:
            return None
        return self.now.over(
            tenant_id=claimed.tenant_id,
            channel=claimed.channel,
            priority=claimed.priority,
            mode=claimed.mode,
            template=claimed.template,
            category=claimed.category,
        )
