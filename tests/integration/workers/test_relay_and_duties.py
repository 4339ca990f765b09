"""Relay and leader: what is due gets published as lanes have room; one leads, and what was forgotten is found."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from domain.clock import utc_now
from domain.delivery import DeliveryStatus
from domain.lanes import Channel, Lane, Priority
from fanout.relay import Relay
from plumbing.broker.topology import work_queue
from tests.integration.tracking.builders import let_leases_run_out, make_due, person, recorded, records
from tests.integration.workers.stage import Stage, eventually
from tracking import ledger
from tracking.claim import claim
from tracking.rows import Records
from workers.duties import Duties, Leader

LANE = Lane(Channel.SMS, Priority.LOW)
QUEUE = work_queue(LANE)


@pytest.fixture(autouse=True)
async def outbox_is_empty(hot_pool: asyncpg.Pool) -> None:
    """Relay and sweeper look at every tenant's rows: what earlier tests left is none of theirs."""
    await hot_pool.execute("DELETE FROM outbox")


async def waiting(stage: Stage, tenant: UUID, count: int, *, envelope_size: int = 10) -> Records:
    """Recorded, and left to the relay."""
    made = records(
        await person(stage.pool, tenant),
        count,
        channels=(LANE.channel,),
        priority=LANE.priority,
        envelope_size=envelope_size,
    )
    async with stage.pool.acquire() as conn, conn.transaction():
        await ledger.record(conn, made)
    return made


async def unpublished(stage: Stage, tenant: UUID) -> int:
    count: int = await stage.pool.fetchval(
        "SELECT count(*) FROM outbox WHERE tenant_id = $1 AND published_at IS NULL", tenant
    )
    return count


async def test_the_relay_publishes_what_is_due_and_marks_it(stage: Stage, tenant: UUID) -> None:
    await waiting(stage, tenant, 35)

    published = await Relay(stage.pool, stage.publisher).turn()

    assert published == 4
    assert await unpublished(stage, tenant) == 0
    assert await stage.publisher.queue_depth(QUEUE) == 4


async def test_what_is_due_later_stays(stage: Stage, tenant: UUID) -> None:
    made = await waiting(stage, tenant, 1)
    await stage.pool.execute("UPDATE outbox SET available_at = now() + interval '1 h' WHERE id = $1", made.outbox[0].id)

    assert await Relay(stage.pool, stage.publisher).turn() == 0


async def test_a_lane_takes_no_more_deliveries_than_its_limit_and_the_rest_waits_in_postgresql(
    stage: Stage, tenant: UUID
) -> None:
    await waiting(stage, tenant, 100)
    relay = Relay(stage.pool, stage.publisher, limit=30)

    published = [await relay.turn() for _ in range(3)]

    assert published == [3, 0, 0]
    assert await unpublished(stage, tenant) == 7


async def test_three_relays_at_once_publish_each_envelope_once(stage: Stage, tenant: UUID) -> None:
    await waiting(stage, tenant, 300, envelope_size=1)

    published = await asyncio.gather(*(Relay(stage.pool, stage.publisher).turn() for _ in range(3)))

    while left := await Relay(stage.pool, stage.publisher).turn():
        published.append(left)
    assert sum(published) == 300
    assert await stage.publisher.queue_depth(QUEUE) == 300


async def test_what_is_not_confirmed_is_not_marked(stage: Stage, tenant: UUID) -> None:
    await waiting(stage, tenant, 5)
    await stage.publisher.close()

    assert await Relay(stage.pool, stage.publisher).turn() == 0
    assert await unpublished(stage, tenant) == 1


async def retry(tenant: UUID, category: str) -> str:
    return "retry"


@asynccontextmanager
async def leading(stage: Stage, database_url: str, owner: str) -> AsyncIterator[Leader]:
    """A leader at work, or one that waits for its turn."""
    leader = Leader(database_url, Duties(stage.publisher, retry, 13), owner=owner)
    task = asyncio.create_task(leader.run())
    try:
        yield leader
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def owner_of(pool: asyncpg.Pool) -> str | None:
    owner: str | None = await pool.fetchval("SELECT owner FROM leader WHERE until > now()")
    return owner


async def test_one_leads_and_when_it_stops_the_other_follows(stage: Stage, database_url: str) -> None:
    async def first_leads() -> bool:
        return await owner_of(stage.pool) == "first"

    async def second_leads() -> bool:
        return await owner_of(stage.pool) == "second"

    async with leading(stage, database_url, "first") as first:
        await eventually(first_leads)
        second = leading(stage, database_url, "second")
        await second.__aenter__()
        turned_s = first.turned_s

        async def first_moved_on() -> bool:
            return first.turned_s > turned_s

        await eventually(first_moved_on)
        assert await first_leads()
    await eventually(second_leads)
    await second.__aexit__(None, None, None)


async def test_a_delivery_whose_worker_was_killed_is_queued_and_published_again(
    stage: Stage, tenant: UUID, database_url: str
) -> None:
    made = records(await person(stage.pool, tenant))
    [one] = await recorded(stage.pool, made)
    await claim(stage.pool, [one], lease_s=5)
    await let_leases_run_out(stage.pool, [one])
    await make_due(stage.pool, tenant)

    async with leading(stage, database_url, "sweeper"):
        await stage.reaches(one, DeliveryStatus.QUEUED)
    async with stage.worker():
        assert await Relay(stage.pool, stage.publisher).turn() == 1
        await stage.reaches(one, DeliveryStatus.SENT)

    assert await stage.pool.fetchval("SELECT crashes FROM deliveries WHERE id = $1", one) == 1


async def test_a_message_that_the_broker_forgot_is_published_again(
    stage: Stage, tenant: UUID, database_url: str
) -> None:
    made = records(await person(stage.pool, tenant))
    [one] = await recorded(stage.pool, made)  # marked as published, and the broker knows nothing of it
    await stage.pool.execute(
        "UPDATE outbox SET published_at = $2, watch_at = now() WHERE id = $1",
        made.outbox[0].id,
        utc_now() - timedelta(minutes=2),
    )

    async with leading(stage, database_url, "sweeper"), stage.worker():

        async def is_due() -> bool:
            return await unpublished(stage, tenant) == 1

        await eventually(is_due)
        await Relay(stage.pool, stage.publisher).turn()
        await stage.reaches(one, DeliveryStatus.SENT)


async def test_lanes_with_work_or_rest_are_not_drained(stage: Stage, tenant: UUID) -> None:
    duties = Duties(stage.publisher, retry, 13)
    before = await duties.drained_lanes()
    await waiting(stage, tenant, 1)
    await Relay(stage.pool, stage.publisher).turn()

    after = await duties.drained_lanes()

    assert LANE in before
    assert set(before) - set(after) == {LANE}
