"""Recipients on the accept path: created, updated, loaded, in a fixed number of statements."""

import asyncio
import random
from uuid import UUID, uuid4

import asyncpg
import pytest

from domain.ids import uuid7
from domain.lanes import Channel
from domain.notification import Recipient
from plumbing.secrets import Seal
from preferences import contacts, devices
from tests.integration.preferences.conftest import ADA
from tests.integration.preferences.people import counted, known, put


async def test_an_inline_recipient_becomes_a_user_with_both_addresses(
    hot_pool: asyncpg.Pool, seal: Seal, tenant: UUID
) -> None:
    await put(hot_pool, seal, tenant, [ADA])

    ada = await known(hot_pool, seal, tenant, Recipient(user="ada"))

    assert (ada.external_id, ada.version, ada.locale, ada.timezone) == ("ada", 1, "fr", "Europe/Paris")
    assert set(ada.contacts) == {Channel.EMAIL, Channel.SMS}


async def test_the_same_facts_again_write_nothing(
    hot_pool: asyncpg.Pool, seal: Seal, tenant: UUID, ada: Recipient
) -> None:
    before = await hot_pool.fetch("SELECT xmin, version FROM users WHERE tenant_id = $1", tenant)

    await put(hot_pool, seal, tenant, [ADA, Recipient(user="ada", locale="fr")])

    assert await hot_pool.fetch("SELECT xmin, version FROM users WHERE tenant_id = $1", tenant) == before


@pytest.mark.parametrize("change", [Recipient(user="ada", name="Ada"), Recipient(user="ada", email="new@example.com")])
async def test_a_new_fact_raises_the_version_once_and_leaves_the_others(
    hot_pool: asyncpg.Pool, seal: Seal, tenant: UUID, ada: Recipient, change: Recipient
) -> None:
    before = await known(hot_pool, seal, tenant, ada)

    await put(hot_pool, seal, tenant, [change])

    after = await known(hot_pool, seal, tenant, ada)
    assert after.version == before.version + 1
    assert (after.contacts, after.locale) == (before.contacts, "fr")


async def test_two_mentions_of_one_user_in_one_call_are_one_user(
    hot_pool: asyncpg.Pool, seal: Seal, tenant: UUID
) -> None:
    await put(hot_pool, seal, tenant, [Recipient(user="b", email="b@example.com"), Recipient(user="b", name="B")])

    b = await known(hot_pool, seal, tenant, Recipient(user="b"))

    assert (b.name, set(b.contacts)) == ("B", {Channel.EMAIL})


async def test_an_unknown_user_is_not_in_the_answer_and_nobody_is_created(
    hot_pool: asyncpg.Pool, seal: Seal, tenant: UUID
) -> None:
    async with hot_pool.acquire() as conn, conn.transaction():
        assert await contacts.load(conn, seal, tenant, [Recipient(user="nobody")]) == {}

    assert await hot_pool.fetchval("SELECT count(*) FROM users WHERE tenant_id = $1", tenant) == 0


async def test_a_user_of_another_tenant_is_unknown(
    hot_pool: asyncpg.Pool, seal: Seal, tenant: UUID, ada: Recipient
) -> None:
    other = uuid7()
    await hot_pool.execute("INSERT INTO tenants (id, name) VALUES ($1, $2)", other, f"test-{other}")

    async with hot_pool.acquire() as conn, conn.transaction():
        assert await contacts.load(conn, seal, other, [ada]) == {}
        assert len(await contacts.load(conn, seal, tenant, [ada])) == 1


async def test_an_address_alone_becomes_one_contact_however_often_it_is_named(
    hot_pool: asyncpg.Pool, seal: Seal, tenant: UUID
) -> None:
    stranger = Recipient(email="stranger@example.com")

    first = await known(hot_pool, seal, tenant, stranger)
    second = await known(hot_pool, seal, tenant, stranger)

    assert first == second
    assert (first.user_id, first.version, list(first.contacts)) == (None, 1, [Channel.EMAIL])
    assert await hot_pool.fetchval("SELECT count(*) FROM contacts WHERE tenant_id = $1", tenant) == 1


async def test_an_address_alone_is_not_the_user_who_has_the_same_address(
    hot_pool: asyncpg.Pool, seal: Seal, tenant: UUID, ada: Recipient
) -> None:
    alone = await known(hot_pool, seal, tenant, Recipient(email="ada@example.com"))
    user = await known(hot_pool, seal, tenant, ada)

    assert alone.user_id is None
    assert alone.contacts[Channel.EMAIL] != user.contacts[Channel.EMAIL]


async def test_a_stranger_with_an_email_and_a_phone_has_both(hot_pool: asyncpg.Pool, seal: Seal, tenant: UUID) -> None:
    stranger = Recipient(email="s@example.com", phone="+33612345679", locale="fr")

    found = await known(hot_pool, seal, tenant, stranger)

    assert set(found.contacts) == {Channel.EMAIL, Channel.SMS}
    assert found.locale == "fr"


