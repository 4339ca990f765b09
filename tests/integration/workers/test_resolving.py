"""What a person decides: an ambiguous delivery is resolved once, a resting one goes at once; who and why are kept."""

import asyncio
import json
from datetime import timedelta
from uuid import UUID

import httpx2
import pytest

from domain.clock import utc_now
from domain.delivery import DeliveryStatus
from domain.errors import Ambiguous
from domain.lanes import Channel
from domain.reasons import Reason
from fanout.relay import Relay
from tests.integration.api.doors import SECRET
from tests.integration.tracking.builders import person, recorded, records
from tests.integration.workers.stage import Stage
from tracking.events import EventKind

pytestmark = pytest.mark.usefixtures("outbox_is_empty")

DELIVERIES = "/api/v1/deliveries"


async def ambiguous(stage: Stage, tenant: UUID) -> UUID:
    """A delivery that the provider may have taken, by a real attempt."""
    who = await person(stage.pool, tenant)
    stage.repeats = False
    made = records(who, 1)
    stage.channels.scripts[made.deliveries[0].id].append(Ambiguous(Reason.PROVIDER_SILENT, "hung up"))
    async with stage.worker():
        (one,) = await stage.accept(made)
        await stage.reaches(one, DeliveryStatus.AMBIGUOUS)
    return one


@pytest.mark.parametrize("wish", ["sent", "failed"])
async def test_an_ambiguous_delivery_is_listed_and_resolved_once(
    stage: Stage, ops: httpx2.AsyncClient, tenant: UUID, wish: str
) -> None:
    one = await ambiguous(stage, tenant)
    listed = (await ops.get(DELIVERIES, params={"status": "ambiguous"})).json()["items"]
    path, asked = f"{DELIVERIES}/{one}/resolve", {"as": wish, "why": "their log says so"}

    answers = [await ops.post(path, json=asked), await ops.post(path, json=asked)]
    other = await ops.post(path, json={"as": "retry", "why": "no"})

    assert [each["id"] for each in listed] == [str(one)]
    assert [answer.json()["is_changed"] for answer in answers] == [True, False]
    assert {answer.json()["status"] for answer in answers} == {wish}
    assert (other.status_code, other.json()["reason"]) == (409, "not_ambiguous")
    assert await stage.events(one) == [EventKind.ATTEMPT_AMBIGUOUS.code, EventKind.RESOLVED.code]
    facts = json.loads(
        await stage.pool.fetchval(
            "SELECT detail FROM events WHERE delivery_id = $1 AND kind = $2", one, EventKind.RESOLVED.code
        )
    )
    assert (facts["by"], facts["why"], facts["as"]) == (SECRET[:12], "their log says so", wish)
    assert (await ops.get(DELIVERIES, params={"status": "ambiguous"})).json()["items"] == []
    assert await stage.pool.fetchval("SELECT count(*) FROM outbox WHERE tenant_id = $1", tenant) == 0


async def test_a_retry_is_a_new_attempt_and_two_at_once_are_one(
    stage: Stage, ops: httpx2.AsyncClient, tenant: UUID
) -> None:
    one = await ambiguous(stage, tenant)
    path, asked = f"{DELIVERIES}/{one}/resolve", {"as": "retry", "why": "nothing came"}

    answers = await asyncio.gather(*(ops.post(path, json=asked) for _ in range(5)))
    async with stage.worker():
        while await Relay(stage.pool, stage.publisher).turn():
            pass
        await stage.reaches(one, DeliveryStatus.SENT)

    assert sorted(answer.json()["is_changed"] for answer in answers) == [False] * 4 + [True]
    assert stage.channels.count(one) == 2
    assert await stage.pool.fetchval("SELECT attempt FROM deliveries WHERE id = $1", one) == 2


async def test_what_is_somebody_elses_or_not_there_is_not_found(
    stage: Stage, ops: httpx2.AsyncClient, tenant: UUID
) -> None:
    one = await ambiguous(stage, tenant)
    await stage.pool.execute("UPDATE deliveries SET tenant_id = gen_random_uuid() WHERE id = $1", one)

    for path, asked in (("resolve", {"as": "sent", "why": "x"}), ("retry-now", {"why": "x"})):
        assert (await ops.post(f"{DELIVERIES}/{one}/{path}", json=asked)).status_code == 404


async def test_a_retry_of_what_has_expired_is_refused(stage: Stage, ops: httpx2.AsyncClient, tenant: UUID) -> None:
    one = await ambiguous(stage, tenant)
    await stage.pool.execute("UPDATE deliveries SET expires_at = now() WHERE id = $1", one)

    answer = await ops.post(f"{DELIVERIES}/{one}/resolve", json={"as": "retry", "why": "x"})

    assert (answer.status_code, answer.json()["reason"]) == (409, "too_late")


async def test_resting_deliveries_of_a_provider_go_at_once_and_others_rest_on(
    stage: Stage, ops: httpx2.AsyncClient, tenant: UUID
) -> None:
    who = await person(stage.pool, tenant)
    later = utc_now() + timedelta(hours=1)
    resting = records(who, 45, status=DeliveryStatus.RESTING, next_attempt_at=later)
    texts = records(who, 3, channels=(Channel.SMS,), status=DeliveryStatus.RESTING, next_attempt_at=later)
    ids, others = await recorded(stage.pool, resting), await recorded(stage.pool, texts)
    asked = {"provider": "smtp", "why": "they are back"}

    first = await ops.post(f"{DELIVERIES}/retry-now", json=asked)
    again = await ops.post(f"{DELIVERIES}/retry-now", json=asked)
    one = await ops.post(f"{DELIVERIES}/{others[0]}/retry-now", json={"why": "try"})
    async with stage.worker():
        while await Relay(stage.pool, stage.publisher).turn():
            pass
        for delivery in ids:
            await stage.reaches(delivery, DeliveryStatus.SENT)
    sent = await ops.post(f"{DELIVERIES}/{ids[0]}/retry-now", json={"why": "x"})

    assert first.json() == {"retried": 45, "next_cursor": None}
    assert again.json()["retried"] == 0
    assert one.json() == {"id": str(others[0]), "status": "resting", "is_changed": True}
    assert (sent.status_code, sent.json()["reason"]) == (409, "not_resting")
    due = await stage.pool.fetchval(
        "SELECT count(*) FROM deliveries WHERE id = ANY($1::uuid[]) AND next_attempt_at <= now()", others
    )
    assert due == 1
    assert sorted(called for called, _ in stage.channels.calls) == ids
