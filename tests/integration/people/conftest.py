"""A house with real rooms and one person in it, whose mark stands in everything that can be personal."""

from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from plumbing.cache import Cache
from tests.integration.people.subject import Stage, open_stage


@pytest.fixture
async def stage(
    hot_pool: asyncpg.Pool, engine: AsyncEngine, cache: Cache, redis_url: str, tenant: UUID
) -> AsyncIterator[Stage]:
    async with open_stage(hot_pool, engine, cache, redis_url, tenant) as stage:
        yield stage
