"""Short ways to say what a test of webhooks needs: an endpoint that listens, a message, what lies in the tables."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import asyncpg

from domain.delivery import DeliveryStatus
from domain.webhooks import TOLD
from plumbing.secrets import Box
from plumbing.signatures import new_secret, read_secret
from tests.integration.tracking.builders import finished, person, recorded, records
from tests.integration.webhooks.receiver import Receiver
from tracking.claim import claim
from tracking.finish import finish
from tracking.webhooks import endpoints, replaying
from tracking.webhooks.endpoints import Webhook
from workers.webhooks.courier import Courier


class Telling:
    """What a test of the courier works with."""

    def __init__(self, pool: asyncpg.Pool, tenant: UUID, receiver: Receiver, box: Box, courier: Courier) -> None:
        self.pool = pool
        self.tenant = tenant
        self.receiver = receiver
        self.box = box
        self.courier = courier
        self.secret = new_secret()

    async def webhook(
        self, *, statuses: Sequence[DeliveryStatus] = TOLD, url: str | None = None, tenant: UUID | None = None
    ) -> Webhook:
        """A new webhook, of this test's secret."""
        whose = tenant or self.tenant
        sealed = self.box.seal(whose, read_secret(self.secret))
        made = await endpoints.add(
            self.pool, whose, url=url or self.receiver.url, statuses=statuses, secret_sealed=sealed
        )
        assert made is not None
        return made

    async def message(self, webhook: Webhook) -> UUID:
        """A test event for it."""
        return await replaying.note_test(self.pool, webhook.tenant_id, webhook.id)

    async def claimed(self, count: int = 1) -> list[Any]:
        """Deliveries under way at a worker."""
        ids = await recorded(self.pool, records(await person(self.pool, self.tenant), count))
        return (await claim(self.pool, ids, lease_s=30)).claimed

    async def sent(self) -> UUID:
        """A delivery that was sent just now."""
        (one,) = await self.claimed()
        await finish(self.pool, [finished(one)])
        return UUID(int=one.id.int)

    async def noted(self) -> list[tuple[UUID, str]]:
        """What this tenant is to be told: deliveries and statuses."""
        rows = await self.pool.fetch(
            "SELECT delivery_id, status FROM webhook_messages WHERE tenant_id = $1 AND delivery_id IS NOT NULL"
            " ORDER BY at, status",
            self.tenant,
        )
        return [(row["delivery_id"], str(DeliveryStatus.of(row["status"]))) for row in rows]

    async def row(self, message: UUID) -> asyncpg.Record:
        """A message as it lies there."""
        return await self.pool.fetchrow("SELECT * FROM webhook_messages WHERE id = $1", message)

    async def make_due(self) -> None:
        """As if the next attempts' time had come."""
        await self.pool.execute(
            "UPDATE webhook_messages SET next_attempt_at = now() WHERE tenant_id = $1 AND next_attempt_at IS NOT NULL",
            self.tenant,
        )

    async def again(self, webhook: Webhook) -> Webhook:
        """The webhook as it stands now."""
        found = await endpoints.get(self.pool, webhook.tenant_id, webhook.id)
        assert found is not None
        return found
