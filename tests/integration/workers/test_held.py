"""Holds: nothing that they name is begun, nothing is lost, no attempt is spent, and expiry still ends it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import UUID

import httpx2
import pytest

from domain.delivery import DeliveryStatus
from domain.ids import notification_of
from domain.lanes import Channel, Priority
from fanout.relay import Relay
from tests.integration.api.doors import SECRET
from tests.integration.tracking.builders import make_due, person, records
from tests.integration.workers.stage import Stage, eventually
from tests.integration.workers.test_kills import retry
from tracking.cancel import CancelOutcome, cancel
from tracking.events import EventKind
from tracking.set_aside import let_go
from tracking.sweep import sweep

pytestmark = pytest.mark.usefixtures("outbox_is_empty")

HOLDS = "/api/v1/ops/holds"
BEGUN_AT_MOST_S = 1.0
SUBJECTS = {"template": "order_shipped", "category": "orders", "provider": "smtp", "lane": "email.normal"}


@asynccontextmanager
async def relaying(stage: Stage) -> AsyncIterator[None]:
    """A relay at work, and the leader's hand that lets go of what is released."""

    async def letting_go() -> None:
        while True:
            await let_go(stage.pool, limit=1000)
            await asyncio.sleep(0.2)

    tasks = [asyncio.create_task(Relay(stage.pool, stage.publisher).run()), asyncio.create_task(letting_go())]
    yield
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def hold(ops: httpx2.AsyncClient, kind: str, subject: str) -> str:
    """Hold something; its id."""
    answer = await ops.post(HOLDS, json={"kind": kind, "subject": subject, "why": "a bad link"})
    assert answer.status_code == 201, answer.text
    identifier: str = answer.json()["id"]
    return identifier


async def are_aside(stage: Stage, ids: list[UUID]) -> None:
    """Wait until all of these are set aside."""

    async def all_aside() -> bool:
        count = await stage.pool.fetchval(
            "SELECT count(*) FROM deliveries d JOIN outbox o ON o.id = d.envelope_id"
            " WHERE d.id = ANY($1::uuid[]) AND o.held_by IS NOT NULL AND o.published_at IS NULL",
            ids,
        )
        return bool(count == len(ids))

    await eventually(all_aside, what="all set aside")


async def attempts(stage: Stage, ids: list[UUID]) -> set[int]:
    rows = await stage.pool.fetch("SELECT attempt FROM deliveries WHERE id = ANY($1::uuid[])", ids)
    return {row["attempt"] for row in rows}


@pytest.mark.parametrize("kind", ["template", "category", "tenant", "provider", "lane"])
async def test_what_is_held_is_set_aside_and_goes_on_when_it_is_released(
    stage: Stage, ops: httpx2.AsyncClient, tenant: UUID, kind: str
) -> None:
    who = await person(stage.pool, tenant)
    identifier = await hold(ops, kind, SUBJECTS.get(kind, str(tenant)))
    async with stage.worker(), relaying(stage):
        ids = await stage.accept(records(who, 50))
        await are_aside(stage, ids)
        listed = (await ops.get(HOLDS)).json()["items"]

        assert stage.channels.calls == []
        assert await attempts(stage, ids) == {0}
        assert await stage.events(ids[0]) == [EventKind.HELD.code]
        assert [(one["id"], one["waiting"]) for one in listed] == [(identifier, {"deliveries": 50, "is_more": False})]

        released = await ops.delete(f"{HOLDS}/{identifier}", params={"why": "corrected"})
        for one in ids:
            await stage.reaches(one, DeliveryStatus.SENT, within_s=10)

    assert released.json()["released_by"] == SECRET[:12]
    assert released.json()["released_why"] == "corrected"
    assert sorted(one for one, _ in stage.channels.calls) == ids
    assert await attempts(stage, ids) == {1}
    await make_due(stage.pool, tenant)  # where two of an envelope end at one moment, the sweeper clears it away
    async with stage.pool.acquire() as conn:
        await sweep(conn, limit=1000, drained=(), policy=retry)
    assert await stage.pool.fetchval("SELECT count(*) FROM outbox WHERE tenant_id = $1", tenant) == 0


