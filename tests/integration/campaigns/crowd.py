"""Subscribers for tests, one or ten thousand; publications to them, and what was planned for each."""

from typing import Any
from uuid import UUID

import asyncpg

from campaigns import broadcasts
from campaigns.broadcasts import Broadcast
from campaigns.planner import Planner
from campaigns.publication import published
from domain.lanes import Channel
from domain.notification import Content, NotificationRequest, PushParts, Recipient
from fanout.accept import Intake
from fanout.cases import IdempotencyKey, Sender
from tests.builders import a_sender
from tests.integration.devices import an_app

TOPIC = "news.sport"
_DEVICES = """
WITH made AS (
  INSERT INTO devices (id, tenant_id, app_id, bundle_id, token_hash, platform)
  SELECT gen_random_uuid(), $1, $2, 'com.example.demo', sha256(gen_random_uuid()::text::bytea), 'web'
  FROM generate_series(1, $3) RETURNING id)
INSERT INTO topic_subscriptions (device_id, topic, tenant_id) SELECT id, $4, $1 FROM made RETURNING device_id
"""
_PLANNED = """
SELECT d.address_id, d.status, d.reason, d.envelope_id, n.id, n.data, n.collapse_id, n.expires_at, n.created_at,
  n.decisions
FROM notifications n JOIN deliveries d ON d.id > n.id AND d.id <= (left(n.id::text, 32) || 'ffff')::uuid
WHERE n.campaign_id = $1 ORDER BY d.address_id
"""


async def a_topic(pool: asyncpg.Pool, tenant: UUID, name: str = TOPIC, *, storage: str = "most_recent") -> str:
    """A topic of this tenant."""
    await pool.execute("INSERT INTO topics (tenant_id, name, storage) VALUES ($1, $2, $3)", tenant, name, storage)
    return name


async def subscribers(pool: asyncpg.Pool, tenant: UUID, count: int, topic: str = TOPIC) -> list[UUID]:
    """So many devices of a new app, without users, subscribed to a topic that is there."""
    app = await an_app(pool, tenant)
    rows = await pool.fetch(_DEVICES, tenant, app, count, topic)
    return sorted(row["device_id"] for row in rows)


async def subscribe(pool: asyncpg.Pool, tenant: UUID, *devices: UUID, topic: str = TOPIC) -> None:
    """Put devices on a topic, now."""
    await pool.executemany(
        "INSERT INTO topic_subscriptions (device_id, topic, tenant_id) VALUES ($1, $2, $3)",
        [(device, topic, tenant) for device in devices],
    )


async def publish(
    intake: Intake,
    tenant: UUID,
    topic: str = TOPIC,
    *,
    key: IdempotencyKey | None = None,
    sender: Sender | None = None,
    **wishes: Any,
) -> Broadcast:
    """A publication, as the route makes it."""
    content = Content(push=PushParts({"aps": {"alert": "Goal!"}}))
    request = NotificationRequest(Recipient(), **{"content": content, "channels": (Channel.PUSH,), **wishes})
    category = await intake.categories.get(intake.pool, tenant, request.category or "general")
    storage = await broadcasts.storage_of(intake.pool, tenant, topic)
    assert storage is not None
    made = published(request, topic, category, storage=storage)
    broadcast, _ = await broadcasts.create(intake.pool, sender or a_sender(tenant), topic, made, key)
    return broadcast


async def plan_all(planner: Planner) -> int:
    """Let the planner work until nothing is left to do; how many devices it planned."""
    planned = 0
    while done := await planner.turn():
        planned += done
    return planned


async def planned(pool: asyncpg.Pool, broadcast: Broadcast) -> list[asyncpg.Record]:
    """What was planned of it, by device."""
    rows: list[asyncpg.Record] = await pool.fetch(_PLANNED, broadcast.id)
    return rows


async def again(pool: asyncpg.Pool, broadcast: Broadcast) -> Broadcast:
    """The broadcast as it stands now."""
    found = await broadcasts.get(pool, broadcast.tenant_id, broadcast.id)
    assert found is not None
    return found
