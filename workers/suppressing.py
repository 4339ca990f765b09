"""A dead address goes on the suppression list, so that nobody writes to it again."""

import asyncpg

from domain.notification import Mode
from plumbing.cache import Cache
from preferences import suppressions
from preferences.suppressions import SuppressionReason
from tracking.claim import Claimed

SOURCE = "provider"


class Suppressor:
    """Suppresses for everything, with the reason `bounce`; test keys reach nobody and suppress nobody."""

    def __init__(self, pool: asyncpg.Pool, cache: Cache) -> None:
        self._pool = pool
        self._cache = cache

    async def __call__(self, claimed: Claimed) -> None:
        """Suppress the address of a delivery whose provider said that it is dead. Raises Unavailable."""
        if claimed.mode is Mode.TEST or claimed.address_id is None:
            return
        stale = await suppressions.add_for_contacts(
            self._pool, claimed.tenant_id, [claimed.address_id], reason=SuppressionReason.BOUNCE, source=SOURCE
        )
        if stale:
            await self._cache.delete(stale)
