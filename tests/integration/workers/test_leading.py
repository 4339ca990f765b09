"""One scheduler leads; it finds what was forgotten, and what it does keeps no transaction open for long."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from domain.clock import utc_now
from domain.delivery import DeliveryStatus
from domain.ids import first_id_at, uuid7
from domain.lanes import DECLARED_CHANNELS
from fanout.relay import Relay
from plumbing.broker.envelope import Envelope
from plumbing.metrics import Duty
from tests.integration.tracking.builders import let_leases_run_out, make_due, person, recorded, records
from tests.integration.workers.outboxes import LANE, unpublished, waiting
from tests.integration.workers.stage import Stage, eventually
from tracking.claim import claim
from workers.duties import SWEEP_LIMIT, Duties
from workers.leader import BEAT_S, Leader, Led, Turn

pytestmark = pytest.mark.usefixtures("outbox_is_empty")


async def retry(tenant: UUID, category: str) -> str:
    return "retry"


@asynccontextmanager
async def leading(stage: Stage, database_url: str, owner: str) -> AsyncIterator[Leader]:
    """A leader at work, or one that waits for its turn."""
    async with at_work(
        Leader(database_url, Duties(stage.publisher, retry, 13).urgent(), name="scheduler", owner=owner)
    ) as leader:
        yield leader


@asynccontextmanager
async def at_work(leader: Leader) -> AsyncIterator[Leader]:
    """Runs until the block ends."""
    task = asyncio.create_task(leader.run())
    try:
        yield leader
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def owner_of(pool: asyncpg.Pool) -> str | None:
    owner: str | None = await pool.fetchval("SELECT owner FROM leader WHERE name = 'scheduler' AND until > now()")
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


async def test_an_old_leader_that_wakes_up_in_the_middle_of_a_duty_writes_nothing(
    stage: Stage, database_url: str
) -> None:
    is_begun, goes_on = asyncio.Event(), asyncio.Event()
    written: list[str] = []

    async def frozen(led: Led) -> bool:
        is_begun.set()
        await goes_on.wait()
        async with led():
            written.append("by the old one")
        return False

    async def nothing(led: Led) -> bool:
        return False

    def leader(owner: str, work: Callable[[Led], Awaitable[bool]]) -> Leader:
        return Leader(database_url, [Turn(Duty.SWEEP, 1, work)], name="scheduler", owner=owner)

    async def second_leads() -> bool:
        return await owner_of(stage.pool) == "second"

    async with at_work(first := leader("first", frozen)):
        await is_begun.wait()
        turned_s = first.turned_s
        await stage.pool.execute("UPDATE leader SET until = now() - interval '1 s' WHERE owner = 'first'")
        async with at_work(leader("second", nothing)):
            await eventually(second_leads)
            goes_on.set()

            async def first_looks_again() -> bool:
                return first.turned_s > turned_s

            await eventually(first_looks_again)
            assert await second_leads()

    assert written == []


async def test_a_leader_stopped_while_it_opens_a_transaction_lets_another_lead_at_once(
    stage: Stage, database_url: str
) -> None:
    async def stopped_while_it_begins(led: Led) -> bool:
        leading = asyncio.current_task()
        assert leading is not None
        asyncio.get_running_loop().call_soon(leading.cancel)
        async with led():
            return False

    duty = Turn(Duty.SWEEP, 1, stopped_while_it_begins)
    leader = Leader(database_url, [duty], name="scheduler", owner="first")

    with pytest.raises(asyncio.CancelledError):
        await leader.run()

    assert await owner_of(stage.pool) is None


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


async def test_a_full_sweep_is_followed_by_the_next_at_once(stage: Stage, tenant: UUID, database_url: str) -> None:
    made = records(await person(stage.pool, tenant), 2 * SWEEP_LIMIT + 1, envelope_size=1, expires_in_s=-1)
    await recorded(stage.pool, made)
    await make_due(stage.pool, tenant)

    async def all_are_seen_to() -> bool:
        left: int = await stage.pool.fetchval("SELECT count(*) FROM outbox WHERE tenant_id = $1", tenant)
        return left == 0

    [turn] = [turn for turn in Duties(stage.publisher, retry, 13).urgent() if turn.duty is Duty.SWEEP]
    begun_s: list[float] = []
    ended_s: list[float] = []

    async def sweep(led: Led) -> bool:
        begun_s.append(time.monotonic())
        has_more = await turn.work(led)
        ended_s.append(time.monotonic())
        return has_more

    async with at_work(Leader(database_url, [replace(turn, work=sweep)], name="scheduler", owner="sweeper")):
        await eventually(all_are_seen_to)

    pauses_s = [begun - ended for begun, ended in zip(begun_s[1:], ended_s, strict=False)]
    assert max(pauses_s[:2]) < BEAT_S / 2


async def test_a_month_is_made_though_an_old_one_cannot_be_dropped(
    stage: Stage, tenant: UUID, database_url: str
) -> None:
    newest, oldest = "events_p210001", "events_p199901"
    later = Duties(stage.publisher, retry, 13, clock=lambda: datetime(2099, 12, 15, tzinfo=UTC))
    await stage.pool.execute(f"CREATE TABLE {oldest} (LIKE events)")
    low, high = first_id_at(datetime(1999, 1, 1, tzinfo=UTC)), first_id_at(datetime(1999, 2, 1, tzinfo=UTC))
    await stage.pool.execute(f"ALTER TABLE events ATTACH PARTITION {oldest} FOR VALUES FROM ('{low}') TO ('{high}')")
    turns = [turn for turn in later.urgent() if turn.duty is Duty.PARTITIONS]
    leader = Leader(database_url, turns, name="a test of months", owner="the test")

    async def is_made() -> bool:
        return await stage.pool.fetchval("SELECT to_regclass($1)", newest) is not None

    try:
        async with stage.pool.acquire() as conn, conn.transaction():
            await conn.execute(f"SELECT 1 FROM {oldest}")
            task = asyncio.create_task(leader.run())
            await eventually(is_made)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    finally:
        for table in ("events", "deliveries", "notifications"):
            for month in ("199901", "209911", "209912", "210001", "210002", "210003"):
                await stage.pool.execute(f"DROP TABLE IF EXISTS {table}_p{month}")


async def test_hours_are_counted_apart_from_what_is_urgent(stage: Stage, tenant: UUID, database_url: str) -> None:
    await recorded(stage.pool, records(await person(stage.pool, tenant), 3))
    counter = Leader(database_url, Duties(stage.publisher, retry, 13).counting(), name="counting", owner="the test")

    async def are_counted() -> bool:
        counted = await stage.pool.fetchval("SELECT sum(count) FROM delivery_counts WHERE tenant_id = $1", tenant)
        return bool(counted == 3)

    task = asyncio.create_task(counter.run())
    await eventually(are_counted)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_while_something_is_in_quarantine_no_suspect_is_sent_there_again(stage: Stage, tenant: UUID) -> None:
    duties = Duties(stage.publisher, retry, 13)
    await stage.publisher.publish_quarantine(Envelope(uuid7(), tenant, LANE, (uuid7(),)))

    drained = await duties.drained_lanes()

    assert {lane.channel for lane in drained} == set(DECLARED_CHANNELS) - {LANE.channel}
