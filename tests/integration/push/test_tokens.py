"""Who is behind a token: Redis before PostgreSQL, a registration seen at once, and no worse answer without Redis."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import pytest

from channels.push.tokens import Tokens
from domain.errors import Unavailable
from plumbing.cache import Cache
from plumbing.push_metrics import CACHE_OPERATIONS, CacheName, CacheResult
from plumbing.secrets import new_device_token
from tests.integration.push.fleet import SEAL, Bridge, a_device, an_app


class Watched:
    """A pool that counts its loans, and lets each begin only when the gate is open."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self.borrowed = 0
        self.asked = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    def acquire(self, **wishes: float) -> "Watched":
        self._loan = self._pool.acquire(**wishes)
        return self

    async def __aenter__(self) -> "Watched":
        self._conn = await self._loan.__aenter__()
        self.borrowed += 1
        return self

    async def __aexit__(self, *trouble: object) -> None:
        await self._loan.__aexit__(*trouble)

    async def fetch(self, *question: object) -> list[asyncpg.Record]:
        """Asks, and holds the answer back until the gate is open."""
        rows: list[asyncpg.Record] = await self._conn.fetch(*question)
        self.asked.set()
        await self.gate.wait()
        return rows


def counted(result: CacheResult) -> float:
    value: float = CACHE_OPERATIONS.labels(cache=CacheName.TOKEN, result=result)._value.get()
    return value


@pytest.fixture
async def app(hot_pool: asyncpg.Pool, tenant: UUID) -> UUID:
    return await an_app(hot_pool, tenant)


@pytest.fixture
async def bridge(redis_url: str) -> AsyncIterator[Bridge]:
    bridge = Bridge(urlsplit(redis_url).port or 0)
    await bridge.mend()
    yield bridge
    await bridge.cut()


@pytest.fixture
async def bridged(bridge: Bridge, redis_url: str) -> AsyncIterator[Cache]:
    there = urlsplit(redis_url)
    cache = Cache.open(redis_url.replace(f":{there.port}", f":{bridge.port}"))
    yield cache
    await cache.close()


async def test_a_known_token_is_read_from_postgresql_once(
    hot_pool: asyncpg.Pool, cache: Cache, app: UUID, tenant: UUID
) -> None:
    token = new_device_token()
    device_id = await a_device(hot_pool, app, token, region="eu")
    pool, wanted = Watched(hot_pool), SEAL.token_hash(token)
    hits = counted(CacheResult.HIT)

    first = (await Tokens(pool, cache).find([wanted]))[wanted]
    second = (await Tokens(pool, cache).find([wanted]))[wanted]

    assert pool.borrowed == 1
    assert first == second
    assert [(each.id, each.tenant_id, each.app_id, each.region, each.is_valid) for each in first] == [
        (device_id, tenant, app, "eu", True)
    ]
    assert counted(CacheResult.HIT) == hits + 1


async def test_a_token_of_two_apps_answers_both(hot_pool: asyncpg.Pool, cache: Cache, app: UUID, tenant: UUID) -> None:
    token, other_app = new_device_token(), await an_app(hot_pool, tenant)
    devices = {await a_device(hot_pool, app, token), await a_device(hot_pool, other_app, token)}

    found = await Tokens(hot_pool, cache).find([SEAL.token_hash(token)])

    assert {each.id for each in found[SEAL.token_hash(token)]} == devices


async def test_a_token_that_nobody_has_is_asked_for_once_until_it_is_registered(
    hot_pool: asyncpg.Pool, cache: Cache, app: UUID
) -> None:
    token = new_device_token()
    pool, wanted = Watched(hot_pool), SEAL.token_hash(token)
    elsewhere, here = Tokens(pool, cache), Tokens(pool, cache)
    negative_hits = counted(CacheResult.NEGATIVE_HIT)

    assert [(await elsewhere.find([wanted]))[wanted] for _ in range(3)] == [[]] * 3
    assert (pool.borrowed, counted(CacheResult.NEGATIVE_HIT)) == (1, negative_hits + 2)
    device_id = await a_device(hot_pool, app, token)
    await here.forget([wanted])

    assert [each.id for each in (await elsewhere.find([wanted]))[wanted]] == [device_id]


