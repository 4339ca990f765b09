"""Once only: keys locked without waiting, windows with exactly one winner and no deadlock."""

import asyncio
import random
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

from domain.ids import notification_id
from tracking import once
from tracking.once import Window


async def test_a_twin_does_not_get_the_key_and_does_not_wait(hot_pool: asyncpg.Pool) -> None:
    mine, ours = uuid4(), uuid4()

    async with hot_pool.acquire() as first, hot_pool.acquire() as second, first.transaction(), second.transaction():
        got_first = await once.lock(first, [mine, ours])
        got_second = await asyncio.wait_for(once.lock(second, [ours, uuid4()]), 10)

    assert got_first == {mine, ours}
    assert len(got_second) == 1
    assert ours not in got_second


async def test_after_the_holders_commit_the_key_is_free_and_its_answer_known(hot_pool: asyncpg.Pool) -> None:
    key, fingerprint, notification = uuid4(), uuid4(), notification_id()
    async with hot_pool.acquire() as conn, conn.transaction():
        await once.lock(conn, [key])
        await conn.execute(
            "INSERT INTO idempotency VALUES ($1, $2, $3, NULL, now() + interval '1 h')", key, fingerprint, notification
        )

    async with hot_pool.acquire() as conn, conn.transaction():
        assert await once.lock(conn, [key]) == {key}
        assert await once.known(conn, [key, uuid4()]) == {key: once.KnownAnswer(fingerprint, notification, None)}


async def test_an_expired_key_is_not_known(hot_pool: asyncpg.Pool) -> None:
    key = uuid4()
    await hot_pool.execute("INSERT INTO idempotency VALUES ($1, $2, NULL, NULL, now() - interval '1 s')", key, uuid4())

    async with hot_pool.acquire() as conn:
        assert await once.known(conn, [key]) == {}


async def test_equal_windows_of_many_processes_have_one_winner_each_and_never_deadlock(hot_pool: asyncpg.Pool) -> None:
    keys = [uuid4() for _ in range(60)]
    dice = random.Random(7)

    async def batch() -> tuple[dict[UUID, UUID], dict[UUID, UUID]]:
        mine: dict[UUID, UUID] = {key: notification_id() for key in dice.sample(keys, 40)}
        async with hot_pool.acquire() as conn, conn.transaction():
            lost = await once.open_windows(conn, [Window(key, one, 60) for key, one in mine.items()])
        return mine, lost

    batches = await asyncio.gather(*(batch() for _ in range(24)))

    winners: dict[UUID, list[UUID]] = {}
    for mine, lost in batches:
        for key, one in mine.items():
            if key not in lost:
                winners.setdefault(key, []).append(one)
    assert all(len(won) == 1 for won in winners.values())
    for mine, lost in batches:
        assert {key: winners[key][0] for key in lost} == lost
        assert set(lost) <= set(mine)


async def test_a_window_that_is_over_can_be_opened_again(hot_pool: asyncpg.Pool) -> None:
    key, first, second = uuid4(), notification_id(), notification_id()

    async with hot_pool.acquire() as conn:
        assert await once.open_windows(conn, [Window(key, first, 60)]) == {}
        assert await once.open_windows(conn, [Window(key, second, 60)]) == {key: first}
        await conn.execute("UPDATE dedupe SET expires_at = now() - interval '1 s' WHERE key = $1", key)
        assert await once.open_windows(conn, [Window(key, second, 60)]) == {}


async def test_a_key_that_stands_twice_in_a_batch_is_refused(hot_pool: asyncpg.Pool) -> None:
    window = Window(uuid4(), notification_id(), 60)

    async with hot_pool.acquire() as conn:
        with pytest.raises(ValueError, match="twice"):
            await once.open_windows(conn, [window, window])


async def test_what_is_over_is_forgotten_and_the_rest_is_kept(hot_pool: asyncpg.Pool) -> None:
    old, young = uuid4(), uuid4()
    for key, age in ((old, timedelta(hours=1)), (young, -timedelta(hours=1))):
        await hot_pool.execute("INSERT INTO idempotency VALUES ($1, $1, NULL, NULL, now() - $2::interval)", key, age)

    async with hot_pool.acquire() as conn:
        assert await once.forget_expired(conn) >= 1

    left = await hot_pool.fetch("SELECT key FROM idempotency WHERE key = ANY($1::uuid[])", [old, young])
    assert [row["key"] for row in left] == [young]
