"""The stuck list: what is late is named with what happens to it by itself, and what moves is not named."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest

from domain.clock import utc_now
from domain.delivery import DeliveryStatus
from tests.integration.tracking.builders import let_leases_run_out, person, recorded, records
from tests.integration.workers.outboxes import waiting
from tests.integration.workers.stage import Stage, eventually
from tracking.claim import claim

pytestmark = pytest.mark.usefixtures("outbox_is_empty")

STUCK = "/api/v1/ops/stuck"


async def items(ops: httpx2.AsyncClient) -> list[dict[str, Any]]:
    answer = await ops.get(STUCK)
    assert answer.status_code == 200, answer.text
    assert answer.json()["unknown"] == []
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def test_deliveries_past_their_lease_and_past_due_are_named(
    stage: Stage, ops: httpx2.AsyncClient, tenant: UUID
) -> None:
    who = await person(stage.pool, tenant)
    lost, fine = await recorded(stage.pool, records(who, 1)), await recorded(stage.pool, records(who, 1))
    await claim(stage.pool, [*lost, *fine], lease_s=60)
    await let_leases_run_out(stage.pool, lost)
    past = utc_now() - timedelta(minutes=2)
    late = await recorded(stage.pool, records(who, 1, status=DeliveryStatus.RESTING, next_attempt_at=past))

    found = {one["delivery_id"]: one for one in await items(ops)}

    assert set(found) == {str(one) for one in [*lost, *late]}
    assert found[str(lost[0])]["kind"] == "sending"
    assert found[str(late[0])]["kind"] == "resting"
    assert all(one["will"] and one["will_at"] for one in found.values())


async def test_what_should_have_been_published_and_lanes_without_a_worker_are_named(
    stage: Stage, ops: httpx2.AsyncClient, tenant: UUID
) -> None:
    made = await waiting(stage, tenant, 35)
    await stage.pool.execute("DELETE FROM role_beats")  # of workers of other tests
    await stage.pool.execute(
        "UPDATE outbox SET available_at = now() - interval '1 minute' WHERE id = ANY($1::uuid[])",
        [row.id for row in made.outbox],
    )
    await stage.publish_raw("sms.low", b"x")

    async def both() -> bool:
        return {one["kind"] for one in await items(ops)} == {"unpublished", "unmoved"}

    await eventually(both)
    found = {one["kind"]: one for one in await items(ops)}

    assert found["unpublished"]["count"] == len(made.outbox)
    assert (found["unmoved"]["lane"], found["unmoved"]["count"]) == ("sms.low", 1)
    assert "no worker" in found["unmoved"]["will"]

    await ops.post("/api/v1/ops/lanes/sms/low/pause", json={"why": "their bill"})
    assert [one["kind"] for one in await items(ops)] == ["unpublished"]


async def test_where_everything_moves_the_list_is_empty(stage: Stage, ops: httpx2.AsyncClient, tenant: UUID) -> None:
    await waiting(stage, tenant, 5)

    assert await items(ops) == []