async def test_a_thousand_look_ups_of_a_cold_token_are_one_statement(
    hot_pool: asyncpg.Pool, cache: Cache, app: UUID
) -> None:
    hashes = [SEAL.token_hash(new_device_token()) for _ in range(20)]
    pool = Watched(hot_pool)
    tokens = Tokens(pool, cache)

    answers = await asyncio.gather(*(tokens.find([hashes[number % 20]]) for number in range(1000)))

    assert pool.borrowed == 1
    assert len(answers) == 1000


async def test_an_answer_from_before_a_registration_is_not_kept(
    hot_pool: asyncpg.Pool, cache: Cache, app: UUID
) -> None:
    token = new_device_token()
    wanted, slow = SEAL.token_hash(token), Watched(hot_pool)
    slow.gate.clear()
    reader, writer = Tokens(slow, cache), Tokens(hot_pool, cache)
    early = asyncio.create_task(reader.find([wanted]))
    await slow.asked.wait()

    device_id = await a_device(hot_pool, app, token)
    await writer.forget([wanted])
    slow.gate.set()

    assert (await early)[wanted] == []
    for tokens in (reader, writer):
        assert [each.id for each in (await tokens.find([wanted]))[wanted]] == [device_id]


async def test_who_asks_after_a_registration_does_not_share_an_older_question(
    hot_pool: asyncpg.Pool, cache: Cache, app: UUID
) -> None:
    token = new_device_token()
    wanted, slow = SEAL.token_hash(token), Watched(hot_pool)
    slow.gate.clear()
    tokens = Tokens(slow, cache)
    early = asyncio.create_task(tokens.find([wanted]))
    await slow.asked.wait()

    device_id = await a_device(hot_pool, app, token)
    await tokens.forget([wanted])
    late = asyncio.create_task(tokens.find([wanted]))
    slow.gate.set()

    assert (await early)[wanted] == []
    assert [each.id for each in (await late)[wanted]] == [device_id]


async def test_without_redis_everything_is_answered_from_postgresql(
    hot_pool: asyncpg.Pool, bridge: Bridge, bridged: Cache, app: UUID
) -> None:
    await bridge.cut()
    token = new_device_token()
    device_id, wanted = await a_device(hot_pool, app, token), SEAL.token_hash(token)
    tokens, unavailable = Tokens(hot_pool, bridged), counted(CacheResult.UNAVAILABLE)

    found = [await tokens.find([wanted]) for _ in range(10)]

    assert [[each.id for each in answer[wanted]] for answer in found] == [[device_id]] * 10
    assert counted(CacheResult.UNAVAILABLE) == unavailable + 10


async def test_what_redis_could_not_be_told_is_told_when_it_is_back(
    hot_pool: asyncpg.Pool, cache: Cache, bridge: Bridge, bridged: Cache, app: UUID
) -> None:
    token = new_device_token()
    wanted, elsewhere, here = SEAL.token_hash(token), Tokens(hot_pool, cache), Tokens(hot_pool, bridged)
    assert (await elsewhere.find([wanted]))[wanted] == []
    await bridge.cut()
    device_id = await a_device(hot_pool, app, token)

    await here.forget([wanted])
    await bridge.mend()

    assert [each.id for each in (await here.find([wanted]))[wanted]] == [device_id]
    async with asyncio.timeout(30):
        while not (await elsewhere.find([wanted]))[wanted]:
            await asyncio.sleep(0.05)


async def test_an_entry_of_another_release_is_read_past(hot_pool: asyncpg.Pool, redis_url: str, cache: Cache) -> None:
    from redis.asyncio import Redis

    wanted = SEAL.token_hash(new_device_token())
    async with Redis.from_url(redis_url) as client:
        await client.set(f"{{tokens}}:{wanted.hex()}", b"\xc1 something else")

    assert await Tokens(hot_pool, cache).find([wanted]) == {wanted: []}


async def test_without_postgresql_it_is_unavailable_and_nothing_is_kept(cache: Cache) -> None:
    pool = asyncpg.create_pool("postgresql://nobody@127.0.0.1:9/nothing", min_size=0, timeout=1)
    await pool
    wanted = SEAL.token_hash(new_device_token())

    with pytest.raises(Unavailable):
        await Tokens(pool, cache).find([wanted])
    await pool.close()
