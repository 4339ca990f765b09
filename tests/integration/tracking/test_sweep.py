"""The sweeper's table, row by row, on a real database; and what it leaves alone."""

from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from domain.clock import utc_now
from domain.delivery import DeliveryStatus
from domain.lanes import Channel, Lane, Priority
from domain.reasons import Reason
from tests.integration.tracking.builders import (
    finished,
    let_leases_run_out,
    make_due,
    outbox_ids,
    person,
    recorded,
    records,
    status_of,
)
from tracking.claim import claim
from tracking.finish import finish
from tracking.rows import Records
from tracking.sweep import SweepReport, sweep

ALL_LANES = frozenset(Lane(channel, priority) for channel in Channel for priority in Priority)


async def _policy(_tenant: UUID, category: str) -> str:
    return "hold" if category == "marketing" else "retry"


async def _sweep(pool: asyncpg.Pool, tenant: UUID, drained: frozenset[Lane] = frozenset()) -> SweepReport:
    await make_due(pool, tenant)
    async with pool.acquire() as conn:
        return await sweep(conn, limit=1000, drained=drained, policy=_policy)


async def _lost(pool: asyncpg.Pool, made: Records, *, crashes: int = 0) -> list[UUID]:
    """Claimed by a worker that is gone, its lease over."""
    ids = await recorded(pool, made)
    await pool.execute("UPDATE deliveries SET crashes = $2 WHERE id = ANY($1::uuid[])", ids, crashes)
    assert len((await claim(pool, ids, lease_s=20, is_alone=True)).claimed) == len(ids)
    await let_leases_run_out(pool, ids)
    return ids


async def _is_published(pool: asyncpg.Pool, made: Records) -> bool | None:
    found: bool | None = await pool.fetchval(
        "SELECT published_at IS NOT NULL FROM outbox WHERE id = $1", made.outbox[0].id
    )
    return found


