"""Rows of the outbox that wait for the relay, and how many of a tenant's still do."""

from uuid import UUID

from domain.lanes import Channel, Lane, Priority
from plumbing.broker.topology import work_queue
from tests.integration.tracking.builders import person, records
from tests.integration.workers.stage import Stage
from tracking import ledger
from tracking.rows import Records

LANE = Lane(Channel.SMS, Priority.LOW)
QUEUE = work_queue(LANE)


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
