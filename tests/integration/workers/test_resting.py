"""What waits in the retry queues comes back by itself. The stories are told at once: each of them rests ten seconds."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg
import pytest

from domain.delivery import DeliveryStatus
from domain.errors import CircuitOpen, NotSent, Transient
from domain.ids import uuid7
from domain.lanes import Channel, Priority
from domain.reasons import Reason
from tests.integration.tracking.builders import person, records, status_of
from tests.integration.workers.conftest import empty_stage
from tests.integration.workers.stage import Stage, eventually
from tracking.events import EventKind
from tracking.rows import Records


@dataclass
class Told:
    """The three stories' deliveries, what the stop looked like, and where everything was seen in the end."""

    stage: Stage
    failed_twice: UUID
    not_sent: list[UUID]
    stopped_with: list[UUID]
    stop_took_s: float = 0.0
    after_the_stop: list[DeliveryStatus] = field(default_factory=list)
    calls_before_the_stop: int = 0

    async def attempt_of(self, delivery: UUID) -> int:
        attempt: int = await self.stage.pool.fetchval("SELECT attempt FROM deliveries WHERE id = $1", delivery)
        return attempt


@pytest.fixture(scope="module")
async def told(hot_pool: asyncpg.Pool, amqp_url: str) -> AsyncIterator[Told]:
    """A worker is stopped amid its work; a second one takes what it parked, and meets failures and refusals."""
    tenant = uuid7()
    await hot_pool.execute("INSERT INTO tenants (id, name) VALUES ($1, $2)", tenant, f"test-{tenant}")
    async with empty_stage(hot_pool, amqp_url) as stage:
        who = await person(hot_pool, tenant)
        parked, failing, refused = records(who, 60), records(who, priority=Priority.CRITICAL), records(who, 6)
        told = Told(stage, failing.deliveries[0].id, not_sent=_ids(refused), stopped_with=_ids(parked))
        failure = Transient(Reason.PROVIDER_UNAVAILABLE, "421 try later")
        stage.channels.scripts[told.failed_twice].extend([failure, failure])
        for one in told.not_sent[:-1]:
            stage.channels.scripts[one].append(CircuitOpen("scripted", retry_after_s=0.5))
        stage.channels.scripts[told.not_sent[-1]].append(NotSent(Reason.PROVIDER_THROTTLED, "too fast"))
        await stage.accept(parked)

        await _stop_amid_work(told)
        async with stage.worker():
            await stage.accept(failing)
            await stage.accept(refused)
            for one in (told.failed_twice, *told.not_sent, *told.stopped_with):
                await stage.reaches(one, DeliveryStatus.SENT, within_s=40)
        yield told


async def _stop_amid_work(told: Told) -> None:
    told.stage.channels.delay_s = 0.5
    async with told.stage.worker(slots={Channel.EMAIL: 4}):

        async def is_busy() -> bool:
            return told.stage.channels.in_flight >= 3

        await eventually(is_busy)
        begun_s = time.monotonic()
    told.stop_took_s = time.monotonic() - begun_s
    told.after_the_stop = [await status_of(told.stage.pool, one) for one in told.stopped_with]
    told.calls_before_the_stop = len(told.stage.channels.calls)
    told.stage.channels.delay_s = 0


async def test_a_transient_failure_rests_and_is_tried_again_until_it_is_sent(told: Told) -> None:
    first, second, third = (at for called, at in told.stage.channels.calls if called == told.failed_twice)

    assert 1.9 < second - first < 4
    assert 9.9 < third - second < 13
    assert await told.attempt_of(told.failed_twice) == 3
    kinds = [EventKind.ATTEMPT_RESTING, EventKind.ATTEMPT_RESTING, EventKind.ATTEMPT_SENT]
    assert await told.stage.events(told.failed_twice) == [kind.code for kind in kinds]


async def test_attempts_before_and_after_an_open_breaker_are_equal(told: Told) -> None:
    assert {await told.attempt_of(one) for one in told.not_sent} == {1}
    for one in told.not_sent:
        assert await told.stage.events(one) == [EventKind.NOT_SENT.code, EventKind.ATTEMPT_SENT.code]


async def test_a_stop_lets_calls_end_and_parks_the_rest(told: Told) -> None:
    assert told.stop_took_s < 5
    assert told.after_the_stop.count(DeliveryStatus.SENT) == told.calls_before_the_stop > 0
    assert set(told.after_the_stop) == {DeliveryStatus.SENT, DeliveryStatus.QUEUED}
    assert [told.stage.channels.count(one) for one in told.stopped_with] == [1] * 60


def _ids(made: Records) -> list[UUID]:
    return sorted(row.id for row in made.deliveries)
