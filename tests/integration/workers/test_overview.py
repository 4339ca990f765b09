"""The operator's overview and breakers: what is told, what is ordered, and what is said when a server is silent."""

import asyncio
import time
from uuid import UUID

import httpx2
import pytest

from api.app import create_app
from channels.base import Outcome, Sent
from channels.breaker import Breaker, BreakerState
from channels.email.pool import SmtpServer
from channels.email.smtp import SmtpChannel
from channels.registry import Channels
from domain.errors import CircuitOpen
from domain.lanes import Channel
from plumbing.beats import Beats
from tests.integration.api.doors import SECRET, FakeBatcher, KeyRing, make_house
from tests.integration.workers.outboxes import waiting
from tests.integration.workers.stage import Stage, eventually
from workers.held import Holds

pytestmark = pytest.mark.usefixtures("outbox_is_empty")

OVERVIEW = "/api/v1/ops/overview"
BREAKER = "/api/v1/ops/breakers/smtp"
LONGEST_S = 2.0


async def sends() -> Outcome:
    return Sent("smtp", "1", "250 OK", 1.0)


async def test_lanes_tell_what_waits_and_what_is_paused(stage: Stage, ops: httpx2.AsyncClient, tenant: UUID) -> None:
    await waiting(stage, tenant, 35)
    await stage.publish_raw("email.low", b"x")
    await ops.post("/api/v1/ops/lanes/sms/high/pause", json={"why": "their bill"})

    async def is_told() -> bool:
        found = (await ops.get(OVERVIEW)).json()
        return bool({one["lane"]: one["broker_messages"] for one in found["lanes"]}["email.low"] == 1)

    await eventually(is_told)
    found = (await ops.get(OVERVIEW)).json()
    lanes = {one["lane"]: one for one in found["lanes"]}
    counts = {name: one["waiting"]["deliveries"] for name, one in lanes.items() if one["waiting"]["deliveries"]}

    assert len(lanes) == 12
    assert sum(counts.values()) == 35
    assert [name for name, one in lanes.items() if one["is_paused"]] == ["sms.high"]
    assert found["outbox"]["oldest_s"] >= 0
    assert found["unknown"] == []


async def test_what_lives_is_told_and_what_died_is_told_as_gone(stage: Stage, ops: httpx2.AsyncClient) -> None:
    facts = {"lanes": ["email.low"], "per_minute": {"email.low": 70}, "breakers": {}}
    life = Beats(stage.pool, "worker", lambda: facts)
    life.open()

    async def seen(is_alive: bool = True) -> bool:
        roles = (await ops.get(OVERVIEW)).json()["roles"]
        return any(one["name"] == life.name and one["is_alive"] is is_alive for one in roles)

    await eventually(seen)
    rates = {one["lane"]: one["begun_last_minute"] for one in (await ops.get(OVERVIEW)).json()["lanes"]}
    await life.close()
    gone = not await seen()
    await stage.pool.execute(
        "INSERT INTO role_beats VALUES ($1, 'worker', now(), now() - interval '1 minute', '{}')", life.name
    )

    assert rates["email.low"] >= 70
    assert gone
    assert await seen(is_alive=False)
    await stage.pool.execute("DELETE FROM role_beats WHERE name = $1", life.name)


async def test_an_order_reaches_every_breaker_within_a_second(stage: Stage, ops: httpx2.AsyncClient) -> None:
    port = SmtpChannel(SmtpServer.parse("smtp://127.0.0.1:1", "never"), email_from="x@example.org")
    workers = [Channels({Channel.EMAIL: port}, {}) for _ in range(2)]
    breakers = [worker.breakers[Channel.EMAIL] for worker in workers]
    copies = [Holds(stage.pool) for _ in workers]
    for worker, copy in zip(workers, copies, strict=True):
        copy.heed.append(worker.heed)
    tasks = [asyncio.create_task(copy.run()) for copy in copies]
    states = []
    for state in ("open", "open", "closed", "auto"):
        answer = await ops.post(BREAKER, json={"state": state, "why": "an outage"})
        assert answer.status_code == 200, answer.text
        answered = time.monotonic()

        async def all_obey(wanted: str = "closed" if state == "auto" else state) -> bool:
            return all(breaker.state == wanted for breaker in breakers)

        await eventually(all_obey)
        states.append((answer.json()["ordered"], time.monotonic() - answered < 1.0))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    assert states == [("open", True), ("open", True), ("closed", True), ("auto", True)]


async def test_a_forced_breaker_lets_nothing_through_and_begins_again_with_a_trial() -> None:
    breaker = Breaker("smtp")

    breaker.force_open()
    held = await breaker.call(sends)
    breaker.let_judge()
    state = breaker.state
    tried = await breaker.call(sends)

    assert isinstance(held, CircuitOpen)
    assert state is BreakerState.HALF_OPEN
    assert isinstance(tried, Sent)
    assert breaker.state is BreakerState.CLOSED


async def test_a_breaker_of_nobody_is_not_there(ops: httpx2.AsyncClient) -> None:
    answers = [await ops.get("/api/v1/ops/breakers/gateway"), await ops.get("/api/v1/ops/breakers/pigeon")]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert (await ops.post(BREAKER, json={"state": "ajar", "why": "x"})).status_code == 422


class SilentPresence:
    """Redis that does not answer."""

    async def nodes(self) -> None:
        await asyncio.Event().wait()


async def test_when_broker_and_redis_are_silent_the_answer_comes_and_says_so(stage: Stage, tenant: UUID) -> None:
    ring = KeyRing()
    ring.add(SECRET, tenant_id=tenant)

    async def silent(_queue: str) -> int | None:
        await asyncio.Event().wait()
        return None

    house = make_house(FakeBatcher(), ring, hot_pool=stage.pool, queue_depth=silent, presence=SilentPresence())
    headers = {"authorization": f"Bearer {SECRET}"}
    transport = httpx2.ASGITransport(create_app(house))
    async with httpx2.AsyncClient(transport=transport, base_url="http://carillon", headers=headers) as client:
        began = time.monotonic()
        found = (await client.get(OVERVIEW)).json()
        took_s = time.monotonic() - began

    assert took_s < LONGEST_S
    assert sorted(found["unknown"]) == ["broker", "gateways"]
    assert found["gateways"] is None
    assert {one["broker_messages"] for one in found["lanes"]} == {None}