async def test_nothing_is_begun_a_second_after_the_answer_by_any_worker(
    stage: Stage, ops: httpx2.AsyncClient, tenant: UUID
) -> None:
    who = await person(stage.pool, tenant)
    stage.channels.delay_s = 0.05
    async with stage.worker(), stage.worker(), relaying(stage):
        ids = await stage.accept(records(who, 2000))

        async def is_busy() -> bool:
            return len(stage.channels.calls) > 100

        await eventually(is_busy)
        identifier = await hold(ops, "template", "order_shipped")
        answered = time.time()

        async def nothing_moves() -> bool:
            waits = "SELECT count(*) FROM deliveries WHERE id = ANY($1::uuid[]) AND reason = 19 AND status IN (1, 3)"
            done = "SELECT count(*) FROM deliveries WHERE id = ANY($1::uuid[]) AND status = 4"
            return bool(await stage.pool.fetchval(waits, ids) + await stage.pool.fetchval(done, ids) == len(ids))

        await eventually(nothing_moves)
        begun = [at for _, at in stage.channels.calls if at > answered + BEGUN_AT_MOST_S]

        assert begun == []
        assert len(stage.channels.calls) < len(ids)
        await ops.delete(f"{HOLDS}/{identifier}")
        for one in ids:
            await stage.reaches(one, DeliveryStatus.SENT)

    assert sorted(one for one, _ in stage.channels.calls) == ids, "each of them once"


async def test_what_expires_while_it_is_held_is_expired(stage: Stage, ops: httpx2.AsyncClient, tenant: UUID) -> None:
    who = await person(stage.pool, tenant)
    await hold(ops, "template", "order_shipped")
    async with stage.worker(), relaying(stage):
        ids = await stage.accept(records(who, 5, expires_in_s=2))
        await are_aside(stage, ids)
        for one in ids:
            await stage.reaches(one, DeliveryStatus.EXPIRED)

    assert stage.channels.calls == []


async def test_what_is_held_can_be_cancelled_and_others_go_on(
    stage: Stage, ops: httpx2.AsyncClient, tenant: UUID
) -> None:
    who = await person(stage.pool, tenant)
    await hold(ops, "lane", "email.low")
    async with stage.worker():
        held = await stage.accept(records(who, 5, priority=Priority.LOW))
        await are_aside(stage, held)
        free = await stage.accept(records(who, 5))
        for one in free:
            await stage.reaches(one, DeliveryStatus.SENT)
    cancelled = await cancel(stage.pool, tenant, notification_of(held[0]))

    assert sorted(one for one, _ in stage.channels.calls) == free
    assert [one.outcome for one in cancelled or ()] == [CancelOutcome.WITHDRAWN]


async def test_what_is_released_goes_on_in_the_order_of_priority(
    stage: Stage, ops: httpx2.AsyncClient, tenant: UUID
) -> None:
    who = await person(stage.pool, tenant)
    identifier = await hold(ops, "template", "order_shipped")
    async with stage.worker():
        ids = {each: await stage.accept(records(who, 20, priority=each)) for each in reversed(Priority)}
        for group in ids.values():
            await are_aside(stage, group)
    released: list[Priority] = []
    await stage.pool.execute("UPDATE holds SET released_at = now() WHERE id = $1", UUID(identifier))
    while await let_go(stage.pool, limit=1):
        code = await stage.pool.fetchval(
            "SELECT priority FROM outbox WHERE tenant_id = $1 AND held_by IS NULL ORDER BY available_at DESC LIMIT 1",
            tenant,
        )
        released.append(Priority.of(code))

    assert list(dict.fromkeys(released)) == list(Priority)
    assert released == sorted(released, key=lambda one: one.code)


