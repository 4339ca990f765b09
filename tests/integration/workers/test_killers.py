"""Two deliveries among two hundred kill every process that works on them: they end as dead letters, no other does."""

import asyncio
import json
from collections import Counter
from uuid import UUID

import asyncpg
import pytest

from domain.delivery import OPEN, DeliveryStatus
from domain.reasons import Reason
from fanout.relay import Relay
from plumbing.failpoints import Failpoint
from tests.integration.tracking.builders import let_leases_run_out, make_due, person, records
from tests.integration.workers.replaying import led_by
from tests.integration.workers.stage import Stage
from tests.integration.workers.test_kills import CONTENT, retry
from tests.integration.workers.test_roles import running
from tracking.events import EventKind
from workers.duties import Duties

pytestmark = pytest.mark.usefixtures("outbox_is_empty")

DELIVERIES = 200
KILLERS = 2
LIVES = 2 * KILLERS + 1
"""Each may cost two workers; whoever dies third is a child of quarantine."""

_OPEN = "SELECT count(*) FROM deliveries WHERE tenant_id = $1 AND status = ANY($2)"
_BEREFT = """
SELECT d.id FROM deliveries d JOIN events e ON e.delivery_id = d.id AND e.attempt = d.attempt
WHERE d.tenant_id = $1 AND d.status = $2 AND e.kind = $3
"""
"""Under way, and the child that had them is known to be dead."""


@pytest.mark.slow
async def test_two_killers_among_two_hundred_are_buried_with_evidence_and_nobody_with_them(
    stage: Stage, tenant: UUID, environment: dict[str, str]
) -> None:
    who, killer = await person(stage.pool, tenant), await person(stage.pool, tenant)
    ids = await stage.accept(records(who, DELIVERIES))
    deadly = ids[DELIVERIES // KILLERS // 2 :: DELIVERIES // KILLERS]
    address = next(iter(killer.contacts.values()))
    await stage.pool.execute("UPDATE deliveries SET mode = 2 WHERE tenant_id = $1", tenant)
    await stage.pool.execute("UPDATE deliveries SET address_id = $2 WHERE id = ANY($1::uuid[])", deadly, address)
    await stage.pool.execute(
        "UPDATE notifications SET template = NULL, data = $2 WHERE tenant_id = $1", tenant, CONTENT
    )
    armed = {**environment, "CARILLON_FAILPOINTS": f"{Failpoint.WORKER_BEFORE_SEND}@{address}"}

    deaths = 0
    while await is_open(stage.pool, tenant):
        assert deaths < LIVES
        async with running("worker", armed) as worker:
            while worker.returncode is None and await is_open(stage.pool, tenant):
                await pass_time(stage, tenant, await bereft(stage.pool, tenant))
                await asyncio.sleep(0.1)
            deaths += worker.returncode is not None
        await pass_time(stage, tenant, ids)

    rows = await stage.pool.fetch("SELECT id, status, attempt FROM deliveries WHERE tenant_id = $1", tenant)
    letters = await stage.pool.fetch(
        "SELECT delivery_id, reason, evidence::text AS evidence FROM dead_letters WHERE tenant_id = $1", tenant
    )
    assert Counter(DeliveryStatus.of(row["status"]) for row in rows) == {
        DeliveryStatus.SENT: DELIVERIES - KILLERS,
        DeliveryStatus.DEAD_LETTERED: KILLERS,
    }
    assert sorted(letter["delivery_id"] for letter in letters) == deadly
    assert {letter["reason"] for letter in letters} == {Reason.WORKER_CRASH}
    assert {row["attempt"] for row in rows if row["id"] in deadly} == {3}
    for letter in letters:
        assert [death["how"] for death in json.loads(letter["evidence"])["deaths"]][-1] == "killed by SIGKILL"


async def is_open(pool: asyncpg.Pool, tenant: UUID) -> bool:
    """Whether anything is still to be done."""
    return bool(await pool.fetchval(_OPEN, tenant, [status.code for status in OPEN]))


async def bereft(pool: asyncpg.Pool, tenant: UUID) -> list[UUID]:
    """Deliveries whose child of quarantine died."""
    rows = await pool.fetch(_BEREFT, tenant, DeliveryStatus.SENDING.code, EventKind.WORKER_DIED.code)
    return [row["id"] for row in rows]


async def pass_time(stage: Stage, tenant: UUID, ids: list[UUID]) -> None:
    """The leases of these run out, and sweeper and relay come by."""
    if ids:
        await let_leases_run_out(stage.pool, ids)
        await make_due(stage.pool, tenant)
    await Duties(stage.publisher, retry, 13).sweep(led_by(stage.pool))
    await Relay(stage.pool, stage.publisher).turn()
