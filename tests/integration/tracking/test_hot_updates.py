"""Claims and finishes stay heap-only, use their indexes, and never wait for each other in a circle."""

import asyncio
import random
from uuid import UUID

import asyncpg
import pytest

from domain.clock import utc_now
from domain.errors import Misconfigured, Unavailable
from plumbing.database import borrow, connect, open_hot_pool
from tests.integration.tracking.builders import finished, person, recorded, records
from tracking.claim import claim
from tracking.dead import letters
from tracking.dead.letters import DeadLetter
from tracking.finish import finish

_HOT = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = $1"


@pytest.mark.alone  # whoever else holds a snapshot keeps pages from being pruned
async def test_more_than_four_of_five_updates_of_a_delivery_are_heap_only(database_url: str, tenant: UUID) -> None:
    pool = await open_hot_pool(database_url, size=1)
    conn = await connect(database_url)
    partition = f"deliveries_p{utc_now():%Y%m}"
    made = records(await person(pool, tenant), 2000)
    ids = await recorded(pool, made)
    await pool.execute("SELECT pg_stat_force_next_flush()")
    before = await conn.fetchrow(_HOT, partition)

    for start in range(0, len(ids), 100):
        won = (await claim(pool, ids[start : start + 100], lease_s=20)).claimed
        await finish(pool, [finished(one) for one in won])
    await pool.execute("SELECT pg_stat_force_next_flush()")
    async with asyncio.timeout(10):
        while True:
            after = await conn.fetchrow(_HOT, partition)
            if after["n_tup_upd"] - before["n_tup_upd"] >= 2 * len(ids):
                break
            await asyncio.sleep(0.05)

    updates, hot = (after[name] - before[name] for name in ("n_tup_upd", "n_tup_hot_upd"))
    assert hot / updates > 0.8
    await conn.close()
    await pool.close()


async def test_overlapping_claims_and_finishes_in_any_order_never_deadlock(
    hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    ids = await recorded(hot_pool, records(await person(hot_pool, tenant), 200))
    dice = random.Random(3)
    sent: list[UUID] = []

    async def worker() -> None:
        for _ in range(10):
            won = (await claim(hot_pool, dice.sample(ids, 60), lease_s=20)).claimed
            dice.shuffle(won)
            sent.extend((await finish(hot_pool, [finished(one) for one in won])).written)

    await asyncio.gather(*(worker() for _ in range(6)))

    assert len(sent) == len(set(sent))


async def test_an_exhausted_pool_is_unavailable_within_a_second(database_url: str) -> None:
    pool = await open_hot_pool(database_url, size=2)
    async with borrow(pool), borrow(pool):
        with pytest.raises(Unavailable, match="PostgreSQL"):
            async with asyncio.timeout(10), borrow(pool):
                pass
    await pool.close()


async def test_a_closed_port_is_unavailable_and_a_wrong_database_misconfigured(database_url: str) -> None:
    with pytest.raises(Unavailable):
        await open_hot_pool("postgresql://nobody@127.0.0.1:1/nothing", size=2)
    with pytest.raises(Misconfigured):
        await open_hot_pool(database_url.rsplit("/", 1)[0] + "/carillon_never_made", size=2)
    with pytest.raises(Misconfigured):
        await open_hot_pool("mysql://nobody@127.0.0.1/nothing", size=2)


async def test_a_dead_letter_is_kept_once_per_delivery_and_unreadable_ones_always(
    hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    (delivery,) = await recorded(hot_pool, records(await person(hot_pool, tenant)))
    known = DeadLetter("worker_crash", "first", "f", {"n": 1}, tenant_id=tenant, delivery_id=delivery)
    renewed = DeadLetter("worker_crash", "second\0\ud800", "f", {"n": "\0"}, tenant_id=tenant, delivery_id=delivery)
    unreadable = [DeadLetter("unreadable", "not ours", f"f-{tenant}", {}) for _ in range(2)]

    await letters.archive(hot_pool, [known, *unreadable])
    await hot_pool.execute("UPDATE dead_letters SET settled_at = now() WHERE delivery_id = $1", delivery)
    await letters.archive(hot_pool, [renewed])

    row = await hot_pool.fetchrow("SELECT detail, settled_at FROM dead_letters WHERE delivery_id = $1", delivery)
    assert (row["detail"].startswith("second"), row["settled_at"]) == (True, None)
    count = await hot_pool.fetchval("SELECT count(*) FROM dead_letters WHERE fingerprint = $1", f"f-{tenant}")
    assert count == 2