async def test_a_claim_that_a_hold_overtakes_comes_back_unspent(
    stage: Stage, ops: httpx2.AsyncClient, tenant: UUID
) -> None:
    who = await person(stage.pool, tenant)
    stage.channels.gate = asyncio.Event()
    async with stage.worker({Channel.EMAIL: 1}), relaying(stage):
        ids = await stage.accept(records(who, 2))

        async def is_called() -> bool:
            return len(stage.channels.calls) == 1

        await eventually(is_called)
        await hold(ops, "template", "order_shipped")
        await asyncio.sleep(BEGUN_AT_MOST_S)  # the promise is about this second
        stage.channels.gate.set()
        first = stage.channels.calls[0][0]
        await stage.reaches(first, DeliveryStatus.SENT)
        (other,) = set(ids) - {first}
        await are_aside(stage, [other])

    assert len(stage.channels.calls) == 1
    assert await attempts(stage, [other]) == {0}


@pytest.mark.parametrize(
    ("kind", "subject", "reason", "pointer"),
    [
        ("campaign", "spring", "not_available_yet", "/kind"),
        ("template", "no_such", "unknown_template", "/subject"),
        ("category", "no_such", "unknown_category", "/subject"),
        ("provider", "pigeon", "unknown_provider", "/subject"),
        ("lane", "email.urgent", "unknown_lane", "/subject"),
        ("tenant", "nobody", "unknown_tenant", "/subject"),
    ],
)
async def test_a_hold_of_nothing_is_refused(
    ops: httpx2.AsyncClient, kind: str, subject: str, reason: str, pointer: str
) -> None:
    answer = await ops.post(HOLDS, json={"kind": kind, "subject": subject, "why": "x"})

    assert answer.status_code == 422
    assert answer.json()["reason"] == reason
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [pointer]


async def test_holding_and_releasing_twice_is_harmless(ops: httpx2.AsyncClient) -> None:
    identifier = await hold(ops, "template", "order_shipped")
    again = await ops.post(HOLDS, json={"kind": "template", "subject": "order_shipped", "why": "other"})
    first = await ops.delete(f"{HOLDS}/{identifier}", params={"why": "corrected"})
    second = await ops.delete(f"{HOLDS}/{identifier}", params={"why": "again"})

    assert (again.status_code, again.json()["id"], again.json()["why"]) == (200, identifier, "a bad link")
    assert first.json() == second.json()
    assert (await ops.get(HOLDS)).json()["items"] == []
    assert (await ops.get(HOLDS, params={"state": "released"})).json()["items"][0]["id"] == identifier


async def test_a_lane_is_paused_and_resumed(ops: httpx2.AsyncClient) -> None:
    paths = [f"/api/v1/ops/lanes/sms/low/{verb}" for verb in ("pause", "pause", "resume", "resume")]

    answers = [await ops.post(path, json={"why": "quiet, please"}) for path in paths]

    told = [answer.json() for answer in answers]
    assert [answer.status_code for answer in answers] == [200] * 4
    assert [one["is_paused"] for one in told] == [True, True, False, False]
    assert told[0]["hold"] == told[1]["hold"]
    assert told[2]["hold"]["released_why"] == "quiet, please"
    assert told[3]["hold"] is None


async def test_a_list_is_quick_with_a_hundred_thousand_held(
    stage: Stage, ops: httpx2.AsyncClient, tenant: UUID
) -> None:
    identifier = await hold(ops, "template", "order_shipped")
    await stage.pool.execute(
        "INSERT INTO outbox (id, tenant_id, channel, priority, delivery_ids, available_at, held_by)"
        " SELECT gen_random_uuid(), $1, 2, 3, ARRAY[gen_random_uuid()], now() + interval '1 h', $2"
        " FROM generate_series(1, 100000)",
        tenant,
        UUID(identifier),
    )
    began = time.monotonic()
    listed = (await ops.get(HOLDS)).json()["items"]
    took_s = time.monotonic() - began
    await stage.pool.execute("DELETE FROM outbox WHERE tenant_id = $1", tenant)

    assert listed[0]["waiting"] == {"deliveries": 5000, "is_more": True}
    assert took_s < 0.5
