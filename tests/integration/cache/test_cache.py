"""A cache whose Redis answers, is gone, or freezes: callers never notice more than a None."""

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest

from domain.errors import Misconfigured
from domain.lanes import Channel
from domain.notification import Recipient
from plumbing.cache import Cache, Script
from preferences import cache as recipient_cache
from preferences.model import KnownRecipient, Preferences

TENANT = uuid4()
ECHO = Script("return {KEYS[1], ARGV[1]}")


@pytest.fixture
async def frozen() -> AsyncIterator[Cache]:
    """A cache whose Redis takes connections and never says a word."""
    silent: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: silent.append(writer), "127.0.0.1")
    cache = Cache.open(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0")
    yield cache
    await cache.close()
    server.close()
    for writer in silent:
        writer.close()
    await server.wait_closed()


def known(version: int, *, unsubscribed: bool = False) -> KnownRecipient:
    contacts = {Channel.EMAIL: UUID(int=1)}
    return KnownRecipient(
        UUID(int=3), None, version, "fr", None, None, contacts, Preferences(unsubscribed=unsubscribed)
    )


async def stored(cache: Cache, who: Recipient) -> KnownRecipient | None:
    values = await cache.get_many([recipient_cache.key(TENANT, who)])
    assert values is not None
    return recipient_cache.decode(values[0]) if values[0] is not None else None


async def test_a_script_runs_also_when_redis_has_forgotten_it(cache: Cache) -> None:
    unseen = Script(f"return {{KEYS[1], ARGV[1], '{uuid4()}'}}")

    answers = [(await cache.call(unseen, ["{t:x}:a"], ["b"])) for _ in range(2)]

    assert [answer and answer[:2] for answer in answers] == [[b"{t:x}:a", b"b"]] * 2


async def test_a_url_that_cannot_be_read_is_named(cache: Cache) -> None:
    with pytest.raises(Misconfigured, match="CARILLON_REDIS_URL"):
        Cache.open("localhost:6379")


async def test_a_redis_that_is_gone_costs_nothing_and_raises_nothing() -> None:
    cache = Cache.open("redis://127.0.0.1:1/0")
    begun_s = time.monotonic()

    answers = [await cache.call(ECHO, ["k"], ["v"]) for _ in range(50)]

    assert answers == [None] * 50
    assert await cache.get_many(["k"]) is None
    assert await cache.delete(["k"]) is False
    assert await cache.ping() is False
    assert time.monotonic() - begun_s < 1
    assert not cache.is_open
    await cache.close()


async def test_a_frozen_redis_is_asked_a_few_times_and_then_left_alone(frozen: Cache) -> None:
    begun_s = time.monotonic()

    answers = [await frozen.get_many(["k"]) for _ in range(50)]

    assert answers == [None] * 50
    assert time.monotonic() - begun_s < 2
    assert not frozen.is_open


async def test_a_redis_that_comes_back_is_found_within_two_seconds(redis_url: str) -> None:
    host, _, port = redis_url.split("@")[-1].removeprefix("redis://").split("/")[0].partition(":")
    pipes: set[asyncio.Task[None]] = set()

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection(host, int(port or 6379))
        for source, target in ((reader, there[1]), (there[0], writer)):
            pipes.add(asyncio.create_task(pipe(source, target)))

    placeholder = await asyncio.start_server(forward, "127.0.0.1")
    door = placeholder.sockets[0].getsockname()[1]
    placeholder.close()
    await placeholder.wait_closed()
    credentials, _, _ = redis_url.removeprefix("redis://").rpartition("@")
    cache = Cache.open(f"redis://{credentials}{'@' if credentials else ''}127.0.0.1:{door}/0")
    for _ in range(10):
        await cache.get_many(["k"])
    assert not cache.is_open

    server = await asyncio.start_server(forward, "127.0.0.1", door)
    async with asyncio.timeout(10):
        while await cache.get_many(["k"]) is None:
            await asyncio.sleep(0.02)

    assert cache.is_open
    await cache.close()
    server.close()
    await asyncio.wait_for(asyncio.gather(*pipes), 20)
    await server.wait_closed()


async def test_a_newer_recipient_is_never_replaced_by_an_older_one(cache: Cache) -> None:
    who = Recipient(user=f"ada-{uuid4()}")
    newer, older = known(5, unsubscribed=True), known(4)

    assert await recipient_cache.put(cache, TENANT, {who: newer})
    assert await recipient_cache.put(cache, TENANT, {who: older})
    assert await stored(cache, who) == newer

    assert await recipient_cache.put(cache, TENANT, {who: known(6)})
    assert await stored(cache, who) == known(6)


async def test_recipients_put_in_any_order_end_with_the_newest(cache: Cache) -> None:
    who = Recipient(user=f"ada-{uuid4()}")

    await asyncio.gather(
        *(recipient_cache.put(cache, TENANT, {who: known(version)}) for version in (3, 9, 1, 10, 8, 2))
    )

    assert await stored(cache, who) == known(10)


async def test_a_deleted_entry_is_gone_and_others_stay(cache: Cache) -> None:
    who, other = (Recipient(user=f"ada-{uuid4()}") for _ in range(2))
    await recipient_cache.put(cache, TENANT, {who: known(1), other: known(2)})

    assert await cache.delete([recipient_cache.key(TENANT, who)])

    assert await stored(cache, who) is None
    assert await stored(cache, other) == known(2)


async def test_an_entry_goes_by_itself_in_five_minutes(cache: Cache) -> None:
    who = Recipient(user=f"ada-{uuid4()}")
    await recipient_cache.put(cache, TENANT, {who: known(1)})

    left_s = await cache.call(Script("return redis.call('TTL', KEYS[1])"), [recipient_cache.key(TENANT, who)], [])

    assert left_s is not None
    assert 290 < left_s <= 300


async def test_strangers_with_two_addresses_are_not_kept(cache: Cache) -> None:
    who = Recipient(email="a@example.com", phone="+33612345678")
    two = KnownRecipient(None, None, 1, None, None, None, {Channel.EMAIL: UUID(int=1), Channel.SMS: UUID(int=2)})

    assert await recipient_cache.put(cache, TENANT, {who: two})

    assert await stored(cache, who) is None
