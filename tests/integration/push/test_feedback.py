"""Feedback: read in pages, kept on reading, and exact while others write and commit late."""

import asyncio
import random
from collections.abc import AsyncIterator
from itertools import chain
from uuid import UUID

import asyncpg
import pytest

from channels.push import feedback
from channels.push.feedback import Died, Place
from plumbing.cache import Cache
from tests.integration.push.fleet import a_device, an_app
from tests.integration.push.registry import Registry, open_registry


@pytest.fixture
async def registry(hot_pool: asyncpg.Pool, cache: Cache, tenant: UUID) -> AsyncIterator[Registry]:
    async with open_registry(hot_pool, cache, tenant) as registry:
        await registry.app()
        yield registry


async def died(registry: Registry, count: int = 1) -> list[str]:
    """Devices registered and suspended, in order."""
    ids = [(await registry.register())["device_id"] for _ in range(count)]
    for each in ids:
        answer = await registry.client.patch(f"/api/v1/devices/{each}", json={"is_valid": False})
        assert answer.status_code == 200
    return ids


async def test_reading_takes_nothing_away_and_pages_follow_each_other(registry: Registry) -> None:
    ids = await died(registry, 5)

    pages, cursor = [], None
    while True:
        wanted = "" if cursor is None else f"&cursor={cursor}"
        told = (await registry.get(f"/feedback?limit=2{wanted}")).json()
        pages.append([each["device_id"] for each in told["items"]])
        cursor = told["next_cursor"]
        if cursor is None:
            break

    assert [len(page) for page in pages] == [2, 2, 1]
    assert list(chain.from_iterable(pages)) == ids
    assert [each["device_id"] for each in (await registry.get("/feedback")).json()["items"]] == ids


async def test_the_last_cursor_goes_on_another_day(registry: Registry) -> None:
    await died(registry)
    last = (await registry.get("/feedback")).json()["items"][-1]["cursor"]
    assert (await registry.get("/feedback", cursor=last)).json() == {"items": [], "next_cursor": None}

    [later] = await died(registry)

    items = (await registry.get("/feedback", cursor=last)).json()["items"]
    assert [each["device_id"] for each in items] == [later]


async def test_one_app_can_be_read_alone(registry: Registry) -> None:
    await died(registry)
    await registry.app("com.example.other")

    assert len((await registry.get("/feedback", app_bundle_id=registry.bundle)).json()["items"]) == 1
    assert (await registry.get("/feedback", app_bundle_id="com.example.other")).json()["items"] == []


@pytest.mark.parametrize("cursor", ["x", "1", "1.zz", "-1." + "0" * 32, "9" * 19 + "." + "0" * 32])
async def test_a_cursor_that_is_none_is_refused(registry: Registry, cursor: str) -> None:
    assert (await registry.get("/feedback", cursor=cursor)).status_code == 422


async def test_a_reader_does_not_pass_a_writer_that_commits_late(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    app = await an_app(hot_pool, tenant)
    early, late = await a_device(hot_pool, app), await a_device(hot_pool, app)

    async with hot_pool.acquire() as slow, slow.transaction():
        await _report(slow, early)
        async with hot_pool.acquire() as quick, quick.transaction():
            await _report(quick, late)
        seen_meanwhile = await feedback.page(hot_pool, tenant, limit=10)
    seen_after = await feedback.page(hot_pool, tenant, limit=10)

    assert seen_meanwhile == []
    assert [each.device_id for each in seen_after] == [early, late]


async def test_every_row_is_seen_exactly_once_while_forty_writers_commit_in_any_order(
    hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    app = await an_app(hot_pool, tenant)
    devices = [await a_device(hot_pool, app) for _ in range(40)]
    dice = random.Random(7)
    seen: list[Died] = []
    place: Place | None = None

    async def write(device: UUID) -> None:
        async with hot_pool.acquire() as conn, conn.transaction():
            await _report(conn, device)
            await conn.execute("SELECT pg_sleep($1)", dice.uniform(0, 0.03))
            await _report(conn, device)

    writing = asyncio.gather(*(write(device) for device in devices))
    async with asyncio.timeout(20):
        while len(seen) < 80:
            for each in await feedback.page(hot_pool, tenant, limit=3, after=place):
                seen.append(each)
                place = each.place
            await asyncio.sleep(0)
    await writing

    assert len({each.place for each in seen}) == 80
    assert sorted(each.device_id for each in seen) == sorted(devices * 2)
    assert await feedback.page(hot_pool, tenant, limit=3, after=place or Place(0, UUID(int=0))) == []


async def _report(conn: asyncpg.Connection, device: UUID) -> None:
    rows = await conn.fetch("SELECT id, tenant_id, app_id, token_hash FROM devices WHERE id = $1", device)
    await feedback.add(conn, rows, "unregistered")
