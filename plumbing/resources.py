"""What every role opens at its start and closes at its end: settings, seal, PostgreSQL's hot pool, Redis."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from plumbing.cache import Cache
from plumbing.database import open_hot_pool
from plumbing.listening import LISTENING
from plumbing.secrets import Seal
from plumbing.settings import Settings


@dataclass(frozen=True, slots=True)
class Resources:
    """Open pipes, shared by the whole process."""

    settings: Settings
    seal: Seal
    hot_pool: asyncpg.Pool
    cache: Cache


@asynccontextmanager
async def open_resources(settings: Settings) -> AsyncIterator[Resources]:
    """Open the pipes; Misconfigured or Unavailable says which one could not be opened, and where it was looked for.

    Redis is not asked: without it everything works from PostgreSQL.
    """
    seal = Seal(settings.need("secret_key"))
    database_url = settings.need("database_url")
    cache = Cache.open(settings.need("redis_url"))
    try:
        hot_pool = await open_hot_pool(database_url, size=settings.hot_pool_size)
        try:
            async with LISTENING.kept(hot_pool):
                yield Resources(settings, seal, hot_pool, cache)
        finally:
            await hot_pool.close()
    finally:
        await cache.close()
