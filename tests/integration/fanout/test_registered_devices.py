"""Registering and accepting together: what a device has become holds for the very next push, cached or not."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from domain.delivery import DeliveryStatus
from domain.errors import RequestRefused
from domain.lanes import Channel
from domain.notification import Recipient
from fanout.batch import Batcher
from fanout.cases import Accepted
from plumbing.cache import Cache
from tests.builders import a_sender, an_item
from tests.integration.push.registry import Registry, open_registry


@pytest.fixture
async def registry(hot_pool: asyncpg.Pool, cache: Cache, tenant: UUID) -> AsyncIterator[Registry]:
    async with open_registry(hot_pool, cache, tenant) as registry:
        registry.key = await registry.app()
        yield registry


async def reached(batcher: Batcher, registry: Registry, **to: Any) -> list[str]:
    """The devices that a push to this recipient is queued for now."""
    item = an_item(a_sender(registry.tenant), to=Recipient(**to), channels=(Channel.PUSH,), collapse_id=None)
    accepted: Accepted = await batcher.submit(item)
    return [str(each.address_id) for each in accepted.deliveries if each.status is DeliveryStatus.QUEUED]


async def patch(registry: Registry, device: str, **changes: Any) -> None:
    answer = await registry.client.patch(f"/api/v1/devices/{device}", json=changes)
    assert answer.status_code == 200, answer.text


async def test_the_next_push_knows_what_became_of_a_device(batcher: Batcher, registry: Registry) -> None:
    one = await registry.register(user="ada")
    device = one["device_id"]
    assert await reached(batcher, registry, user="ada") == [device]

    two = await registry.register(user="ada")
    assert await reached(batcher, registry, user="ada") == [two["device_id"], device]
    await patch(registry, device, is_valid=False)
    assert await reached(batcher, registry, user="ada") == [two["device_id"]]
    await patch(registry, device, is_valid=True)
    assert await reached(batcher, registry, user="ada") == [two["device_id"], device]
    await patch(registry, device, user="bea")
    assert await reached(batcher, registry, user="ada") == [two["device_id"]]
    assert await reached(batcher, registry, user="bea") == [device]
    await registry.client.delete(f"/api/v1/devices/{device}")
    assert await reached(batcher, registry, user="bea") == []


async def test_a_token_means_its_device_from_registration_to_refresh(batcher: Batcher, registry: Registry) -> None:
    one = await registry.register(user="ada")
    token = one["token"]
    assert await reached(batcher, registry, device_token=token) == [one["device_id"]]
    assert await reached(batcher, registry, device_token=token.upper()) == [one["device_id"]]

    new = (await registry.register(device_id=one["device_id"]))["token"]

    assert await reached(batcher, registry, device_token=new) == [one["device_id"]]
    assert await _is_unknown(batcher, registry, token)


async def test_a_token_without_a_user_is_followed_too(batcher: Batcher, registry: Registry) -> None:
    one = await registry.register()
    assert await reached(batcher, registry, device_token=one["token"]) == [one["device_id"]]

    await patch(registry, one["device_id"], is_valid=False)
    assert await reached(batcher, registry, device_token=one["token"]) == []
    await registry.register(token=one["token"], user="ada")
    assert await reached(batcher, registry, device_token=one["token"]) == [one["device_id"]]
    await registry.client.delete(f"/api/v1/devices/{one['device_id']}")
    assert await _is_unknown(batcher, registry, one["token"])


async def _is_unknown(batcher: Batcher, registry: Registry, token: str) -> bool:
    """Whether a push to this token reaches nobody: refused, or suppressed."""
    try:
        return await reached(batcher, registry, device_token=token) == []
    except RequestRefused as refusal:
        return refusal.reason == "unknown_recipient"
