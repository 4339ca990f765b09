"""The quick way into the ledger against everybody it can meet: all is written, or nothing."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

from domain.ids import notification_id
from tests.integration.tracking.builders import Person, person, records
from tracking import once, quick
from tracking.once import Window
from tracking.quick import Judged
from tracking.rows import IdempotencyRow, Records

_KEEP_WINDOW = "INSERT INTO dedupe VALUES ($1, $2, now() + $3::interval)"
_KEEP_KEY = "INSERT INTO idempotency VALUES ($1, $2, $3, NULL, now() + $4::interval)"
HOUR = timedelta(hours=1)


@pytest.fixture
async def conn(hot_pool: asyncpg.Pool) -> AsyncIterator[asyncpg.Connection]:
    """The connection of the one who is quick."""
    async with hot_pool.acquire() as conn:
        yield conn


@pytest.fixture
async def other(hot_pool: asyncpg.Pool) -> AsyncIterator[asyncpg.Connection]:
    """Somebody else's connection."""
    async with hot_pool.acquire() as conn:
        yield conn


@pytest.fixture
async def ada(hot_pool: asyncpg.Pool, tenant: UUID) -> Person:
    """A user at version 1."""
    return await person(hot_pool, tenant)


def with_key(made: Records, key: UUID) -> Records:
    """The rows, the first of them with this idempotency key."""
    made.idempotency.append(IdempotencyRow(key, uuid4(), made.notifications[0].id, None))
    return made


def judged(ada: Person, *windows: Window, version: int = 1) -> Judged:
    """Judged by this version, with these windows."""
    return Judged([(ada.user_id, version)], [], windows)


async def kept(conn: asyncpg.Connection, ada: Person) -> tuple[int, ...]:
    """Notifications, deliveries and envelopes of this tenant."""
    tables = ("notifications", "deliveries", "outbox")
    return tuple([await conn.fetchval(f"SELECT count(*) FROM {t} WHERE tenant_id = $1", ada.tenant_id) for t in tables])


async def waits(conn: asyncpg.Connection, task: "asyncio.Task[bool]", pid: int) -> None:
    """Until the statement of this backend waits for a lock."""
    async with asyncio.timeout(10):
        while not await conn.fetchval("SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $1", pid):
            assert not task.done()
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("count", [1, 2, 30])
async def test_everything_is_written_at_once(conn: asyncpg.Connection, ada: Person, count: int) -> None:
    key, window = uuid4(), uuid4()
    made = with_key(records(ada, count), key)

    assert await quick.record(conn, made, judged(ada, Window(window, made.notifications[0].id, 60)))

    assert await kept(conn, ada) == (count, count, len(made.outbox))
    assert (await once.known(conn, [key]))[key].notification_id == made.notifications[0].id
    assert await conn.fetchval("SELECT notification_id FROM dedupe WHERE key = $1", window) == made.notifications[0].id
    found = await conn.fetch("SELECT id, delivery_ids FROM outbox WHERE tenant_id = $1", ada.tenant_id)
    assert {row["id"]: row["delivery_ids"] for row in found} == {each.id: each.delivery_ids for each in made.outbox}


async def test_it_needs_neither_keys_nor_windows_nor_users(conn: asyncpg.Connection, ada: Person) -> None:
    assert await quick.record(conn, records(ada), Judged([], [], []))
    assert await kept(conn, ada) == (1, 1, 1)


@pytest.mark.parametrize("count", [1, 3])
async def test_who_has_changed_since_gets_nothing_by_an_old_judgement(
    conn: asyncpg.Connection, other: asyncpg.Connection, ada: Person, count: int
) -> None:
    await other.execute("UPDATE users SET version = 2 WHERE id = $1", ada.user_id)

    assert not await quick.record(conn, records(ada, count), judged(ada))
    assert await kept(conn, ada) == (0, 0, 0)
    assert await quick.record(conn, records(ada, count), judged(ada, version=2))


async def test_who_is_gone_has_changed(conn: asyncpg.Connection, ada: Person) -> None:
    stranger = uuid4()

    assert not await quick.record(conn, records(ada), Judged([(stranger, 1)], [], []))
    assert not await quick.record(conn, records(ada), Judged([(ada.user_id, 1)], [(stranger, 1)], []))
    assert await kept(conn, ada) == (0, 0, 0)


async def test_an_address_alone_is_known_by_its_own_version(conn: asyncpg.Connection, ada: Person) -> None:
    contact = next(iter(ada.contacts.values()))

    assert not await quick.record(conn, records(ada), Judged([], [(contact, 2)], []))
    assert await quick.record(conn, records(ada), Judged([], [(contact, 1)], []))


