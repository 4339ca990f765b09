"""The mailbox on a real PostgreSQL: 100 per device whatever happens at once, the newest of a fold, pages in order."""

import asyncio
import random
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from channels.push import mailbox
from channels.push.mailbox import Letter, StoreResult, Wanted
from channels.push.room import Overflow
from domain.clock import utc_now
from domain.delivery import DeliveryStatus
from domain.errors import Unavailable
from plumbing.database import postgres_errors
from tests.integration.push.people import Owner, a_device, a_letter, an_owner, kept, pushes


async def stored_deliveries(pool: asyncpg.Pool, owner: Owner, count: int) -> list[UUID]:
    """Deliveries that stand as `stored`, older ones first."""
    return await kept(pool, pushes(owner, count, devices=[owner.device], status=DeliveryStatus.STORED))


async def store(pool: asyncpg.Pool, letters: Sequence[Letter]) -> StoreResult:
    async with pool.acquire() as conn, conn.transaction():
        return await mailbox.store(conn, letters)


async def page(pool: asyncpg.Pool, *wanted: Wanted) -> dict[UUID, list[UUID]]:
    async with pool.acquire() as conn:
        pages = await mailbox.page(conn, wanted)
    return {device: [letter.delivery_id for letter in letters] for device, letters in pages.items()}


