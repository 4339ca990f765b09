"""Each part of the stack, in each way that this machine has: it starts, is killed, comes back, and stops."""

from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError

from ops.stack.choice import find_real, prepare
from ops.stack.database import connected, create_database, drop_database, sibling_url
from ops.stack.guardian import is_alive
from ops.stack.parts import Part, Way
from ops.stack.ports import is_free
from ops.stack.reach import check_url
from ops.stack.server import Server

WAYS = [Way.PRIVATE, Way.EMBEDDED]


def server(part: Part, way: Way, folder: Path) -> Server:
    """A server ready to be started, or a skipped test where the machine lacks it."""
    if way is Way.PRIVATE and find_real(part) is None:
        pytest.skip(f"no {part.label} on this machine")
    return prepare(part, way, folder / f"{part}-{way}", durable=False)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("part", list(Part))
async def test_a_server_comes_back_at_the_same_url_after_a_crash_and_leaves_nothing(
    part: Part, way: Way, server_folder: Path
) -> None:
    made = server(part, way, server_folder)
    made.start()
    try:
        made.await_ready()
        await check_url(part, made.url)
        first = made.pids[part]

        made.kill()
        made.start()
        made.await_ready()

        await check_url(part, made.url)
        pids = list(made.pids.values())
        assert made.pids[part] != first
    finally:
        made.stop()
    assert not any(is_alive(pid) for pid in pids)
    assert is_free(int(made.url.rpartition("@")[2].rpartition("//")[2].split("/")[0].rpartition(":")[2]))


@pytest.mark.parametrize("way", WAYS)
async def test_what_postgres_held_is_there_after_a_crash_and_a_second_preparation(
    way: Way, server_folder: Path
) -> None:
    folder = server_folder / f"kept-{way}"
    made = prepare(Part.POSTGRES, _or_skip(way), folder, password="the same", durable=False)
    made.start()
    try:
        made.await_ready()
        async with connected(made.url) as conn:
            await conn.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        made.kill()
    finally:
        made.stop()

    again = prepare(Part.POSTGRES, way, folder, password="the same", durable=False)
    again.start()
    try:
        again.await_ready()
        async with connected(again.url) as conn:
            assert await conn.fetchval("SELECT answer FROM kept") == 42
    finally:
        again.stop()


async def test_creating_a_database_twice_is_the_same_as_once(postgres_url: str) -> None:
    await create_database(postgres_url, "carillon_twice")
    try:
        await create_database(postgres_url, "carillon_twice")

        async with connected(sibling_url(postgres_url, "carillon_twice")) as conn:
            assert await conn.fetchval("SELECT current_database()") == "carillon_twice"
    finally:
        await drop_database(postgres_url, "carillon_twice")


async def test_a_redis_of_ours_refuses_those_without_its_password(server_folder: Path) -> None:
    made = server(Part.REDIS, Way.PRIVATE, server_folder)
    made.start()
    try:
        made.await_ready()
        port = int(made.url.rpartition(":")[2].split("/")[0])
        async with Redis(host="127.0.0.1", port=port, retry=Retry(NoBackoff(), 0)) as client:
            with pytest.raises(Exception, match="authenticated"):
                await client.ping()
    finally:
        made.stop()


async def test_the_embedded_redis_answers_as_the_real_one_on_one_connection_whatever_went_before(
    server_folder: Path,
) -> None:
    made = server(Part.REDIS, Way.EMBEDDED, server_folder)
    made.start()
    try:
        made.await_ready()
        async with Redis.from_url(made.url, single_connection_client=True) as client:
            for refused in (client.evalsha("0" * 40, 0), client.eval("return redis.call('incr', 'a', 'b')", 0)):
                with pytest.raises(ResponseError):
                    await refused
            large = b"x" * 2_000_000
            await client.set("large", large)
            async with client.pipeline(transaction=False) as pipeline:
                for _ in range(100):
                    pipeline.eval("return redis.call('incrby', KEYS[1], ARGV[1])", 1, "sum", 2)
                sums = await pipeline.execute()

            assert await client.get("large") == large
            assert sums == list(range(2, 202, 2))
    finally:
        made.stop()


async def test_a_postgres_of_ours_refuses_those_without_its_password(server_folder: Path) -> None:
    made = server(Part.POSTGRES, Way.EMBEDDED, server_folder)
    made.start()
    try:
        made.await_ready()
        port = int(made.url.rpartition(":")[2].split("/")[0])
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(host="127.0.0.1", port=port, user="carillon", password="guess", database="postgres")
    finally:
        made.stop()


def _or_skip(way: Way) -> Way:
    if way is Way.PRIVATE and find_real(Part.POSTGRES) is None:
        pytest.skip("no PostgreSQL on this machine")
    return way
