"""A stage per test, with the broker's queues empty; and the environment of a role as a process."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from api.app import create_app
from channels.push.presence import Presence
from plumbing.broker import topology
from plumbing.broker.connection import connect
from plumbing.broker.publisher import Publisher
from plumbing.cache import Cache
from preferences.categories import Categories
from templates.catalog import SHIPPED, Catalog
from tests.integration.api.bench import open_bench
from tests.integration.api.doors import SECRET, FakeBatcher, KeyRing, make_house
from tests.integration.workers.replaying import Replaying
from tests.integration.workers.stage import Stage


@pytest.fixture
async def stage(hot_pool: asyncpg.Pool, amqp_url: str) -> AsyncIterator[Stage]:
    """Real servers and a scripted channel; what earlier tests left in the queues is gone."""
    async with empty_stage(hot_pool, amqp_url) as stage:
        yield stage


@asynccontextmanager
async def empty_stage(pool: asyncpg.Pool, amqp_url: str) -> AsyncIterator[Stage]:
    """A stage that one test or several share; every queue is purged first."""
    connection = await connect(amqp_url, "test publisher")
    publisher = await Publisher.open(connection)
    async with connection.channel() as amqp_channel:
        for queue in topology.QUEUES:
            await (await amqp_channel.get_queue(queue.name)).purge()
    yield Stage(pool, amqp_url, publisher)
    await publisher.close()
    await connection.close()


@pytest.fixture
def environment(database_url: str, redis_url: str, amqp_url: str) -> dict[str, str]:
    """What a role is told from outside."""
    return {
        **os.environ,
        "CARILLON_DATABASE_URL": database_url,
        "CARILLON_REDIS_URL": redis_url,
        "CARILLON_AMQP_URL": amqp_url,
        "CARILLON_SECRET_KEY": "a-secret-only-for-tests-0123456789abcdef",
        "CARILLON_METRICS_PORT": "0",
    }


@pytest.fixture
async def outbox_is_empty(hot_pool: asyncpg.Pool) -> None:
    """Relay and sweeper look at every tenant's rows: what earlier tests left is none of theirs."""
    await hot_pool.execute("DELETE FROM outbox")


@pytest.fixture
async def replaying(stage: Stage, engine: Any, tenant: UUID) -> AsyncIterator[Replaying]:
    """Nothing is under way."""
    await stage.pool.execute("DELETE FROM dead_letter_runs")
    async with open_bench(stage.pool, engine, tenant) as bench:
        yield Replaying(bench, stage)


@pytest.fixture
async def ops(stage: Stage, tenant: UUID, cache: Cache, engine: AsyncEngine) -> AsyncIterator[httpx2.AsyncClient]:
    """The operators' door over the stage's database; what a test held is released at its end."""
    ring = KeyRing()
    ring.add(SECRET, tenant_id=tenant)
    house = make_house(
        FakeBatcher(),
        ring,
        hot_pool=stage.pool,
        read_pool=stage.pool,
        engine=engine,
        queue_depth=stage.publisher.queue_depth,
        presence=Presence(cache),
        catalog=Catalog([SHIPPED]),
        categories=Categories(),
    )
    client = httpx2.AsyncClient(transport=httpx2.ASGITransport(create_app(house)), base_url="http://carillon")
    client.headers["authorization"] = f"Bearer {SECRET}"
    async with client:
        yield client
    await stage.pool.execute("DELETE FROM breaker_orders")
    await stage.pool.execute("UPDATE holds SET released_at = now(), drained_at = now() WHERE released_at IS NULL")
