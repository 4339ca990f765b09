"""From its lane to the device and back a push costs a fixed number of messages, and of questions to the servers."""

from uuid import UUID

import asyncpg
import pytest

from domain.delivery import DeliveryStatus
from domain.receipts import ReceiptKind
from fanout.publish import publish_now
from tests.integration.counts.conftest import Tapped, assert_no_dearer
from tests.integration.push.people import an_owner, kept, pushes
from tests.integration.push.stage import PushStage
from tests.integration.tracking.builders import status_of
from tests.integration.workers.stage import eventually

TIMES = 3
"""Twice to warm up, once to count."""


@pytest.mark.usefixtures("queues_are_empty")
@pytest.mark.parametrize(("name", "size"), [("a push from lane to device", 1), ("fifty pushes in one envelope", 50)])
async def test_a_push_on_its_way(
    tapped_servers: Tapped, hot_pool: asyncpg.Pool, tenant: UUID, name: str, size: int
) -> None:
    servers = tapped_servers
    stage = PushStage(servers.pool, servers.amqp.url, servers.publisher, servers.cache)
    owner = await an_owner(hot_pool, tenant)

    async with stage.gateway() as gateway, stage.worker():
        await gateway.login(owner.device)
        for _ in range(TIMES):
            made = pushes(owner, size)
            ids = await kept(hot_pool, made)
            before = servers.spent
            await publish_now(servers.publisher, made.outbox)
            await _all_are(hot_pool, ids, DeliveryStatus.SENT)
            await gateway.report(ReceiptKind.DELIVERED, *((owner.device, one) for one in ids))
            await _all_are(hot_pool, ids, DeliveryStatus.DELIVERED)
            after = servers.spent

    assert_no_dearer(name, before, after)


async def _all_are(pool: asyncpg.Pool, ids: list[UUID], status: DeliveryStatus) -> None:
    async def are() -> bool:
        return {await status_of(pool, one) for one in ids} == {status}

    await eventually(are, what=f"{len(ids)} pushes {status}")
