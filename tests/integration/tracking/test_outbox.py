"""The to-do list: exact with several relays, and never holding up a worker."""

import asyncio
from datetime import timedelta
from uuid import UUID

import asyncpg

from domain.clock import utc_now
from domain.lanes import Channel, Lane, Priority
from tests.integration.tracking.builders import finished, outbox_ids, person, recorded, records
from tracking import ledger, outbox
from tracking.claim import claim
from tracking.finish import finish
from tracking.rows import Records

LANE = Lane(Channel.SMS, Priority.LOW)


async def _waiting(pool: asyncpg.Pool, tenant: UUID, count: int) -> Records:
    made = records(
        await person(pool, tenant),
        count,
        channels=(Channel.SMS,),
        priority=Priority.LOW,
        envelope_size=1,
        now=utc_now() - timedelta(seconds=1),
    )
    async with pool.acquire() as conn, conn.transaction():
        await ledger.record(conn, made)
    return made


async def test_three_relays_publish_each_envelope_exactly_once(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    made = await _waiting(hot_pool, tenant, 300)
    published: list[UUID] = []

    async def relay() -> None:
        while True:
            async with hot_pool.acquire() as conn, conn.transaction():
                rows = await outbox.due(conn, {LANE: 20})
                if not rows:
                    return
                published.extend(row.id for row in rows if row.tenant_id == tenant)
                await asyncio.sleep(0)
                await outbox.mark_published(conn, [row.id for row in rows])

    await asyncio.gather(relay(), relay(), relay())

    left = await hot_pool.fetchval("SELECT count(*) FROM outbox WHERE tenant_id = $1 AND published_at IS NULL", tenant)
    assert left == 0
    assert sorted(published) == sorted(row.id for row in made.outbox)


async def test_a_lane_is_due_when_something_in_it_should_be_published_now(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    await hot_pool.execute(
        "DELETE FROM outbox WHERE channel = $1 AND priority = $2", LANE.channel.code, LANE.priority.code
    )
    made = await _waiting(hot_pool, tenant, 1)
    found = []

    async with hot_pool.acquire() as conn:
        for at in ("available_at = now() + interval '1 h'", "available_at = now()", "published_at = now()"):
            await conn.execute(f"UPDATE outbox SET {at} WHERE id = $1", made.outbox[0].id)
            found.append(LANE in await outbox.due_lanes(conn))

    assert found == [False, True, False]


async def test_a_closed_lane_and_a_later_hour_wait(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    made = await _waiting(hot_pool, tenant, 2)
    await hot_pool.execute("UPDATE outbox SET available_at = now() + interval '1 h' WHERE id = $1", made.outbox[0].id)

    async with hot_pool.acquire() as conn, conn.transaction():
        other = await outbox.due(conn, {Lane(Channel.EMAIL, Priority.LOW): 100})
        mine = await outbox.due(conn, {LANE: 100})

    assert not [row for row in other if row.tenant_id == tenant]
    assert [row.id for row in mine if row.tenant_id == tenant] == [made.outbox[1].id]


async def test_a_worker_is_not_held_up_by_a_relay_that_waits_for_the_broker(
    hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    made = await _waiting(hot_pool, tenant, 1)
    async with hot_pool.acquire() as relay, relay.transaction():
        rows = await outbox.due(relay, {LANE: 100})
        won = await claim(hot_pool, rows[-1].delivery_ids, lease_s=20)
        await asyncio.wait_for(finish(hot_pool, [finished(won.claimed[0])]), 10)
        assert await outbox_ids(hot_pool, made)
        await outbox.mark_published(relay, [row.id for row in rows])

    assert not await outbox_ids(hot_pool, made)


async def test_a_late_note_does_not_bring_back_what_was_put_off(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    made = await _waiting(hot_pool, tenant, 1)
    await hot_pool.execute("UPDATE outbox SET available_at = now() + interval '3 h' WHERE id = $1", made.outbox[0].id)

    async with hot_pool.acquire() as conn:
        await outbox.mark_published(conn, [made.outbox[0].id])

    assert await hot_pool.fetchval("SELECT published_at IS NULL FROM outbox WHERE id = $1", made.outbox[0].id)


async def test_a_late_note_does_not_undo_that_a_worker_sent_its_envelope_back(
    hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    made = await _waiting(hot_pool, tenant, 1)
    envelope = made.outbox[0].id

    async with hot_pool.acquire() as conn:
        await outbox.watch(conn, {envelope: utc_now()})
        await outbox.publish_again(conn, [envelope])
        await outbox.mark_published(conn, [envelope], is_late=True)
        waits = await conn.fetchval("SELECT published_at IS NULL FROM outbox WHERE id = $1", envelope)
        await outbox.mark_published(conn, [envelope])
        is_out = await conn.fetchval("SELECT published_at IS NOT NULL FROM outbox WHERE id = $1", envelope)

    assert waits, "the relay is to publish it"
    assert is_out, "the relay has"


async def test_after_a_broker_forgot_everything_is_published_again_but_suspects(
    hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    made = records(await person(hot_pool, tenant), 2, envelope_size=1)
    ids = await recorded(hot_pool, made)
    await hot_pool.execute("UPDATE deliveries SET crashes = 2 WHERE id = $1", ids[0])

    async with hot_pool.acquire() as conn:
        await outbox.republish_all(conn)

    rows = await hot_pool.fetch("SELECT delivery_ids, published_at FROM outbox WHERE tenant_id = $1", tenant)
    assert {row["delivery_ids"][0]: row["published_at"] is None for row in rows} == {ids[0]: False, ids[1]: True}


async def test_ages_tell_what_waits_and_what_is_out(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    await _waiting(hot_pool, tenant, 3)

    async with hot_pool.acquire() as conn:
        told = await outbox.ages(conn)

    mine = next(one for one in told if one.lane == LANE and one.is_waiting)
    assert mine.deliveries >= 3
    assert mine.envelopes >= 3
    assert mine.oldest_s > 0.5
