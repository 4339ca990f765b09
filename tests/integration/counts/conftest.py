"""Everything that talks to servers, through taps that count."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import asyncpg
import pytest

from plumbing.broker import topology
from plumbing.broker.connection import connect
from plumbing.broker.publisher import Publisher
from plumbing.cache import Cache
from plumbing.database import open_hot_pool
from tests.integration.counts.table import MOST, Cost
from tests.integration.counts.tap import Tap, tapped


@dataclass
class Tapped:
    """Pool, cache and publisher as a role has them, and the taps that they go through."""

    postgres: Tap
    redis: Tap
    amqp: Tap
    pool: asyncpg.Pool
    cache: Cache
    publisher: Publisher

    @property
    def spent(self) -> Cost:
        """All there was up to now."""
        return Cost(self.postgres.count, self.redis.count, self.amqp.count)


@pytest.fixture(scope="package")
async def tapped_servers(database_url: str, redis_url: str, amqp_url: str) -> AsyncIterator[Tapped]:
    """Real servers behind taps."""
    async with AsyncExitStack() as stack:
        postgres, redis, amqp = [
            await stack.enter_async_context(tapped(url)) for url in (database_url, redis_url, amqp_url)
        ]
        pool = await open_hot_pool(postgres.url, size=4)
        stack.push_async_callback(pool.close)
        cache = Cache.open(redis.url)
        stack.push_async_callback(cache.close)
        connection = await connect(amqp.url, "test counting")
        stack.push_async_callback(connection.close)
        publisher = await Publisher.open(connection)
        stack.push_async_callback(publisher.close)
        yield Tapped(postgres, redis, amqp, pool, cache, publisher)


@pytest.fixture
async def queues_are_empty(amqp_url: str) -> None:
    """What earlier tests left for the workers is gone."""
    connection = await connect(amqp_url, "test purging")
    async with connection, connection.channel() as amqp_channel:
        for queue in topology.QUEUES:
            await (await amqp_channel.get_queue(queue.name)).purge()


def assert_no_dearer(name: str, before: Cost, after: Cost) -> None:
    """Compare what was spent with the table; what is cheaper is told, so that the table can follow."""
    spent = Cost(after.postgres - before.postgres, after.redis - before.redis, after.messages - before.messages)
    most = MOST[name]
    print(f"{name}: {spent}, at most {most}")
    assert spent.postgres <= most.postgres, f"{name}: {spent}, at most {most}"
    assert spent.redis <= most.redis, f"{name}: {spent}, at most {most}"
    assert spent.messages <= most.messages, f"{name}: {spent}, at most {most}"
