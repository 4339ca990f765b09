"""Quarantine: a delivery that kills its process ends dead-lettered, and its neighbours get through."""

import sys
from uuid import UUID

import asyncpg
import pytest

from domain.delivery import DeliveryStatus
from domain.lanes import Channel
from domain.reasons import Reason
from plumbing.broker.envelope import Envelope
from tests.integration.tracking.builders import let_leases_run_out, make_due, person, recorded, records, status_of
from tests.integration.workers.stage import Stage, eventually
from tracking.sweep import sweep


async def always_retry(tenant: UUID, category: str) -> str:
    return "retry"


async def test_a_delivery_that_kills_its_process_is_buried_while_its_neighbours_get_through(
    stage: Stage, tenant: UUID, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = records(await person(stage.pool, tenant), 3)
    first, deadly, last = await recorded(stage.pool, made)
    for name, value in (
        ("DEADLY", str(deadly)),
        ("STAGE_DATABASE_URL", database_url),
        ("STAGE_AMQP_URL", stage.amqp_url),
    ):
        monkeypatch.setenv(name, value)
    await stage.pool.execute("UPDATE deliveries SET crashes = 2 WHERE id = $1", deadly)
    row = made.outbox[0]
    child = (sys.executable, "-m", "tests.integration.workers.deadly_child")

    async with stage.worker(child=child):
        await stage.publisher.publish_quarantine(Envelope(row.id, tenant, row.lane, (first, deadly, last)))
        for neighbour in (first, last):
            await stage.reaches(neighbour, DeliveryStatus.SENT, within_s=30)

    assert await status_of(stage.pool, deadly) is DeliveryStatus.SENDING
    await let_leases_run_out(stage.pool, [deadly])
    await make_due(stage.pool, tenant)
    async with stage.pool.acquire() as conn:
        report = await sweep(conn, limit=100, drained=[], policy=always_retry)
    assert deadly in report.buried
    assert await status_of(stage.pool, deadly) is DeliveryStatus.DEAD_LETTERED
    assert await _letter(stage.pool, deadly) == Reason.WORKER_CRASH


async def test_an_unreadable_message_in_quarantine_is_archived(stage: Stage, tenant: UUID) -> None:
    async def is_archived() -> bool:
        found = await stage.pool.fetchval("SELECT 1 FROM dead_letters WHERE evidence->>'body' = $1", f"?{tenant}")
        return found is not None

    async with stage.worker({Channel.EMAIL: 2}):
        await stage.publish_raw("email.normal", f"?{tenant}".encode(), exchange="carillon.quarantine")
        await eventually(is_archived)


async def _letter(pool: asyncpg.Pool, delivery: UUID) -> str | None:
    reason: str | None = await pool.fetchval("SELECT reason FROM dead_letters WHERE delivery_id = $1", delivery)
    return reason
