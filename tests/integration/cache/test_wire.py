"""The one connection to Redis: whose answer is whose, and what becomes of those who wait when it goes."""

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from plumbing.cache import Cache, Script
from plumbing.redis_wire import Address, Wire

ECHO = Script("return {KEYS[1], ARGV[1]}")


@pytest.fixture
async def wire(redis_url: str) -> AsyncIterator[Wire]:
    """A connection to a real Redis."""
    wire = await Wire.open(Address.parse(redis_url), timeout_s=0.5)
    yield wire
    wire.close()


async def test_many_at_once_get_each_their_own_answer(cache: Cache) -> None:
    answers = await asyncio.gather(*(cache.call(ECHO, [f"{{t:x}}:{n}"], [n]) for n in range(500)))

    assert answers == [[f"{{t:x}}:{n}".encode(), str(n).encode()] for n in range(500)]


async def test_who_goes_away_takes_nobody_elses_answer(wire: Wire) -> None:
    gone, stays = wire.ask(("ECHO", "one")), wire.ask(("ECHO", "two"))
    gone.cancel()

    assert await stays == b"two"


async def test_an_answer_that_came_while_this_process_was_busy_is_not_late(redis_url: str) -> None:
    wire = await Wire.open(Address.parse(redis_url), timeout_s=0.1)
    answer = wire.ask(("ECHO", "here"))
    await asyncio.sleep(0)

    time.sleep(0.3)  # noqa: ASYNC251  # the loop stands still, as under a long computation

    assert await answer == b"here"
    wire.close()


async def test_everybody_who_waits_hears_that_the_connection_is_lost(wire: Wire) -> None:
    answers = [wire.ask(("BLPOP", str(uuid4()), 0)) for _ in range(3)]

    wire.close()

    assert all(isinstance(each, OSError) for each in await asyncio.gather(*answers, return_exceptions=True))
    assert not wire.is_open
    with pytest.raises(OSError, match="lost"):
        await wire.ask(("PING",))


async def test_a_silent_redis_loses_its_connection_after_the_time_out(redis_url: str) -> None:
    wire = await Wire.open(Address.parse(redis_url), timeout_s=0.1)

    with pytest.raises(TimeoutError):
        await wire.ask(("BLPOP", str(uuid4()), 0))

    assert not wire.is_open


async def test_all_who_ask_a_silent_redis_wait_for_one_attempt_to_reach_it() -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        cache = Cache.open(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0")
        began_s = time.monotonic()

        answers = await asyncio.gather(*(cache.call(ECHO, ["{t:x}"], [n]) for n in range(30)))

        assert time.monotonic() - began_s < 1
        assert answers == [None] * 30
        await cache.close()


async def test_a_wrong_password_is_trouble_like_any_other(redis_url: str) -> None:
    place = redis_url.rpartition("@")[2].removeprefix("redis://")
    cache = Cache.open(f"redis://:wrong@{place}")

    assert await cache.call(ECHO, ["k"], ["v"]) is None
    assert await cache.ping() is False
