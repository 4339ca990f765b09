"""The hand of the hot pool, on a real PostgreSQL: whoever borrows gets what is in order, of at most `size`."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import asyncpg
import pytest

from domain.errors import Unavailable
from plumbing.database import HOT, borrow, connect, open_hot_pool
from plumbing.hot_pool import HotPool
from tests.integration.workers.stage import eventually

SIZE = 4
_PID = "SELECT pg_backend_pid()"


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[HotPool]:
    pool = await open_hot_pool(database_url, size=SIZE)
    yield pool
    await pool.close()


@pytest.fixture
async def other(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """Somebody else's connection."""
    conn = await connect(database_url)
    yield conn
    await conn.close()


async def pids_of_all(pool: HotPool) -> set[int]:
    """The backends of as many loans as may be open at once."""
    async with AsyncExitStack() as stack:
        loans = [await stack.enter_async_context(borrow(pool)) for _ in range(SIZE)]
        return {await conn.fetchval(_PID) for conn in loans}


async def pid_of_next(pool: HotPool) -> int:
    async with borrow(pool) as conn:
        pid: int = await conn.fetchval(_PID)
        return pid


async def are_gone(conn: asyncpg.Connection, pids: set[int]) -> bool:
    return bool(await conn.fetchval("SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = ANY($1::int[])", list(pids)))


async def is_asleep(conn: asyncpg.Connection, pids: list[int]) -> bool:
    return bool(
        await conn.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY($1::int[]) AND wait_event = 'PgSleep'", pids
        )
    )


async def test_the_last_one_back_is_lent_next_and_asyncpg_is_not_asked(pool: HotPool) -> None:
    async with borrow(pool) as first, borrow(pool) as second:
        pids = [await first.fetchval(_PID), await second.fetchval(_PID)]  # given back in the other order
    idle = pool.get_idle_size()

    async with borrow(pool) as again:
        assert pool.get_idle_size() == idle
        assert await again.fetchval(_PID) == pids[0]
    assert await pid_of_next(pool) == pids[0]


