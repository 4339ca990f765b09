"""Taking a push back over the API: its letter goes, and whoever may have it is asked to give it up."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg
import httpx2

from api.app import create_app
from channels.push import mailbox, wire
from domain.delivery import DeliveryStatus
from tests.integration.api.doors import SECRET, FakeBatcher, KeyRing, make_house
from tests.integration.push.people import a_letter, an_owner, kept, pushes
from tests.integration.tracking.builders import status_of


@dataclass
class Nodes:
    """Gateways that take down what all of them are told."""

    told: list[bytes] = field(default_factory=list)

    async def publish_to_node(self, queue_name: str, bodies: Sequence[bytes]) -> list[bool]:
        raise AssertionError("nobody knows who has it")

    async def publish_to_all_nodes(self, body: bytes) -> bool:
        self.told.append(body)
        return True


async def test_a_cancelled_push_leaves_the_mailbox_and_is_withdrawn_from_devices(
    hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    owner = await an_owner(hot_pool, tenant, devices=2)
    made = pushes(owner, status=DeliveryStatus.STORED)
    stored, sent = await kept(hot_pool, made)
    await hot_pool.execute("UPDATE deliveries SET status = $2 WHERE id = $1", sent, DeliveryStatus.SENT.code)
    async with hot_pool.acquire() as conn, conn.transaction():
        await mailbox.store(conn, [a_letter(owner, stored)])
    nodes, ring = Nodes(), KeyRing()
    ring.add(SECRET, tenant_id=tenant)
    app = create_app(make_house(FakeBatcher(), ring, hot_pool=hot_pool, nodes=nodes))

    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(
        transport=transport, base_url="http://api", headers={"authorization": f"Bearer {SECRET}"}
    ) as client:
        answer = await client.delete(f"/api/v1/notifications/{made.notifications[0].id}")

    assert [each["outcome"] for each in answer.json()["deliveries"]] == ["withdrawn", "already_sent"]
    assert await status_of(hot_pool, stored) is DeliveryStatus.CANCELLED
    assert await hot_pool.fetchval("SELECT count(*) FROM mailbox WHERE delivery_id = $1", stored) == 0
    [body] = nodes.told
    assert sorted(wire.decode(body).withdrawals) == sorted(
        (device.bytes, [delivery.bytes]) for device, delivery in zip(owner.devices, (stored, sent), strict=True)
    )
