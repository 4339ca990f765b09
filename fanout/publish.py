"""Outbox rows become messages: what accept publishes beside its answer, and what the relay publishes later."""

from collections.abc import Iterable
from uuid import UUID

from plumbing.broker.envelope import Envelope
from plumbing.broker.publisher import Publisher
from tracking.rows import OutboxRow


async def publish_now(publisher: Publisher, rows: Iterable[OutboxRow]) -> set[UUID]:
    """Publish these envelopes; the ids of those that RabbitMQ confirmed within 5 s. Never raises for its trouble.

    What is not confirmed stays in the outbox, where the relay finds it; a copy that arrived after all is harmless.
    """
    return await publisher.publish_work([enclose(row) for row in rows])


def enclose(row: OutboxRow) -> Envelope:
    """The message of one outbox row: ids only."""
    return Envelope(row.id, row.tenant_id, row.lane, tuple(row.delivery_ids))