@pytest.mark.parametrize("count", [1, 200])
async def test_any_number_of_recipients_takes_the_same_few_statements(
    hot_pool: asyncpg.Pool, seal: Seal, tenant: UUID, count: int
) -> None:
    users = [Recipient(user=f"u-{n}", email=f"u-{n}@example.com") for n in range(count)]
    strangers = [Recipient(email=f"s-{n}@example.com") for n in range(count)]

    async with counted(hot_pool) as (conn, statements):
        await contacts.put_recipients(conn, seal, tenant, users)
        assert await statements() == 3
        await contacts.put_recipients(conn, seal, tenant, users)
        assert await statements() == 1
        found = await contacts.load(conn, seal, tenant, [*users, *strangers])
        assert await statements() == 4
        again = await contacts.load(conn, seal, tenant, [*users, *strangers])
        assert await statements() == 2

    assert found == again
    assert len(found) == 2 * count


async def test_those_that_changed_or_are_gone_come_in_one_answer(
    hot_pool: asyncpg.Pool, seal: Seal, tenant: UUID, ada: Recipient
) -> None:
    user = await known(hot_pool, seal, tenant, ada)
    alone = await known(hot_pool, seal, tenant, Recipient(phone="+33612345670"))
    assert user.user_id is not None
    contact, gone, gone_too = alone.contacts[Channel.SMS], uuid4(), uuid4()

    async with hot_pool.acquire() as conn:
        current = await contacts.stale(conn, [(user.user_id, 1)], [(contact, 1)])
        older = await contacts.stale(conn, [(user.user_id, 0), (gone, 1)], [(contact, 2), (gone_too, 1)])

    assert current == set()
    assert older == {user.user_id, gone, contact, gone_too}


async def test_recipients_of_deliveries_are_known_again_by_their_ids(
    hot_pool: asyncpg.Pool, seal: Seal, tenant: UUID, ada: Recipient
) -> None:
    user = await known(hot_pool, seal, tenant, ada)
    alone = await known(hot_pool, seal, tenant, Recipient(phone="+33612345670"))
    by_user = (user.user_id, user.contacts[Channel.EMAIL])
    by_contact = (None, alone.contacts[Channel.SMS])

    async with hot_pool.acquire() as conn:
        found = await contacts.reload(conn, tenant, [by_user, by_contact, (uuid4(), uuid4()), (None, uuid4())])

    assert found == {by_user: user, by_contact: alone}


async def test_many_writers_of_the_same_people_in_any_order_never_deadlock(
    hot_pool: asyncpg.Pool, seal: Seal, tenant: UUID
) -> None:
    async def write(seed: int) -> None:
        rng = random.Random(seed)
        people = [Recipient(user=f"u-{n}", email=f"u-{n}-{rng.random()}@example.com") for n in range(20)]
        strangers = [Recipient(email=f"s-{n}@example.com") for n in range(20)]
        rng.shuffle(people)
        rng.shuffle(strangers)
        async with hot_pool.acquire() as conn, conn.transaction():
            await conn.execute("SET LOCAL lock_timeout = '10s'")
            await contacts.put_recipients(conn, seal, tenant, people)
            await contacts.load(conn, seal, tenant, [*people, *strangers])

    await asyncio.gather(*(write(seed) for seed in range(24)))

    assert await hot_pool.fetchval("SELECT count(*) FROM contacts WHERE tenant_id = $1", tenant) == 40


async def test_who_has_which_devices_is_found_by_index(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    """With a hundred thousand devices a scan would be a tenth of a second for each send."""
    statements = (
        (contacts._USERS_BY_NAME, (tenant, ["ada"])),
        (contacts._USERS_BY_ID, (tenant, [tenant])),
        (contacts._STALE, ([tenant], [1], [tenant], [1])),
        (devices._NAMED, (tenant, [tenant], [b"x" * 32])),
    )

    for statement, arguments in statements:
        plan = "\n".join(row[0] for row in await hot_pool.fetch(f"EXPLAIN {statement}", *arguments))
        assert "on devices" in plan
        assert "Seq Scan on devices" not in plan


async def test_addresses_are_found_by_their_keys_where_postgresql_has_not_counted_them_yet(
    hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    """A plan that is made while the table is young must not compare each row of it with each key."""
    async with hot_pool.acquire() as conn, conn.transaction():
        await conn.execute("CREATE TEMP TABLE contacts (LIKE public.contacts INCLUDING ALL) ON COMMIT DROP")
        rows = await conn.fetch(f"EXPLAIN {contacts._ALONE_BY_ADDRESS}", tenant, [uuid7() for _ in range(300)])

    plan = "\n".join(row[0] for row in rows)
    assert "Index Cond: (address_key = ANY" in plan, plan
