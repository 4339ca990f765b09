"""Broadcasts that are taken back: planning stops, what waits is withdrawn, what is gone is gone."""

from uuid import UUID, uuid4

import asyncpg

from campaigns import broadcasts
from campaigns.broadcasts import BroadcastStatus
from campaigns.planner import Planner
from domain.delivery import DeliveryStatus
from fanout.accept import Intake
from tests.integration.campaigns.crowd import a_topic, again, plan_all, planned, publish, subscribers
from tracking import campaigns
from tracking.claim import claim
from tracking.events import EventKind


async def test_cancelled_midway_nothing_more_is_planned_and_what_waits_is_withdrawn(
    intake: Intake, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    await a_topic(hot_pool, tenant)
    await subscribers(hot_pool, tenant, 100)
    broadcast, planner = await publish(intake, tenant), Planner(intake, batch=20)
    for _ in range(2):
        await planner.turn()

    stopped = await broadcasts.cancel(hot_pool, tenant, broadcast.id)
    assert stopped is not None
    assert (stopped.status, stopped.planned, stopped.finished_at) == (BroadcastStatus.CANCELLED, 40, None)
    await plan_all(planner)

    rows = await planned(hot_pool, broadcast)
    assert [row["status"] for row in rows] == [DeliveryStatus.CANCELLED.code] * 40
    now = await again(hot_pool, broadcast)
    assert (now.status, now.planned) == (BroadcastStatus.CANCELLED, 40)
    assert now.finished_at is not None
    assert await hot_pool.fetchval("SELECT count(*) FROM outbox WHERE tenant_id = $1", tenant) == 0
    told = await hot_pool.fetchval(
        "SELECT count(*) FROM events e JOIN notifications n ON n.campaign_id = $1 AND e.delivery_id > n.id"
        " AND e.delivery_id <= (left(n.id::text, 32) || 'ffff')::uuid WHERE e.kind = $2",
        broadcast.id,
        EventKind.CANCELLED.code,
    )
    assert told == 40


async def test_what_is_under_way_or_was_sent_is_left_and_what_a_mailbox_keeps_is_withdrawn(
    intake: Intake, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    await a_topic(hot_pool, tenant)
    await subscribers(hot_pool, tenant, 5)
    broadcast, planner = await publish(intake, tenant), Planner(intake)
    await plan_all(planner)
    ids = await hot_pool.fetchval("SELECT delivery_ids FROM outbox WHERE tenant_id = $1", tenant)
    await hot_pool.execute("UPDATE deliveries SET status = $2 WHERE id = $1", ids[0], DeliveryStatus.SENT.code)
    await hot_pool.execute("UPDATE deliveries SET status = $2 WHERE id = $1", ids[1], DeliveryStatus.SENDING.code)

    await hot_pool.execute("UPDATE deliveries SET status = $2 WHERE id = $1", ids[2], DeliveryStatus.STORED.code)
    await hot_pool.execute(
        """INSERT INTO mailbox (delivery_id, tenant_id, device_id, wake, payload, not_before, expires_at)
           SELECT id, tenant_id, address_id, 10, '{}', now(), expires_at FROM deliveries WHERE id = $1""",
        ids[2],
    )

    await broadcasts.cancel(hot_pool, tenant, broadcast.id)
    await plan_all(planner)

    assert await hot_pool.fetchval("SELECT count(*) FROM mailbox WHERE tenant_id = $1", tenant) == 0
    async with hot_pool.acquire() as conn:
        assert await campaigns.counts(conn, broadcast.id) == {
            DeliveryStatus.SENT: 1,
            DeliveryStatus.SENDING: 1,
            DeliveryStatus.CANCELLED: 3,
        }
    noted = await hot_pool.fetchval(
        "SELECT count(*) FROM notifications WHERE campaign_id = $1 AND cancelled_at IS NOT NULL", broadcast.id
    )
    assert noted == 5
    assert (await claim(hot_pool, ids, lease_s=5)).claimed == []


async def test_cancelling_twice_is_cancelling_once_and_before_the_planning_nothing_was_made(
    intake: Intake, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    await a_topic(hot_pool, tenant)
    await subscribers(hot_pool, tenant, 5)
    broadcast, planner = await publish(intake, tenant), Planner(intake)

    first = await broadcasts.cancel(hot_pool, tenant, broadcast.id)
    await plan_all(planner)
    second = await broadcasts.cancel(hot_pool, tenant, broadcast.id)

    assert first is not None
    assert second is not None
    assert second.cancelled_at == first.cancelled_at
    assert second.finished_at is not None
    assert await planned(hot_pool, broadcast) == []


async def test_nobody_cancels_what_belongs_to_another_tenant(
    intake: Intake, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    await a_topic(hot_pool, tenant)
    broadcast = await publish(intake, tenant)

    assert await broadcasts.cancel(hot_pool, uuid4(), broadcast.id) is None

    assert (await again(hot_pool, broadcast)).status is BroadcastStatus.RUNNING
