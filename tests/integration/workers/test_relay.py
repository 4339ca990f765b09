"""The relay publishes what is due as lanes have room, each envelope once, and marks what the broker confirmed."""

import asyncio
from uuid import UUID

import pytest

from fanout.relay import Relay
from tests.integration.workers.outboxes import QUEUE, unpublished, waiting
from tests.integration.workers.stage import Stage

pytestmark = pytest.mark.usefixtures("outbox_is_empty")


async def test_the_relay_publishes_what_is_due_and_marks_it(stage: Stage, tenant: UUID) -> None:
    await waiting(stage, tenant, 35)

    published = await Relay(stage.pool, stage.publisher).turn()

    assert published == 4
    assert await unpublished(stage, tenant) == 0
    assert await stage.publisher.queue_depth(QUEUE) == 4


async def test_what_is_due_later_stays(stage: Stage, tenant: UUID) -> None:
    made = await waiting(stage, tenant, 1)
    await stage.pool.execute("UPDATE outbox SET available_at = now() + interval '1 h' WHERE id = $1", made.outbox[0].id)

    assert await Relay(stage.pool, stage.publisher).turn() == 0


async def test_a_lane_takes_no_more_deliveries_than_its_limit_and_the_rest_waits_in_postgresql(
    stage: Stage, tenant: UUID
) -> None:
    await waiting(stage, tenant, 100)
    relay = Relay(stage.pool, stage.publisher, limit=30)

    published = [await relay.turn() for _ in range(3)]

    assert published == [3, 0, 0]
    assert await unpublished(stage, tenant) == 7


async def test_three_relays_at_once_publish_each_envelope_once(stage: Stage, tenant: UUID) -> None:
    await waiting(stage, tenant, 300, envelope_size=1)

    published = await asyncio.gather(*(Relay(stage.pool, stage.publisher).turn() for _ in range(3)))

    while left := await Relay(stage.pool, stage.publisher).turn():
        published.append(left)
    assert sum(published) == 300
    assert await stage.publisher.queue_depth(QUEUE) == 300


async def test_what_is_not_confirmed_is_not_marked(stage: Stage, tenant: UUID) -> None:
    await waiting(stage, tenant, 5)
    await stage.publisher.close()

    assert await Relay(stage.pool, stage.publisher).turn() == 0
    assert await unpublished(stage, tenant) == 1
