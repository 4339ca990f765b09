"""One provider door for this folder's tests, on the servers of the session; each test has a provider of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import httpx2
import pytest

from tests.apns_doors import Door, Provider, a_provider, environment, running_door


@pytest.fixture(scope="session")
def door_settings(
    database_url: str, redis_url: str, amqp_url: str, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """The environment of a door."""
    folder: Path = tmp_path_factory.mktemp("door")
    return environment(database_url, redis_url, amqp_url, folder)


@pytest.fixture(scope="session")
async def door(door_settings: dict[str, str]) -> AsyncIterator[Door]:
    """A door that all tests of the session may push through."""
    async with running_door(door_settings) as door:
        yield door


@pytest.fixture
async def client(door: Door) -> AsyncIterator[httpx2.AsyncClient]:
    """HTTP/2 to the door, on a connection of its own."""
    async with door.client() as client:
        yield client


@pytest.fixture
async def provider(hot_pool: asyncpg.Pool) -> Provider:
    """A provider with a key for its app."""
    return await a_provider(hot_pool)
