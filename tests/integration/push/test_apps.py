"""Apps by key, bundle and id: remembered for three seconds, asked for once however many want to know."""

import asyncio
from uuid import UUID, uuid4

import asyncpg

from channels.push.apps import REMEMBERED_S, Apps
from domain.ids import uuid7
from plumbing.secrets import new_app_key
from tests.integration.push.fleet import an_app


class Hand:
    """A timer that is turned by hand."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Counted:
    """A pool that counts how often somebody borrows from it."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self.borrowed = 0

    def acquire(self, **wishes: float) -> object:
        self.borrowed += 1
        return self._pool.acquire(**wishes)


async def test_an_app_is_found_by_key_by_bundle_and_by_id(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    app_id = await an_app(hot_pool, tenant, web_origins=["https://shop.example"])
    apps = Apps(hot_pool)

    app = await apps.by_id(app_id)

    assert app is not None
    assert (app.tenant_id, app.web_origins, app.braked_at) == (tenant, ("https://shop.example",), None)
    assert await apps.by_key(app.app_key) == app
    assert await apps.by_bundle(tenant, app.bundle_id) == app


async def test_what_does_not_exist_or_is_anothers_is_none(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    await an_app(hot_pool, tenant, "com.example.mine")
    apps = Apps(hot_pool)

    assert await apps.by_bundle(uuid7(), "com.example.mine") is None
    assert await apps.by_id(uuid4()) is None
    for key in (new_app_key(), "cn_live_abc", "", "cn_app_" + "x" * 200, "cn_app_é"):
        assert await apps.by_key(key) is None


async def test_a_thousand_at_once_ask_once_and_for_three_seconds_nobody_asks_again(
    hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    key = new_app_key()
    await an_app(hot_pool, tenant, app_key=key)
    pool, timer = Counted(hot_pool), Hand()
    apps = Apps(pool, timer=timer)

    found = await asyncio.gather(*(apps.by_key(key) for _ in range(1000)))

    assert len(set(found)) == 1
    assert await apps.by_key(key) is not None
    assert pool.borrowed == 1
    timer.now_s += REMEMBERED_S + 0.1
    assert await apps.by_key(key) is not None
    assert pool.borrowed == 2


async def test_a_key_that_nobody_has_is_remembered_too(hot_pool: asyncpg.Pool) -> None:
    pool, key = Counted(hot_pool), new_app_key()
    apps = Apps(pool)

    assert [await apps.by_key(key) for _ in range(5)] == [None] * 5

    assert pool.borrowed == 1


async def test_a_bundle_created_just_now_is_found_at_once(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    apps = Apps(hot_pool)
    assert await apps.by_bundle(tenant, "com.example.new") is None

    await an_app(hot_pool, tenant, "com.example.new")

    assert await apps.by_bundle(tenant, "com.example.new") is not None


async def test_who_wrote_an_app_sees_the_change_at_once(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    app_id = await an_app(hot_pool, tenant)
    apps = Apps(hot_pool)
    before = await apps.by_id(app_id)
    assert before is not None

    await hot_pool.execute("UPDATE apps SET silent_per_hour = 3 WHERE id = $1", app_id)
    apps.forget(before)

    after = await apps.by_id(app_id)
    assert after is not None
    assert after.silent_per_hour == 3