async def test_a_key_that_somebody_works_on_stops_the_whole_batch(
    conn: asyncpg.Connection, other: asyncpg.Connection, ada: Person
) -> None:
    mine, ours = uuid4(), uuid4()
    made = with_key(with_key(records(ada, 2), mine), ours)

    async with other.transaction():
        assert await once.lock(other, [ours]) == {ours}
        assert not await quick.record(conn, made, judged(ada))

    assert await kept(conn, ada) == (0, 0, 0)
    assert await once.known(conn, [mine, ours]) == {}
    assert await quick.record(conn, made, judged(ada))


async def test_while_it_writes_nobody_else_gets_its_key(
    conn: asyncpg.Connection, other: asyncpg.Connection, hot_pool: asyncpg.Pool, ada: Person
) -> None:
    key, window = uuid4(), uuid4()
    made = with_key(records(ada), key)

    async with hot_pool.acquire() as third:
        async with third.transaction():
            await third.execute(_KEEP_WINDOW, window, notification_id(), HOUR)
            writing = asyncio.create_task(
                quick.record(conn, made, judged(ada, Window(window, made.notifications[0].id, 60)))
            )
            await waits(third, writing, conn.get_server_pid())
            async with other.transaction():
                assert await once.lock(other, [key]) == set()
            await third.execute("DELETE FROM dedupe WHERE key = $1", window)
        assert await writing

    async with other.transaction():
        assert await once.lock(other, [key]) == {key}
        assert key in await once.known(other, [key])


@pytest.mark.parametrize("commits", [True, False])
async def test_a_window_that_is_taken_while_it_waits_undoes_everything(
    conn: asyncpg.Connection, other: asyncpg.Connection, ada: Person, commits: bool
) -> None:
    key, window = uuid4(), uuid4()
    made = with_key(records(ada), key)
    theirs = other.transaction()
    await theirs.start()
    await other.execute(_KEEP_WINDOW, window, notification_id(), HOUR)

    writing = asyncio.create_task(quick.record(conn, made, judged(ada, Window(window, made.notifications[0].id, 60))))
    await waits(other, writing, conn.get_server_pid())
    await (theirs.commit() if commits else theirs.rollback())

    assert await writing is not commits
    assert await kept(conn, ada) == ((0, 0, 0) if commits else (1, 1, 1))
    assert (key in await once.known(conn, [key])) is not commits


async def test_a_key_that_was_written_since_it_looked_undoes_everything(
    conn: asyncpg.Connection, other: asyncpg.Connection, ada: Person
) -> None:
    key = uuid4()
    made = with_key(records(ada, 2), key)
    theirs = other.transaction()
    await theirs.start()
    await other.execute(_KEEP_KEY, key, uuid4(), notification_id(), HOUR)

    writing = asyncio.create_task(quick.record(conn, made, judged(ada)))
    await waits(other, writing, conn.get_server_pid())
    await theirs.commit()

    assert not await writing
    assert await kept(conn, ada) == (0, 0, 0)


async def test_what_is_known_or_held_is_seen_and_what_is_over_is_taken(
    conn: asyncpg.Connection, other: asyncpg.Connection, ada: Person
) -> None:
    key, window, made = uuid4(), uuid4(), records(ada)
    with_key(made, key)
    mine = judged(ada, Window(window, made.notifications[0].id, 60))

    await other.execute(_KEEP_KEY, key, uuid4(), notification_id(), HOUR)
    assert not await quick.record(conn, made, mine)
    await other.execute("UPDATE idempotency SET expires_at = now() - interval '1 s' WHERE key = $1", key)
    await other.execute(_KEEP_WINDOW, window, notification_id(), HOUR)
    assert not await quick.record(conn, made, mine)
    await other.execute("UPDATE dedupe SET expires_at = now() - interval '1 s' WHERE key = $1", window)
    assert await quick.record(conn, made, mine)

    assert await kept(conn, ada) == (1, 1, 1)


async def test_of_many_with_one_key_or_window_exactly_one_is_quick(hot_pool: asyncpg.Pool, ada: Person) -> None:
    async def race(key: UUID, window: UUID) -> int:
        async def one(with_a_key: bool) -> bool:
            made = with_key(records(ada), key) if with_a_key else records(ada)
            windows = [] if with_a_key else [Window(window, made.notifications[0].id, 60)]
            async with hot_pool.acquire() as conn:
                return await quick.record(conn, made, judged(ada, *windows))

        return sum(await asyncio.gather(*(one(number % 2 == 0) for number in range(6))))

    for _ in range(50):
        assert await race(uuid4(), uuid4()) == 2

    async with hot_pool.acquire() as conn:
        assert await kept(conn, ada) == (100, 100, 100)
