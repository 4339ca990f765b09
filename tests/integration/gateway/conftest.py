"""A station per test, and nodes on request."""

import os
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import asyncpg
import pytest

from plumbing.cache import Cache
from tests.builders import SECRET_KEY
from tests.integration.devices import a_device, an_app
from tests.integration.gateway.station import Phone, Running, Station, a_frame, a_node, a_station, id_of


@pytest.fixture
async def station(hot_pool: asyncpg.Pool, cache: Cache, amqp_url: str, tenant: UUID) -> AsyncIterator[Station]:
    """Real servers with one new app; receipts are collected."""
    async with a_station(hot_pool, cache, amqp_url, tenant) as station:
        yield station


@pytest.fixture
async def node(station: Station, amqp_url: str) -> AsyncIterator[Running]:
    """One node in region north."""
    async with a_node(station, amqp_url) as running:
        yield running


@pytest.fixture
async def alive(station: Station, node: Running) -> AsyncIterator[Running]:
    """The node; afterwards it still serves a device that was there before."""
    app = await an_app(station.pool, station.tenant, f"com.witness.{uuid4().hex[:8]}")
    token = uuid4().hex
    device = await a_device(station.pool, station.tenant, app, token=token)
    witness = await Phone(f"cn_app_{app.hex}", device, token).log_in(node.url)
    yield node
    frame = a_frame(witness)
    await station.push(node, frame)
    assert (await witness.hear())["id"] == id_of(frame)
    await witness.hang_up()


@pytest.fixture
def environment(database_url: str, redis_url: str, amqp_url: str) -> dict[str, str]:
    """What the role is told from outside."""
    return {
        **os.environ,
        "CARILLON_DATABASE_URL": database_url,
        "CARILLON_REDIS_URL": redis_url,
        "CARILLON_AMQP_URL": amqp_url,
        "CARILLON_SECRET_KEY": SECRET_KEY,
        "CARILLON_GATEWAY_PORT": "0",
        "CARILLON_METRICS_PORT": "0",
    }
