"""A stage of push per test, with the broker's queues empty and nobody present."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from plumbing.broker import topology
from plumbing.broker.connection import connect
from plumbing.broker.publisher import Publisher
from plumbing.cache import Cache
from tests.integration.push.stage import PushStage


@pytest.fixture
async def push(hot_pool: asyncpg.Pool, amqp_url: str, cache: Cache) -> AsyncIterator[PushStage]:
    """Real servers; what earlier tests left in the queues is gone."""
    connection = await connect(amqp_url, "test publisher")
    publisher = await Publisher.open(connection)
    async with connection.channel() as amqp_channel:
        for queue in topology.QUEUES:
            await (await amqp_channel.get_queue(queue.name)).purge()
    yield PushStage(hot_pool, amqp_url, publisher, cache)
    await publisher.close()
    await connection.close()
