"""`kill -9` at every named place of a worker's and a relay's way: nothing accepted is lost."""

from uuid import UUID

import asyncpg
import pytest

from domain.delivery import DeliveryStatus
from domain.lanes import DECLARED_LANES
from fanout.relay import Relay
from plumbing.failpoints import Failpoint
from tests.integration.tracking.builders import let_leases_run_out, make_due, person, recorded, records, status_of
from tests.integration.workers.stage import Stage, eventually
from tests.integration.workers.test_roles import running
from tracking import ledger
from tracking.claim import claim
from tracking.events import EventKind
from tracking.sweep import sweep

SENDING = (
    Failpoint.WORKER_AFTER_CLAIM,
    Failpoint.WORKER_BEFORE_SEND,
    Failpoint.WORKER_AFTER_SEND,
    Failpoint.WORKER_AFTER_FINISH,
    Failpoint.WORKER_BEFORE_ACK,
)
KILLED = -9
CONTENT = b'{"title":"Hello","body":"It works"}'


async def retry(tenant: UUID, category: str) -> str:
    return "retry"


async def recorded_for_a_test_key(stage: Stage, tenant: UUID, *, published: bool) -> list[UUID]:
    """Five deliveries into the sink of test keys, published or left to the relay."""
    await stage.pool.execute("DELETE FROM outbox")
    made = records(await person(stage.pool, tenant), 5)
    if published:
        ids = await stage.accept(made)
    else:
        async with stage.pool.acquire() as conn, conn.transaction():
            await ledger.record(conn, made)
        ids = sorted(row.id for row in made.deliveries)
    await stage.pool.execute("UPDATE deliveries SET mode = 2 WHERE tenant_id = $1", tenant)
    await stage.pool.execute(
        "UPDATE notifications SET template = NULL, data = $2 WHERE tenant_id = $1", tenant, CONTENT
    )
    return ids


async def time_passes(pool: asyncpg.Pool, tenant: UUID, ids: list[UUID]) -> None:
    """Leases run out, and the sweeper comes by."""
    await let_leases_run_out(pool, ids)
    await make_due(pool, tenant)
    async with pool.acquire() as conn:
        await sweep(conn, limit=100, drained=DECLARED_LANES, policy=retry)


@pytest.mark.parametrize("failpoint", SENDING)
async def test_a_worker_killed_there_loses_nothing(
    failpoint: Failpoint, stage: Stage, tenant: UUID, environment: dict[str, str]
) -> None:
    ids = await recorded_for_a_test_key(stage, tenant, published=True)

    async with running("worker", {**environment, "CARILLON_FAILPOINTS": failpoint}) as worker:
        await worker.communicate()

    assert worker.returncode == KILLED
    await time_passes(stage.pool, tenant, ids)
    async with stage.worker():
        await Relay(stage.pool, stage.publisher).turn()
        for one in ids:
            await stage.reaches(one, DeliveryStatus.SENT)


async def test_a_relay_killed_after_the_confirm_publishes_again_and_nobody_gets_it_twice(
    stage: Stage, tenant: UUID, environment: dict[str, str]
) -> None:
    ids = await recorded_for_a_test_key(stage, tenant, published=False)

    async with running("scheduler", {**environment, "CARILLON_FAILPOINTS": Failpoint.RELAY_AFTER_CONFIRM}) as scheduler:
        await scheduler.communicate()

    assert scheduler.returncode == KILLED

    async def is_published_again() -> bool:  # PostgreSQL may need a moment to let go of the dead relay's lock
        return await Relay(stage.pool, stage.publisher).turn() == 1

    await eventually(is_published_again)
    async with stage.worker():
        for one in ids:
            await stage.reaches(one, DeliveryStatus.SENT)
        await eventually(stage.is_drained)
    assert sorted(called for called, _ in stage.channels.calls) == ids


async def test_a_sweeper_killed_before_its_commit_leaves_all_of_it_to_the_next(
    stage: Stage, tenant: UUID, environment: dict[str, str]
) -> None:
    await stage.pool.execute("DELETE FROM outbox")
    await stage.pool.execute("DELETE FROM leader")  # whose scheduler an earlier test may have killed
    [one] = await recorded(stage.pool, records(await person(stage.pool, tenant)))
    await claim(stage.pool, [one], lease_s=5)
    await let_leases_run_out(stage.pool, [one])
    await make_due(stage.pool, tenant)

    async with running(
        "scheduler", {**environment, "CARILLON_FAILPOINTS": Failpoint.SWEEPER_BEFORE_COMMIT}
    ) as scheduler:
        await scheduler.communicate()

    assert scheduler.returncode == KILLED
    await stage.pool.execute("DELETE FROM leader")
    assert await status_of(stage.pool, one) is DeliveryStatus.SENDING
    assert await stage.events(one) == []
    async with running("scheduler", environment):
        await stage.reaches(one, DeliveryStatus.QUEUED)
    assert await stage.events(one) == [EventKind.ATTEMPT_UNKNOWN.code]
    assert await stage.pool.fetchval("SELECT crashes FROM deliveries WHERE id = $1", one) == 1
    await stage.pool.execute("DELETE FROM leader")