async def test_letters_come_back_by_wake_then_by_age_in_pages(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    owner = await an_owner(hot_pool, tenant, devices=2)
    a, b, c, d, e = await stored_deliveries(hot_pool, owner, 5)
    wakes = {a: 1, b: 5, c: 10, d: 10, e: 5}
    elsewhere = a_letter(owner, (await stored_deliveries(hot_pool, owner, 1))[0], device=owner.devices[1])

    result = await store(hot_pool, [*(a_letter(owner, one, wake=wake) for one, wake in wakes.items()), elsewhere])

    assert result.stored == {a, b, c, d, e, elsewhere.delivery_id}
    first = await page(hot_pool, Wanted(owner.device, limit=2), Wanted(owner.devices[1]))
    assert first == {owner.device: [c, d], owner.devices[1]: [elsewhere.delivery_id]}
    assert await page(hot_pool, Wanted(owner.device, (10, d), 2)) == {owner.device: [b, e]}
    assert await page(hot_pool, Wanted(owner.device, (5, e), 2)) == {owner.device: [a]}
    assert await page(hot_pool, Wanted(owner.device, least_wake=5)) == {owner.device: [c, d, b, e]}


async def test_what_is_not_due_or_over_is_neither_paged_nor_waiting(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    owner = await an_owner(hot_pool, tenant)
    later, over, due = await stored_deliveries(hot_pool, owner, 3)
    await store(
        hot_pool,
        [
            a_letter(owner, later, not_before=utc_now() + timedelta(hours=1)),
            a_letter(owner, over, expires_in_s=-1),
            a_letter(owner, due, wake=5),
        ],
    )

    async with hot_pool.acquire() as conn:
        waiting = await mailbox.waiting(conn, [owner.device])

    assert await page(hot_pool, Wanted(owner.device)) == {owner.device: [due]}
    assert (waiting[owner.device].count, waiting[owner.device].greatest_wake) == (1, 5)


async def test_of_one_collapse_id_only_the_newest_is_kept_whatever_arrives_first(
    hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    owner = await an_owner(hot_pool, tenant)
    oldest, middle, newest = await stored_deliveries(hot_pool, owner, 3)

    assert (await store(hot_pool, [a_letter(owner, middle, collapse_id="score")])).collapsed == []
    assert (await store(hot_pool, [a_letter(owner, oldest, collapse_id="score")])).collapsed == [(oldest, middle)]
    assert (await store(hot_pool, [a_letter(owner, newest, collapse_id="score")])).collapsed == [(middle, newest)]

    assert await page(hot_pool, Wanted(owner.device)) == {owner.device: [newest]}


async def test_storing_twice_changes_nothing(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    owner = await an_owner(hot_pool, tenant)
    [one] = await stored_deliveries(hot_pool, owner, 1)
    letter = a_letter(owner, one, collapse_id="x")

    results = [await store(hot_pool, [letter]) for _ in range(2)]

    assert [result.stored for result in results] == [{one}, {one}]
    assert await page(hot_pool, Wanted(owner.device)) == {owner.device: [one]}


@pytest.mark.parametrize("overflow", ["drop_oldest_lowest_priority", "reject"])
async def test_a_full_mailbox_does_what_its_app_wants(hot_pool: asyncpg.Pool, tenant: UUID, overflow: str) -> None:
    owner = await an_owner(hot_pool, tenant, overflow=overflow)
    ids = await stored_deliveries(hot_pool, owner, 101)
    low = ids[50]
    await store(hot_pool, [a_letter(owner, one, wake=1 if one == low else 5) for one in ids[:100]])

    result = await store(hot_pool, [a_letter(owner, ids[100], wake=5)])

    [there] = (await page(hot_pool, Wanted(owner.device, limit=200))).values()
    assert len(there) == 100
    if overflow == "reject":
        assert (result.refused, result.evicted, result.stored) == ([ids[100]], [], set())
    else:
        assert (result.refused, result.evicted, result.stored) == ([], [low], {ids[100]})
        assert low not in there


@pytest.mark.parametrize("overflow", ["drop_oldest_lowest_priority", "reject"])
async def test_many_storers_at_once_never_leave_more_than_a_hundred(
    hot_pool: asyncpg.Pool, tenant: UUID, overflow: str
) -> None:
    owner = await an_owner(hot_pool, tenant, overflow=overflow)
    ids = await stored_deliveries(hot_pool, owner, 160)

    async def keep(part: Sequence[UUID]) -> StoreResult:
        while True:
            try:
                with postgres_errors():
                    return await store(hot_pool, [a_letter(owner, one) for one in part])
            except Unavailable:
                await asyncio.sleep(0.01)

    results = await asyncio.gather(*(keep(ids[start::16]) for start in range(16)))

    [there] = (await page(hot_pool, Wanted(owner.device, limit=200))).values()
    lost = [one for result in results for one in (*result.evicted, *result.refused)]
    assert len(there) == 100
    assert sorted([*there, *lost]) == ids, "each was kept or named, exactly once"


async def test_a_letter_to_a_device_that_is_gone_or_somebody_elses_is_not_kept(
    hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    owner, other = await an_owner(hot_pool, tenant, devices=3), await an_owner(hot_pool, tenant)
    moved, suspended, erased = owner.devices
    made = pushes(owner, 1, status=DeliveryStatus.STORED)
    ids = await kept(hot_pool, made)
    await hot_pool.execute("UPDATE devices SET user_id = $2 WHERE id = $1", moved, other.user_id)
    await hot_pool.execute("UPDATE devices SET invalidated_at = now() WHERE id = $1", suspended)
    await hot_pool.execute("DELETE FROM devices WHERE id = $1", erased)

    letters = [a_letter(owner, one, device=device) for one, device in zip(ids, owner.devices, strict=True)]
    result = await store(hot_pool, letters)

    assert (sorted(result.gone), result.stored) == (ids, set())
    assert await page(hot_pool, *map(Wanted, owner.devices)) == {device: [] for device in owner.devices}


async def test_letters_are_forgotten_purged_and_expire(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    owner = await an_owner(hot_pool, tenant)
    other = await a_device(hot_pool, owner)
    acked, purged, late, left = await stored_deliveries(hot_pool, owner, 4)
    await store(
        hot_pool,
        [
            a_letter(owner, acked),
            a_letter(owner, purged, device=other),
            a_letter(owner, late, wake=5, expires_in_s=-60),
            a_letter(owner, left),
        ],
    )

    async with hot_pool.acquire() as conn, conn.transaction():
        assert await mailbox.forget(conn, [acked]) == 1
        assert await mailbox.purge(conn, [other]) == [purged]
        assert (late, 5) in await mailbox.expire(conn, 1000)

    assert await page(hot_pool, Wanted(owner.device), Wanted(other)) == {owner.device: [left], other: []}


async def test_what_somebody_is_just_ending_does_not_expire_as_well(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    owner = await an_owner(hot_pool, tenant)
    [late] = await stored_deliveries(hot_pool, owner, 1)
    await store(hot_pool, [a_letter(owner, late, expires_in_s=-60)])

    async with hot_pool.acquire() as acking, hot_pool.acquire() as sweeping, acking.transaction():
        await acking.execute("UPDATE deliveries SET status = $2 WHERE id = $1", late, DeliveryStatus.DELIVERED.code)
        async with sweeping.transaction():
            assert late not in [one.delivery_id for one in await mailbox.expire(sweeping, 1000)]
        assert await mailbox.forget(acking, [late]) == 1


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_arrives_in_whatever_batches_the_mailbox_holds_what_the_rules_say(
    hot_pool: asyncpg.Pool, tenant: UUID, seed: int
) -> None:
    dice = random.Random(seed)
    overflow = dice.choice(list(Overflow))
    owner = await an_owner(hot_pool, tenant, overflow=overflow)
    ids = await stored_deliveries(hot_pool, owner, 180)
    letters = {
        one: a_letter(
            owner, one, wake=dice.choice([10, 5, 1]), collapse_id=dice.choice([None, None, None, *"abcdefgh"])
        )
        for one in ids
    }
    model: dict[UUID, Letter] = {}
    left = dice.sample(ids, len(ids))

    while left:
        batch, left = sorted(left[:25]), left[25:]
        result = await store(hot_pool, [letters[one] for one in dice.sample(batch, len(batch))])
        ended = {*(one for one, _ in result.collapsed), *result.evicted, *result.refused}
        everybody = model.keys() | set(batch)
        for one in batch:
            _store_slowly(model, letters[one], overflow)

        assert await mail(hot_pool, owner) == model.keys()
        assert everybody == model.keys() | ended, "nobody is lost without a word"
        assert not model.keys() & ended
        if dice.random() < 0.5:
            acked = dice.sample(sorted(model), len(model) // 4)
            async with hot_pool.acquire() as conn:
                assert await mailbox.forget(conn, acked) == len(acked)
            for one in acked:
                del model[one]


def _store_slowly(model: dict[UUID, Letter], letter: Letter, overflow: Overflow) -> None:
    rivals = [one for one, known in model.items() if letter.fold is not None and known.fold == letter.fold]
    if any(one > letter.delivery_id for one in rivals):
        return
    for one in rivals:
        del model[one]
    if len(model) >= 100 and overflow is Overflow.REJECT:
        return
    model[letter.delivery_id] = letter
    if len(model) > 100:
        del model[min(model, key=lambda one: (model[one].wake, one))]


async def mail(pool: asyncpg.Pool, owner: Owner) -> set[UUID]:
    rows = await pool.fetch("SELECT delivery_id FROM mailbox WHERE device_id = $1", owner.device)
    return {row["delivery_id"] for row in rows}
