"""A station per test, and nodes on request."""

from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest

from plumbing.cache import Cache
from tests.integration.gateway.station import Running, Station, a_node, a_station


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