async def test_there_are_never_more_than_its_size_and_half_is_left_to_who_asks_asyncpg(pool: HotPool) -> None:
    pids: set[int] = set()

    async def work() -> None:
        async with borrow(pool) as conn:
            pids.add(await conn.fetchval("SELECT pg_backend_pid() FROM pg_sleep(0.002)"))

    await asyncio.gather(*(work() for _ in range(20 * SIZE)))

    assert len(pids) == SIZE
    async with AsyncExitStack() as stack, asyncio.timeout(5):
        plain = [await stack.enter_async_context(pool.acquire()) for _ in range(SIZE // 2)]
        assert len(plain) == SIZE // 2


async def test_who_waits_gets_the_next_that_comes_back(pool: HotPool) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(SIZE - 1):
            await stack.enter_async_context(borrow(pool))
        async with borrow(pool) as last:
            pid = await last.fetchval(_PID)
            waiting = asyncio.create_task(pid_of_next(pool))
            await asyncio.sleep(0)

        assert await waiting == pid


async def test_all_are_lent_within_a_second_or_it_is_unavailable_and_nothing_is_lost(pool: HotPool) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(SIZE):
            await stack.enter_async_context(borrow(pool))
        with pytest.raises(Unavailable, match="PostgreSQL"):
            async with asyncio.timeout(10), borrow(pool):
                pass

    assert len(await pids_of_all(pool)) == SIZE


async def test_backends_that_were_ended_in_hand_and_beside_it_are_replaced_at_once(
    pool: HotPool, other: asyncpg.Connection
) -> None:
    async with AsyncExitStack() as stack:
        lent = [await stack.enter_async_context(borrow(pool)) for _ in range(SIZE)]
        pids = [await conn.fetchval(_PID) for conn in lent]

    await other.execute("SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) pid", pids)
    async with asyncio.timeout(5):
        while not all(conn.is_closed() for conn in lent):
            await asyncio.sleep(0)

    assert not await pids_of_all(pool) & set(pids)
    assert len(await pids_of_all(pool)) == SIZE


async def test_a_backend_whose_end_was_not_heard_of_yet_is_unavailable_at_most_once(
    pool: HotPool, other: asyncpg.Connection
) -> None:
    for _ in range(20):
        pid = await pid_of_next(pool)
        await other.execute("SELECT pg_terminate_backend($1)", pid)
        try:
            fresh = await pid_of_next(pool)
        except Unavailable:
            fresh = await pid_of_next(pool)
        assert fresh != pid
    assert len(await pids_of_all(pool)) == SIZE


async def test_a_backend_that_ends_in_the_middle_of_a_loan_is_unavailable_once(
    pool: HotPool, other: asyncpg.Connection
) -> None:
    pids: list[int] = []

    async def sleep() -> None:
        async with borrow(pool) as conn:
            pids.append(await conn.fetchval(_PID))
            await conn.execute("SELECT pg_sleep(10)")

    sleeping = asyncio.create_task(sleep())
    await eventually(lambda: is_asleep(other, pids))
    await other.execute("SELECT pg_terminate_backend($1)", pids[0])
    with pytest.raises(Unavailable):
        await sleeping

    assert await pid_of_next(pool) != pids[0]
    assert len(await pids_of_all(pool)) == SIZE


async def test_who_is_cancelled_leaves_nothing_running_on_what_the_next_one_gets(pool: HotPool) -> None:
    wrong: list[tuple[int, object]] = []

    async def ask(number: int) -> None:
        async with borrow(pool) as conn:
            for part in range(3):
                answer = await conn.fetchval("SELECT $1::int FROM pg_sleep($2)", number, random.choice((0, 0.003)))
                if answer != number:
                    wrong.append((part, answer))

    tasks = [asyncio.create_task(ask(number)) for number in range(300)]
    for task in random.sample(tasks, 150):
        asyncio.get_running_loop().call_later(random.uniform(0, 0.6), task.cancel)
    ended = await asyncio.gather(*tasks, return_exceptions=True)

    assert wrong == []
    unexpected = [one for one in ended if one is not None and not isinstance(one, asyncio.CancelledError | Unavailable)]
    assert unexpected == []
    assert len(await pids_of_all(pool)) == SIZE


async def test_a_query_that_outlasts_its_caller_is_over_before_its_connection_is_lent_again(
    pool: HotPool, other: asyncpg.Connection
) -> None:
    async def sleep() -> None:
        async with borrow(pool) as conn:
            with pytest.raises(TimeoutError):  # swallowed inside of the loan, so its end looks clean
                async with asyncio.timeout(0.05):
                    await conn.execute("SELECT pg_sleep(4)")

    await sleep()

    assert pool.get_idle_size() == 1  # asyncpg has it, not the hand
    async with asyncio.timeout(2), borrow(pool) as conn:
        assert await conn.fetchval("SELECT 7") == 7
    running = (
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep(4)%' AND pid <> $1"
    )
    assert await other.fetchval(running, other.get_server_pid()) == 0


async def test_an_open_transaction_is_rolled_back_before_anybody_else_has_it(pool: HotPool, database_url: str) -> None:
    async with borrow(pool) as conn:
        await conn.execute("BEGIN")
        with pytest.raises(asyncpg.PostgresError):
            await conn.execute("SELECT 1 / 0")

    async with AsyncExitStack() as stack:
        for _ in range(SIZE):
            conn = await stack.enter_async_context(borrow(pool))
            assert not conn.is_in_transaction()
            assert await conn.fetchval("SELECT 1") == 1


async def test_a_refused_statement_costs_no_connection(pool: HotPool) -> None:
    pid = await pid_of_next(pool)

    with pytest.raises(asyncpg.DataError):
        async with borrow(pool) as conn:
            await conn.execute("SELECT 1 / 0")

    assert await pid_of_next(pool) == pid


async def test_a_worn_connection_ends(database_url: str, other: asyncpg.Connection) -> None:
    pool = HotPool(database_url, size=SIZE, max_queries=3, server_settings=HOT)
    await pool
    async with borrow(pool) as conn:
        for _ in range(3):
            worn = await conn.fetchval(_PID)

    await eventually(lambda: are_gone(other, {worn}))
    assert await pid_of_next(pool) != worn
    await pool.close()


async def test_one_that_is_not_needed_leaves_the_hand(database_url: str) -> None:
    pool = HotPool(database_url, size=SIZE, idle_s=0.05, server_settings=HOT)
    await pool
    await pids_of_all(pool)
    idle = pool.get_idle_size()

    async def is_given_back() -> bool:
        await pid_of_next(pool)
        return bool(pool.get_idle_size() > idle)

    await eventually(is_given_back)
    await pool.close()


@pytest.mark.parametrize("end", ["close", "terminate"])
async def test_at_the_end_those_in_hand_are_closed_too(database_url: str, other: asyncpg.Connection, end: str) -> None:
    pool = await open_hot_pool(database_url, size=SIZE)
    pids = await pids_of_all(pool)

    async with asyncio.timeout(5):
        if end == "close":
            await pool.close()
        else:
            pool.terminate()

    await eventually(lambda: are_gone(other, pids))
    with pytest.raises(Unavailable):
        async with borrow(pool):
            pass


async def test_a_loan_that_is_open_at_the_close_is_waited_for_and_closed_too(
    database_url: str, other: asyncpg.Connection
) -> None:
    pool = await open_hot_pool(database_url, size=SIZE)
    async with borrow(pool) as conn:
        pid = await conn.fetchval(_PID)
        closing = asyncio.create_task(pool.close())
        assert await conn.fetchval("SELECT 1 FROM pg_sleep(0.05)") == 1

    await closing
    await eventually(lambda: are_gone(other, {pid}))
