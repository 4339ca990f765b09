"""A worker that is stopped for longer than its lease: what it writes afterwards is fenced, and it works on."""

import signal
from uuid import UUID

import asyncpg

from domain.delivery import DeliveryStatus
from domain.lanes import DECLARED_LANES
from fanout.relay import Relay
from tests.integration.tracking.builders import let_leases_run_out, make_due
from tests.integration.workers.stage import Stage, eventually
from tests.integration.workers.test_kills import recorded_for_a_test_key, retry
from tests.integration.workers.test_roles import ready_line, running
from tracking.events import EventKind
from tracking.sweep import sweep


async def is_sending(pool: asyncpg.Pool, ids: list[UUID]) -> bool:
    count = await pool.fetchval(
        "SELECT count(*) FROM deliveries WHERE id = ANY($1::uuid[]) AND status = $2", ids, DeliveryStatus.SENDING.code
    )
    return bool(count)


async def nobody_waits(pool: asyncpg.Pool) -> bool:
    """Whether the statement that the stopped worker had sent has given up its wait."""
    waiting = await pool.fetchval(
        "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
        " WHERE d.datname = current_database() AND NOT l.granted"
    )
    return not waiting


async def test_the_late_ends_of_a_stopped_worker_change_nothing_and_it_works_on(
    stage: Stage, tenant: UUID, environment: dict[str, str]
) -> None:
    ids = await recorded_for_a_test_key(stage, tenant, published=False)

    async with running("worker", environment) as worker:
        await ready_line(worker)
        blocker = await stage.pool.acquire()
        transaction = blocker.transaction()
        await transaction.start()
        await blocker.execute("LOCK TABLE events IN EXCLUSIVE MODE")  # its claims go through, its ends wait
        assert await Relay(stage.pool, stage.publisher).turn() == 1
        await eventually(lambda: is_sending(stage.pool, ids))
        worker.send_signal(signal.SIGSTOP)
        await eventually(lambda: nobody_waits(stage.pool))
        await transaction.rollback()
        await stage.pool.release(blocker)
        await let_leases_run_out(stage.pool, ids)
        await make_due(stage.pool, tenant)
        async with stage.pool.acquire() as conn:
            await sweep(conn, limit=100, drained=DECLARED_LANES, policy=retry)
        assert not await is_sending(stage.pool, ids)
        worker.send_signal(signal.SIGCONT)

        assert await Relay(stage.pool, stage.publisher).turn() == 1
        for one in ids:
            await stage.reaches(one, DeliveryStatus.SENT)
        assert worker.returncode is None

    for one in ids:
        kinds = await stage.events(one)
        assert kinds.count(EventKind.ATTEMPT_SENT.code) == 1
        assert kinds.count(EventKind.ATTEMPT_UNKNOWN.code) == 1