async def test_a_running_lease_is_waited_for(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    made = records(await person(hot_pool, tenant))
    ids = await recorded(hot_pool, made)
    await claim(hot_pool, ids, lease_s=20)

    report = await _sweep(hot_pool, tenant, ALL_LANES)

    assert not set(report.unknown) & set(ids)
    left = await hot_pool.fetchval("SELECT watch_at - now() FROM outbox WHERE id = $1", made.outbox[0].id)
    assert timedelta(seconds=15) < left < timedelta(seconds=25)


async def test_a_lost_attempt_is_tried_again_when_its_category_says_retry(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    made = records(await person(hot_pool, tenant), 2)
    ids = await _lost(hot_pool, made)

    report = await _sweep(hot_pool, tenant)

    assert set(ids) <= set(report.unknown)
    assert await _is_published(hot_pool, made) is False
    again = (await claim(hot_pool, ids, lease_s=20)).claimed
    assert [(one.attempt, one.crashes) for one in again] == [(2, 1), (2, 1)]


async def test_a_lost_attempt_is_held_when_its_category_says_hold(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    made = records(await person(hot_pool, tenant), category="marketing")
    ids = await _lost(hot_pool, made)

    report = await _sweep(hot_pool, tenant)

    assert set(ids) <= set(report.held)
    row = await hot_pool.fetchrow("SELECT status, problem, reason FROM deliveries WHERE id = $1", ids[0])
    assert tuple(row) == (DeliveryStatus.AMBIGUOUS.code, DeliveryStatus.AMBIGUOUS.code, Reason.WORKER_LOST.code)
    assert not await outbox_ids(hot_pool, made)


async def test_a_lost_push_is_always_tried_again(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    made = records(await person(hot_pool, tenant), category="marketing")
    ids = await _lost(hot_pool, made)
    await hot_pool.execute("UPDATE deliveries SET channel = $2 WHERE id = $1", ids[0], Channel.PUSH.code)

    await _sweep(hot_pool, tenant)

    assert await status_of(hot_pool, ids[0]) is DeliveryStatus.QUEUED


async def test_the_second_loss_sends_it_alone_to_quarantine_and_its_neighbour_back_to_the_lane(
    hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    made = records(await person(hot_pool, tenant), 2)
    suspect, neighbour = await _lost(hot_pool, made)
    await hot_pool.execute("UPDATE deliveries SET crashes = 1 WHERE id = $1", suspect)

    report = await _sweep(hot_pool, tenant)

    (alone,) = [row for row in report.quarantine if row.tenant_id == tenant]
    assert alone.delivery_ids == [suspect]
    rows = await hot_pool.fetch("SELECT id, published_at, delivery_ids FROM outbox WHERE tenant_id = $1", tenant)
    assert {row["id"]: (row["published_at"] is None, list(row["delivery_ids"])) for row in rows} == {
        alone.id: (False, [suspect]),
        made.outbox[0].id: (True, [neighbour]),
    }


async def test_a_suspect_nobody_took_goes_to_quarantine_again_and_not_to_its_lane(
    hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    (suspect,) = await _lost(hot_pool, records(await person(hot_pool, tenant)), crashes=1)
    await _sweep(hot_pool, tenant)

    report = await _sweep(hot_pool, tenant, ALL_LANES)

    assert [row.delivery_ids for row in report.quarantine if row.tenant_id == tenant] == [[suspect]]
    assert await hot_pool.fetchval("SELECT count(*) FROM outbox WHERE tenant_id = $1", tenant) == 1


async def test_the_third_loss_is_buried_with_its_evidence(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    made = records(await person(hot_pool, tenant))
    ids = await _lost(hot_pool, made, crashes=2)

    report = await _sweep(hot_pool, tenant)

    assert set(ids) <= set(report.buried)
    assert await status_of(hot_pool, ids[0]) is DeliveryStatus.DEAD_LETTERED
    letter = await hot_pool.fetchrow("SELECT * FROM dead_letters WHERE delivery_id = $1", ids[0])
    assert (letter["tenant_id"], letter["reason"]) == (tenant, "worker_crash")
    assert letter["fingerprint"] == "email|-|worker_crash|order_shipped@3"
    assert not await outbox_ids(hot_pool, made)


async def test_an_overdue_rest_is_published_again_once_its_lane_is_drained(
    hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    made = records(await person(hot_pool, tenant))
    ids = await recorded(hot_pool, made)
    one = (await claim(hot_pool, ids, lease_s=20)).claimed[0]
    at = utc_now() - timedelta(minutes=1)
    await finish(
        hot_pool, [finished(one, DeliveryStatus.RESTING, reason=Reason.PROVIDER_THROTTLED, next_attempt_at=at)]
    )

    await _sweep(hot_pool, tenant)
    busy = await _is_published(hot_pool, made)
    await _sweep(hot_pool, tenant, ALL_LANES)

    assert (busy, await _is_published(hot_pool, made)) == (True, False)
    assert await status_of(hot_pool, ids[0]) is DeliveryStatus.RESTING


async def test_a_rest_that_is_not_over_is_waited_for(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    made = records(await person(hot_pool, tenant))
    ids = await recorded(hot_pool, made)
    one = (await claim(hot_pool, ids, lease_s=20)).claimed[0]
    at = utc_now() + timedelta(minutes=30)
    await finish(
        hot_pool, [finished(one, DeliveryStatus.RESTING, reason=Reason.PROVIDER_THROTTLED, next_attempt_at=at)]
    )

    await _sweep(hot_pool, tenant, ALL_LANES)

    row = await hot_pool.fetchrow("SELECT published_at, watch_at FROM outbox WHERE id = $1", made.outbox[0].id)
    assert row["published_at"] is not None
    assert abs(row["watch_at"] - at - timedelta(seconds=30)) < timedelta(seconds=1)


@pytest.mark.parametrize(("age", "is_published"), [(timedelta(minutes=1), True), (timedelta(minutes=11), False)])
async def test_what_nobody_took_from_a_busy_lane_waits_ten_minutes(
    hot_pool: asyncpg.Pool, tenant: UUID, age: timedelta, is_published: bool
) -> None:
    made = records(await person(hot_pool, tenant))
    await recorded(hot_pool, made)
    await hot_pool.execute("UPDATE outbox SET published_at = now() - $2::interval WHERE tenant_id = $1", tenant, age)

    await _sweep(hot_pool, tenant)

    assert await _is_published(hot_pool, made) is is_published


async def test_what_expired_while_waiting_ends_and_its_envelope_goes(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    made = records(await person(hot_pool, tenant), expires_in_s=-1)
    ids = await recorded(hot_pool, made)

    report = await _sweep(hot_pool, tenant)

    assert set(ids) <= {one.id for one in report.ended}
    assert await status_of(hot_pool, ids[0]) is DeliveryStatus.EXPIRED
    assert not await outbox_ids(hot_pool, made)


async def test_what_was_not_published_yet_is_the_relays_and_not_the_sweepers(
    hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    made = records(await person(hot_pool, tenant))
    ids = await recorded(hot_pool, made)
    await hot_pool.execute("UPDATE outbox SET published_at = NULL WHERE tenant_id = $1", tenant)

    await _sweep(hot_pool, tenant, ALL_LANES)

    assert await status_of(hot_pool, ids[0]) is DeliveryStatus.QUEUED
    assert await outbox_ids(hot_pool, made)


async def test_a_worker_that_finishes_while_it_is_swept_keeps_its_outcome(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    made = records(await person(hot_pool, tenant))
    ids = await recorded(hot_pool, made)
    one = (await claim(hot_pool, ids, lease_s=20)).claimed[0]
    await let_leases_run_out(hot_pool, ids)
    await finish(hot_pool, [finished(one)])

    report = await _sweep(hot_pool, tenant)

    assert not set(ids) & set(report.unknown)
    assert await status_of(hot_pool, ids[0]) is DeliveryStatus.SENT


async def test_a_worker_that_lays_one_to_rest_while_it_is_swept_keeps_its_place_in_the_envelope(
    hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    made = records(await person(hot_pool, tenant), 2)
    ids = await recorded(hot_pool, made)
    late = (await claim(hot_pool, ids, lease_s=20)).claimed[0]
    await let_leases_run_out(hot_pool, ids)
    at = utc_now() + timedelta(minutes=5)
    rest = finished(late, DeliveryStatus.RESTING, reason=Reason.PROVIDER_UNAVAILABLE, next_attempt_at=at)

    async def slow_policy(of: UUID, category: str) -> str:
        if of == tenant:
            await finish(hot_pool, [rest])
        return "retry"

    await make_due(hot_pool, tenant)
    async with hot_pool.acquire() as conn:
        await sweep(conn, limit=200, drained=(), policy=slow_policy)

    assert await status_of(hot_pool, late.id) is DeliveryStatus.RESTING
    assert sorted(await hot_pool.fetchval("SELECT delivery_ids FROM outbox WHERE tenant_id = $1", tenant)) == ids
