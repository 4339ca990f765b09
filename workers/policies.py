"""What a tenant's categories say of attempts that may have arrived."""

from uuid import UUID

import asyncpg

from preferences.categories import Categories
from preferences.model import AmbiguousPolicy
from tracking.claim import Claimed


class Policies:
    """What categories say of attempts that may have arrived."""

    def __init__(self, pool: asyncpg.Pool, categories: Categories) -> None:
        self._pool = pool
        self._categories = categories

    async def of(self, tenant_id: UUID, category: str) -> AmbiguousPolicy:
        """`retry` or `hold`; a category that is gone is held, for a person to decide. Raises Unavailable."""
        found = await self._categories.get(self._pool, tenant_id, category)
        return found.ambiguous if found is not None else AmbiguousPolicy.HOLD

    async def may_repeat(self, claimed: Claimed) -> bool:
        """Whether a possible second copy is better than none."""
        return await self.of(claimed.tenant_id, claimed.category) is AmbiguousPolicy.RETRY
