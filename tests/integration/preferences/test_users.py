"""Users as the API writes them, and the categories of a tenant."""

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from domain.clock import utc_now
from domain.lanes import Channel
from domain.notification import Recipient
from plumbing.secrets import Seal
from preferences import erasures, users
from preferences.categories import SHIPPED, Categories
from preferences.model import Kind
from preferences.users import Facts
from tests.integration.preferences.people import known

FACTS = Facts("b@example.com", "+33612345678", "Bea", "fr", "Europe/Paris", {"country": "FR", "tags": ["a"]})


async def test_a_user_is_created_once_and_read_back(hot_pool: asyncpg.Pool, seal: Seal, tenant: UUID) -> None:
    written, created = await users.put_user(hot_pool, seal, tenant, "b", FACTS)
    again, created_again = await users.put_user(hot_pool, seal, tenant, "b", FACTS)

    assert (created, created_again) == (True, False)
    assert written == again == await users.get_user(hot_pool, tenant, "b")
    assert (written.facts, written.version) == (FACTS, 1)


async def test_a_replaced_user_keeps_nothing_that_was_not_given_again(
    hot_pool: asyncpg.Pool, seal: Seal, tenant: UUID
) -> None:
    await users.put_user(hot_pool, seal, tenant, "b", FACTS)

    only_phone, _ = await users.put_user(hot_pool, seal, tenant, "b", Facts(phone="+33612345679"))

    assert only_phone.facts == Facts(phone="+33612345679")
    assert only_phone.version == 2
    assert set((await known(hot_pool, seal, tenant, Recipient(user="b"))).contacts) == {Channel.SMS}


async def test_a_moved_address_alone_raises_the_version(hot_pool: asyncpg.Pool, seal: Seal, tenant: UUID) -> None:
    await users.put_user(hot_pool, seal, tenant, "b", FACTS)

    moved, _ = await users.put_user(hot_pool, seal, tenant, "b", replace(FACTS, email="new@example.com"))

    assert moved.version == 2


async def test_an_erased_user_leaves_no_address_behind(hot_pool: asyncpg.Pool, seal: Seal, tenant: UUID) -> None:
    await users.put_user(hot_pool, seal, tenant, "b", FACTS)

    async with hot_pool.acquire() as conn, conn.transaction():
        facts: dict[str, Any] = {"actor": "cn_live_test", "now": utc_now(), "counts": {}}
        assert await erasures.begin(conn, seal, uuid4(), "b", **facts) is None
        assert await erasures.begin(conn, seal, tenant, "b", **facts) is not None

    assert await users.get_user(hot_pool, tenant, "b") is None
    assert await hot_pool.fetchval("SELECT count(*) FROM contacts WHERE tenant_id = $1", tenant) == 0


async def test_a_tenant_has_the_shipped_categories_and_may_write_its_own(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    seconds = [0.0]
    here, elsewhere = (Categories(clock_s=lambda: seconds[0]) for _ in range(2))
    assert await elsewhere.get(hot_pool, tenant, "marketing") == SHIPPED["marketing"]
    mine = replace(SHIPPED["marketing"], default_allow=True, channels=(Channel.SMS, Channel.EMAIL))
    own = replace(SHIPPED["general"], name="alarms", kind=Kind.CRITICAL)

    await here.put(hot_pool, tenant, mine)
    await here.put(hot_pool, tenant, own)

    assert [each.name for each in await here.list_all(hot_pool, tenant)] == sorted([*SHIPPED, "alarms"])
    assert await here.get(hot_pool, tenant, "marketing") == mine
    assert await elsewhere.get(hot_pool, tenant, "marketing") == SHIPPED["marketing"]
    seconds[0] = 2.0
    assert await elsewhere.get(hot_pool, tenant, "marketing") == mine
    assert await elsewhere.get(hot_pool, uuid4(), "alarms") is None
