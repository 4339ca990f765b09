"""Accept of pushes: one delivery per device, judged by the preferences of whoever it belongs to."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from domain.delivery import DeliveryStatus
from domain.errors import RequestRefused
from domain.ids import notification_of
from domain.lanes import Channel
from domain.notification import Recipient
from domain.reasons import Reason
from fanout.accept import Intake, peek
from fanout.batch import Batcher
from fanout.cases import Accepted
from plumbing import push_metrics
from plumbing.cache import Cache
from plumbing.metrics import REGISTRY
from preferences.model import MAX_DEVICES
from tests.builders import a_key, a_sender, an_item
from tests.integration.devices import a_device, a_user, an_app

PUSH = (Channel.PUSH,)


async def _push(batcher: Batcher, tenant: UUID, **to: Any) -> Accepted:
    return await batcher.submit(an_item(a_sender(tenant), to=Recipient(**to), channels=PUSH))


async def test_a_user_gets_one_delivery_for_each_device_and_the_ordinals_go_on_over_channels(
    batcher: Batcher, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    app, ada = await an_app(hot_pool, tenant), await a_user(hot_pool, tenant, "ada")
    devices = sorted([await a_device(hot_pool, tenant, app, user=ada) for _ in range(3)])
    await a_device(hot_pool, tenant, app, user=ada, is_gone=True)
    await a_device(hot_pool, tenant, app, user=ada, provider="fcm")

    to = Recipient(user="ada", email="ada@example.com")
    accepted = await batcher.submit(an_item(a_sender(tenant), to=to, channels=(Channel.PUSH, Channel.EMAIL)))

    assert [each.address_id for each in accepted.deliveries[:3]] == devices[::-1]
    assert [each.channel for each in accepted.deliveries] == [*[Channel.PUSH] * 3, Channel.EMAIL]
    assert [each.id.int & 0xFFFF for each in accepted.deliveries] == [1, 2, 3, 4]
    assert accepted.answer()["deliveries"][0]["device_id"] == devices[2]
    assert {notification_of(each.id) for each in accepted.deliveries} == {accepted.id}
    envelope = await hot_pool.fetchval(
        "SELECT delivery_ids FROM outbox WHERE tenant_id = $1 AND channel = $2", tenant, Channel.PUSH.code
    )
    assert envelope == [each.id for each in accepted.deliveries[:3]]


async def test_of_many_devices_the_newest_hundred_get_it(
    batcher: Batcher, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    app, ada = await an_app(hot_pool, tenant), await a_user(hot_pool, tenant, "ada")
    devices = sorted([await a_device(hot_pool, tenant, app, user=ada) for _ in range(MAX_DEVICES + 2)])

    accepted = await _push(batcher, tenant, user="ada")

    assert {each.address_id for each in accepted.deliveries} == set(devices[2:])


async def test_without_a_device_push_is_suppressed_and_the_gate_says_what_it_counted(
    intake: Intake, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    app, ada = await an_app(hot_pool, tenant), await a_user(hot_pool, tenant, "ada")
    await a_device(hot_pool, tenant, app, user=ada, provider="fcm")

    item = an_item(a_sender(tenant), to=Recipient(user="ada"), channels=PUSH)
    case = await peek(intake, item, now=datetime.now(UTC))

    (delivery,) = case.deliveries
    assert (delivery.status, delivery.reason) == (DeliveryStatus.SUPPRESSED, Reason.NO_DEVICE)
    spoken = next(one for one in case.decisions if one.reason is Reason.NO_DEVICE)
    assert spoken.inputs == {"devices": 0, "foreign_devices": 1}


async def test_a_device_named_by_token_or_id_is_judged_by_the_preferences_of_its_user(
    batcher: Batcher, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    app = await an_app(hot_pool, tenant)
    ada = await a_user(hot_pool, tenant, "ada", channels={"push": False})
    hers = await a_device(hot_pool, tenant, app, user=ada, token="hers")
    strange = await a_device(hot_pool, tenant, app, token="nobody's")

    refused = [await _push(batcher, tenant, device_token="hers"), await _push(batcher, tenant, device_id=hers)]
    taken = [await _push(batcher, tenant, device_token="nobody's"), await _push(batcher, tenant, device_id=strange)]

    assert [each.reason for each in refused] == [Reason.CHANNEL_OPT_OUT] * 2
    assert [each.deliveries[0].address_id for each in taken] == [strange] * 2
    rows = await hot_pool.fetch(
        "SELECT user_id, recipient_version FROM deliveries WHERE id = ANY($1)",
        [each.deliveries[0].id for each in (*refused, *taken)],
    )
    assert [row["user_id"] for row in rows] == [ada, ada, None, None]
    assert {row["recipient_version"] for row in rows} == {1}


async def test_an_unknown_device_is_refused_and_a_gone_one_suppressed(
    batcher: Batcher, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    app = await an_app(hot_pool, tenant)
    await a_device(hot_pool, tenant, app, token="gone", is_gone=True)

    with pytest.raises(RequestRefused, match="unknown_recipient"):
        await _push(batcher, tenant, device_token="never seen")
    await a_device(hot_pool, tenant, app, token="elsewhere", provider="fcm")
    gone = await _push(batcher, tenant, device_token="gone")
    foreign = await _push(batcher, tenant, device_token="elsewhere")

    assert gone.reason is Reason.DEVICE_GONE
    assert foreign.reason is Reason.NO_DEVICE


async def test_a_device_of_another_tenant_is_unknown(batcher: Batcher, hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    other = await hot_pool.fetchval(
        "INSERT INTO tenants (id, name) VALUES (gen_random_uuid(), gen_random_uuid()::text) RETURNING id"
    )
    device = await a_device(hot_pool, other, await an_app(hot_pool, other), token="theirs")

    for to in ({"device_token": "theirs"}, {"device_id": device}):
        with pytest.raises(RequestRefused, match="unknown_recipient"):
            await _push(batcher, tenant, **to)


async def test_a_device_that_was_cached_is_judged_anew_when_its_version_has_grown(
    batcher: Batcher, hot_pool: asyncpg.Pool, tenant: UUID, cache: Cache
) -> None:
    app = await an_app(hot_pool, tenant)
    device = await a_device(hot_pool, tenant, app, token="leaving")
    for _ in range(2):
        assert (await _push(batcher, tenant, device_token="leaving")).reason is None

    await hot_pool.execute("UPDATE devices SET invalidated_at = now(), version = version + 1 WHERE id = $1", device)

    assert (await _push(batcher, tenant, device_token="leaving")).reason is Reason.DEVICE_GONE


async def test_two_devices_of_one_user_have_dedupe_windows_of_their_own(
    batcher: Batcher, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    app, ada = await an_app(hot_pool, tenant), await a_user(hot_pool, tenant, "ada")
    devices = [await a_device(hot_pool, tenant, app, user=ada) for _ in range(2)]
    sender = a_sender(tenant)

    answers = [
        await batcher.submit(an_item(sender, to=Recipient(device_id=device), channels=PUSH, dedupe_key="one"))
        for device in (*devices, devices[0])
    ]

    assert [each.reason for each in answers] == [None, None, Reason.DUPLICATE]


async def test_what_came_too_late_is_suppressed_and_counted_and_is_told_so_again(
    batcher: Batcher, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    device = await a_device(hot_pool, tenant, await an_app(hot_pool, tenant))
    name, labels = "apns_notifications_expired_total", {"where": str(push_metrics.ExpiredWhere.INGEST)}
    before = REGISTRY.get_sample_value(name, labels) or 0.0

    item = an_item(a_sender(tenant), a_key("late"), to=Recipient(device_id=device), channels=PUSH, expires_in_s=0)
    first, again = await batcher.submit(item), await batcher.submit(item)

    assert (first.reason, again.reason) == (Reason.EXPIRED, Reason.EXPIRED)
    assert again.replayed
    assert (REGISTRY.get_sample_value(name, labels) or 0.0) - before == 1
