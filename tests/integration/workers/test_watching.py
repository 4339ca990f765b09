"""What the leader tells the alerts: the age of the outbox by lane, what is stuck, and nothing once another leads."""

from uuid import UUID

import asyncpg
import pytest

from domain.delivery import DeliveryStatus
from domain.lanes import Channel, Lane, Priority
from plumbing import metrics
from tests.integration.push.test_device_duties import led_by
from tests.integration.tracking.builders import person, recorded, records
from workers.watching import Watching

LANE = Lane(Channel.EMAIL, Priority.NORMAL)


class Depths:
    """A publisher that knows one queue with messages in it."""

    async def queue_depth(self, queue_name: str) -> int | None:
        """Seven in one lane; nobody answers for the others."""
        return 7 if queue_name == f"work.{LANE}" else None


@pytest.fixture
def watching() -> Watching:
    return Watching(Depths())  # type: ignore[arg-type]  # no more is asked of it


async def test_the_oldest_of_the_outbox_and_what_is_stuck_are_told(
    hot_pool: asyncpg.Pool, tenant: UUID, watching: Watching
) -> None:
    who = await person(hot_pool, tenant)
    await recorded(hot_pool, records(who))
    await hot_pool.execute(
        "UPDATE outbox SET published_at = NULL, available_at = now() - interval '90 s' WHERE tenant_id = $1", tenant
    )

    assert await watching.look(led_by(hot_pool)) is False  # type: ignore[arg-type]  # a leader of one

    assert metrics.OUTBOX_OLDEST_SECONDS.labels(lane=LANE)._value.get() >= 90
    assert metrics.QUEUE_READY.labels(lane=LANE)._value.get() == 7

    await hot_pool.execute(
        "UPDATE deliveries SET status = $2, lease_until = now() - interval '10 min' WHERE tenant_id = $1",
        tenant,
        DeliveryStatus.SENDING.code,
    )
    await hot_pool.execute(
        "UPDATE outbox SET published_at = now(), watch_at = now() - interval '20 min' WHERE tenant_id = $1", tenant
    )
    await watching.look(led_by(hot_pool))  # type: ignore[arg-type]  # a leader of one

    assert metrics.STUCK_SENDING._value.get() >= 1
    assert metrics.OVERDUE_SECONDS._value.get() >= 1200
    await hot_pool.execute("DELETE FROM outbox WHERE tenant_id = $1", tenant)
    await hot_pool.execute("DELETE FROM deliveries WHERE tenant_id = $1", tenant)


async def test_who_leads_no_more_takes_back_what_it_told(hot_pool: asyncpg.Pool, watching: Watching) -> None:
    await watching.look(led_by(hot_pool))  # type: ignore[arg-type]  # a leader of one

    watching.forget()

    assert metrics.QUEUE_READY.labels(lane=LANE)._value.get() == 0
    assert metrics.OVERDUE_SECONDS._value.get() == 0
    assert metrics.STUCK_SENDING._value.get() == 0
