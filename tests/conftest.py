"""Real servers for tests: fixtures every test may ask for, started when first asked and ended by pid.

PostgreSQL, Redis and RabbitMQ are those of CARILLON_TEST_DATABASE_URL, CARILLON_TEST_REDIS_URL and
CARILLON_TEST_AMQP_URL where set, else private instances of what this machine has, else embedded.
"""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from ops.stack.accounts import data_folder
from ops.stack.choice import choose, prepare
from ops.stack.parts import Part, StackChoice, Way
from ops.stack.server import Server
from ops.stack.tools import Tool, find_tool

if TYPE_CHECKING:
    import asyncpg
    from sqlalchemy.ext.asyncio import AsyncEngine

    from plumbing.cache import Cache

_VARIABLES = {
    Part.POSTGRES: "CARILLON_TEST_DATABASE_URL",
    Part.REDIS: "CARILLON_TEST_REDIS_URL",
    Part.RABBITMQ: "CARILLON_TEST_AMQP_URL",
}


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """A folder for servers of this session; unlike pytest's own it lets PostgreSQL's account through."""
    folder = data_folder(Path(tempfile.mkdtemp(prefix="carillon-test-")))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_url(server_folder: Path) -> Iterator[str]:
    """A PostgreSQL whose account may create databases."""
    yield from _running(Part.POSTGRES, server_folder)


@pytest.fixture(scope="session")
def redis_url(server_folder: Path) -> Iterator[str]:
    """A Redis."""
    yield from _running(Part.REDIS, server_folder)


@pytest.fixture(scope="session")
def amqp_url(server_folder: Path) -> Iterator[str]:
    """A RabbitMQ, or our embedded broker where there is none."""
    yield from _running(Part.RABBITMQ, server_folder)


@pytest.fixture(scope="session")
async def database_url(postgres_url: str) -> AsyncIterator[str]:
    """A fresh database at the newest schema, dropped at the end."""
    from ops.stack.database import create_database, drop_database, migrate, sibling_url

    name = f"carillon_test_{os.getpid()}"
    await create_database(postgres_url, name)
    url = sibling_url(postgres_url, name)
    await migrate(url)
    yield url
    await drop_database(postgres_url, name)


@pytest.fixture(scope="session")
async def hot_pool(database_url: str) -> "AsyncIterator[asyncpg.Pool]":
    """The pool of the hot path, with its own plans."""
    from plumbing.database import open_hot_pool

    pool = await open_hot_pool(database_url, size=8)
    yield pool
    await pool.close()


@pytest.fixture(scope="session")
async def read_pool(database_url: str) -> "AsyncIterator[asyncpg.Pool]":
    """The pool that reads the journey, with custom plans."""
    from plumbing.database import open_read_pool

    pool = await open_read_pool(database_url, size=5)
    yield pool
    await pool.close()


@pytest.fixture(scope="session")
async def engine(database_url: str) -> "AsyncIterator[AsyncEngine]":
    """SQLAlchemy's engine for everything else."""
    from plumbing.database import open_engine

    engine = open_engine(database_url, size=5)
    yield engine
    await engine.dispose()


@pytest.fixture(scope="session")
async def cache(redis_url: str) -> "AsyncIterator[Cache]":
    """A cache that was empty when the session began."""
    from redis.asyncio import Redis

    from plumbing.cache import Cache

    async with Redis.from_url(redis_url) as client:
        await client.flushdb()
    cache = Cache.open(redis_url)
    yield cache
    await cache.close()


@pytest.fixture(scope="session")
def chromium() -> Path:
    """A real browser: Debian's chromium, or the one of CARILLON_TEST_CHROMIUM."""
    return _tool(Tool.CHROMIUM)


@pytest.fixture(scope="session")
def promtool() -> Path:
    """Prometheus' own checker of rules, or the one of CARILLON_TEST_PROMTOOL."""
    return _tool(Tool.PROMTOOL)


@pytest.fixture
async def tenant(hot_pool: "asyncpg.Pool") -> UUID:
    """A tenant nobody else uses: tests that keep to theirs need no cleaning."""
    from domain.ids import uuid7

    tenant = uuid7()
    await hot_pool.execute("INSERT INTO tenants (id, name) VALUES ($1, $2)", tenant, f"test-{tenant}")
    return tenant


def _running(part: Part, folder: Path) -> Iterator[str]:
    server = _server(part, folder)
    server.start()
    try:
        server.await_ready()
        yield server.url
    finally:
        server.stop()


def _server(part: Part, folder: Path) -> Server:
    url = os.environ.get(_VARIABLES[part])
    way = choose(StackChoice.AUTO, {part: url})[part]
    if not way.is_real and os.environ.get("CARILLON_REQUIRE_REAL") == "1":
        pytest.fail(f"CARILLON_REQUIRE_REAL=1, but no real {part.label} was found")
    return prepare(part, Way(way), folder / part, url=url, durable=False)


def _tool(tool: Tool) -> Path:
    """Where `tool` is; the test is skipped without it, and fails where everything must be real."""
    found = find_tool(tool)
    if found is not None:
        return found
    if os.environ.get("CARILLON_REQUIRE_REAL") == "1":
        pytest.fail(f"CARILLON_REQUIRE_REAL=1, but {tool.program} was not found")
    pytest.skip(f"{tool.program} is not on this machine: `carillon test` as root brings it, {tool.variable} names one")
