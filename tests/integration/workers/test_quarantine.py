"""Quarantine: a delivery that kills its process ends dead-lettered, and its neighbours get through."""

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast
from uuid import UUID

import asyncpg
import pytest

from domain.delivery import DeliveryStatus
from domain.ids import uuid7
from domain.lanes import Channel, Lane, Priority
from domain.reasons import Reason
from plumbing.broker.consumer import Incoming
from plumbing.broker.envelope import Envelope
from tests.integration.tracking.builders import let_leases_run_out, make_due, person, recorded, records, status_of
from tests.integration.workers.stage import Stage, eventually
from tracking.sweep import sweep
from workers.quarantine import Quarantine

CHILD = (sys.executable, "-m", "tests.integration.workers.deadly_child")


async def always_retry(tenant: UUID, category: str) -> str:
    return "retry"


@pytest.fixture
def kill(
    stage: Stage, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Awaitable[None]]:
    """Makes deliveries of which the children of quarantine die, and which have cost two workers already."""
    monkeypatch.setenv("STAGE_DATABASE_URL", database_url)
    monkeypatch.setenv("STAGE_AMQP_URL", stage.amqp_url)
    monkeypatch.setenv("LIVES", str(tmp_path / "lives"))

    async def make_deadly(*deliveries: UUID) -> None:
        monkeypatch.setenv("DEADLY", ",".join(map(str, deliveries)))
        await stage.pool.execute("UPDATE deliveries SET crashes = 2 WHERE id = ANY($1::uuid[])", deliveries)

    return make_deadly


async def test_a_delivery_that_kills_its_process_is_buried_while_its_neighbours_get_through(
    stage: Stage, tenant: UUID, kill: Callable[..., Awaitable[None]], tmp_path: Path
) -> None:
    made = records(await person(stage.pool, tenant), 5)
    first, deadly, *others = await recorded(stage.pool, made)
    await kill(deadly)
    row = made.outbox[0]

    async with stage.worker(child=CHILD):
        await stage.publisher.publish_quarantine(Envelope(row.id, tenant, row.lane, (first, deadly, *others)))
        for neighbour in (first, *others):
            await stage.reaches(neighbour, DeliveryStatus.SENT, within_s=30)

    lives = (tmp_path / "lives").read_text().split()
    assert len(lives) == 2, "one child for all, and another after its death"
    assert await status_of(stage.pool, deadly) is DeliveryStatus.SENDING
    await let_leases_run_out(stage.pool, [deadly])
    await make_due(stage.pool, tenant)
    async with stage.pool.acquire() as conn:
        report = await sweep(conn, limit=100, drained=[], policy=always_retry)
    assert deadly in report.buried
    assert await status_of(stage.pool, deadly) is DeliveryStatus.DEAD_LETTERED
    assert await _letter(stage.pool, deadly) == Reason.WORKER_CRASH
    found = await stage.pool.fetchrow(
        "SELECT detail, fingerprint, evidence::text AS evidence FROM dead_letters WHERE delivery_id = $1", deadly
    )
    assert "killed by SIGKILL" in found["detail"]
    assert found["fingerprint"] == "email|-|worker_crash: killed by SIGKILL|order_shipped@3"
    assert '"how": "killed by SIGKILL"' in found["evidence"]


async def test_what_may_have_killed_two_workers_is_worked_in_quarantine_whoever_brings_it(
    stage: Stage, tenant: UUID, kill: Callable[..., Awaitable[None]]
) -> None:
    made = records(await person(stage.pool, tenant), 3)
    deadly, unlucky, neighbour = await recorded(stage.pool, made)
    await kill(deadly)
    await stage.pool.execute("UPDATE deliveries SET crashes = 2 WHERE id = $1", unlucky)
    row = made.outbox[0]

    async with stage.worker(child=CHILD):  # a copy from before the second death, as the broker brings it after a third
        await stage.publisher.publish_work([Envelope(row.id, tenant, row.lane, (deadly, unlucky, neighbour))])
        await stage.reaches(neighbour, DeliveryStatus.SENT)
        await stage.reaches(unlucky, DeliveryStatus.SENT)
        await stage.reaches(deadly, DeliveryStatus.SENDING)

    assert {one for one, _ in stage.channels.calls} == {neighbour}
    assert await stage.pool.fetchval("SELECT attempt FROM deliveries WHERE id = $1", deadly) == 1


async def test_an_unreadable_message_in_quarantine_is_archived(stage: Stage, tenant: UUID) -> None:
    async def is_archived() -> bool:
        found = await stage.pool.fetchval("SELECT 1 FROM dead_letters WHERE evidence->>'body' = $1", f"?{tenant}")
        return found is not None

    async with stage.worker({Channel.EMAIL: 2}):
        await stage.publish_raw("email.normal", f"?{tenant}".encode(), exchange="carillon.quarantine")
        await eventually(is_archived)


class Message:
    """A message of quarantine that remembers how it was answered."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.answers: list[str] = []

    async def ack(self) -> None:
        self.answers.append("ack")

    async def requeue(self) -> None:
        self.answers.append("requeue")


def message_of(tenant: UUID) -> tuple[Message, Incoming]:
    message = Message(Envelope(uuid7(), tenant, Lane(Channel.EMAIL, Priority.LOW), (uuid7(),)).encode())
    return message, cast("Incoming", message)


async def test_a_child_that_cannot_be_started_stops_no_other(stage: Stage, tenant: UUID) -> None:
    quarantine = Quarantine(stage.publisher, child=("/nowhere/at/all",))
    messages = [message_of(tenant) for _ in range(2)]
    quarantine.open()
    for _, message in messages:
        quarantine.put(Channel.EMAIL, message)

    async def both_are_back() -> bool:
        return [message.answers for message, _ in messages] == [["requeue"], ["requeue"]]

    await eventually(both_are_back)
    await quarantine.close()


async def test_at_a_stop_the_child_at_work_may_end_and_no_other_begins(
    stage: Stage, tenant: UUID, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    program = f"""
import sys, time
for line in sys.stdin:
    with open({str(begun)!r}, "a") as begun:
        begun.write("x")
    time.sleep(0.5)
    print(line, end="", flush=True)
"""
    child = (sys.executable, "-c", program)
    quarantine = Quarantine(stage.publisher, child=child)
    messages = [message_of(tenant) for _ in range(2)]
    quarantine.open()
    for _, message in messages:
        quarantine.put(Channel.EMAIL, message)

    async def has_begun() -> bool:
        return begun.exists()

    await eventually(has_begun)
    await quarantine.close(within_s=10)

    assert [message.answers for message, _ in messages] == [["ack"], []]
    assert begun.read_text() == "x"


async def _letter(pool: asyncpg.Pool, delivery: UUID) -> str | None:
    reason: str | None = await pool.fetchval("SELECT reason FROM dead_letters WHERE delivery_id = $1", delivery)
    return reason
