"""A push that waited is judged again: its device may be gone, or somebody else's."""

from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from domain.clock import utc_now
from domain.delivery import DeliveryStatus
from domain.lanes import Channel, Priority
from domain.notification import Recipient
from domain.reasons import Reason
from fanout.batch import Batcher
from preferences.categories import Categories
from tests.builders import a_sender, an_item
from tests.integration.devices import a_device, a_user, an_app
from tracking.claim import Stale
from workers.judging import Judge

CHANGES = {
    "invalidated": ("UPDATE devices SET invalidated_at = now(), version = version + 1 WHERE id = $1", "device_gone"),
    "erased": ("DELETE FROM devices WHERE id = $1", "device_gone"),
    "left by its user": ("UPDATE devices SET user_id = NULL, version = version + 1 WHERE id = $1", "device_gone"),
    "seen": ("UPDATE devices SET last_seen_at = now() WHERE id = $1", None),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_a_push_to_a_device_that_is_no_longer_its_users_is_suppressed(
    batcher: Batcher, hot_pool: asyncpg.Pool, tenant: UUID, change: str
) -> None:
    app, ada = await an_app(hot_pool, tenant), await a_user(hot_pool, tenant, "ada")
    device = await a_device(hot_pool, tenant, app, user=ada)
    stale = await _stale(batcher, tenant, ada, device)
    statement, reason = CHANGES[change]
    await hot_pool.execute(statement, device)

    passed = await Judge(hot_pool, Categories())([stale])

    assert passed == (set() if reason else {stale.id})
    assert await _reason(hot_pool, stale.id) == (reason and Reason(reason))


async def test_a_strangers_device_that_has_got_a_user_is_judged_by_that_user(
    batcher: Batcher, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    device = await a_device(hot_pool, tenant, await an_app(hot_pool, tenant))
    stale = await _stale(batcher, tenant, None, device)
    bob = await a_user(hot_pool, tenant, "bob", channels={"push": False})
    await hot_pool.execute("UPDATE devices SET user_id = $2, version = version + 1 WHERE id = $1", device, bob)

    await Judge(hot_pool, Categories())([stale])

    assert await _reason(hot_pool, stale.id) is Reason.CHANNEL_OPT_OUT


async def test_a_strangers_device_that_was_erased_is_gone(
    batcher: Batcher, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    device = await a_device(hot_pool, tenant, await an_app(hot_pool, tenant))
    stale = await _stale(batcher, tenant, None, device)
    await hot_pool.execute("DELETE FROM devices WHERE id = $1", device)

    await Judge(hot_pool, Categories())([stale])

    assert await _reason(hot_pool, stale.id) is Reason.DEVICE_GONE


async def test_a_strangers_device_goes_on_at_its_new_version(
    batcher: Batcher, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    device = await a_device(hot_pool, tenant, await an_app(hot_pool, tenant))
    stale = await _stale(batcher, tenant, None, device)
    await hot_pool.execute("UPDATE devices SET version = 7 WHERE id = $1", device)

    passed = await Judge(hot_pool, Categories())([stale])

    assert passed == {stale.id}
    version = await hot_pool.fetchval("SELECT recipient_version FROM deliveries WHERE id = $1", stale.id)
    assert version == 7


async def _stale(batcher: Batcher, tenant: UUID, user: UUID | None, device: UUID) -> Stale:
    """A push to this device alone, as a claim finds it when something has changed."""
    item = an_item(a_sender(tenant), to=Recipient(device_id=device), channels=(Channel.PUSH,))
    accepted = await batcher.submit(item)
    return Stale(
        id=accepted.deliveries[0].id,
        notification_id=accepted.id,
        tenant_id=tenant,
        user_id=user,
        address_id=device,
        channel=Channel.PUSH,
        priority=Priority.NORMAL,
        category="general",
        attempt=0,
        expires_at=utc_now() + timedelta(hours=1),
    )


async def _reason(pool: asyncpg.Pool, delivery: UUID) -> Reason | None:
    row = await pool.fetchrow("SELECT status, reason FROM deliveries WHERE id = $1", delivery)
    if row["status"] != DeliveryStatus.SUPPRESSED.code:
        return None
    return Reason.of(row["reason"])
