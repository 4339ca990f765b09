"""Registry and gateway together: who is told where to connect, and who must log in again after a change."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from websockets.exceptions import ConnectionClosed

from plumbing.cache import Cache
from plumbing.secrets import new_device_token
from tests.integration.gateway.station import Phone, Running, Station
from tests.integration.push.registry import Registry, open_registry


@pytest.fixture
async def registry(
    hot_pool: asyncpg.Pool, cache: Cache, tenant: UUID, station: Station, node: Running
) -> AsyncIterator[Registry]:
    async with open_registry(hot_pool, cache, tenant, nodes=station.publisher) as registry:
        registry.key = await registry.app()
        yield registry


async def connected(registry: Registry, node: Running, **facts: Any) -> tuple[Phone, dict[str, Any]]:
    """A device that has registered by the API and is connected."""
    told = await registry.register(**facts)
    phone = Phone(registry.key, UUID(told["device_id"]), told["token"])
    return await phone.log_in(node.url), told


async def refusal(phone: Phone, url: str) -> int:
    """The code with which a login is refused."""
    with pytest.raises(ConnectionClosed):
        await phone.log_in(url)
    return (await phone.closed())[0]


async def test_a_registered_device_is_told_where_to_connect(registry: Registry, node: Running) -> None:
    phone, told = await connected(registry, node, user="ada")

    assert node.url in told["gateways"]
    assert phone.greeting["device_id"] == told["device_id"]
    await phone.hang_up()


async def test_connecting_is_seen(registry: Registry, node: Running) -> None:
    phone, told = await connected(registry, node)
    await registry.pool.execute("UPDATE devices SET last_seen_at = NULL WHERE id = $1", phone.device)
    await phone.hang_up()

    again = await phone.log_in(node.url)

    async with asyncio.timeout(30):
        while (await registry.get(f"/devices/{told['device_id']}")).json()["last_seen_at"] is None:
            await asyncio.sleep(0.05)
    await again.hang_up()


@pytest.mark.parametrize(("way", "code"), [("suspend", 4410), ("erase", 4401)])
async def test_a_device_that_is_suspended_or_erased_is_sent_away(
    registry: Registry, node: Running, way: str, code: int
) -> None:
    phone, told = await connected(registry, node)
    path = f"/api/v1/devices/{told['device_id']}"

    if way == "suspend":
        await registry.client.patch(path, json={"is_valid": False})
    else:
        await registry.client.delete(path)

    assert (await phone.closed())[0] == 4500
    assert await refusal(phone, node.url) == code


async def test_a_refreshed_device_connects_with_its_new_token_only(registry: Registry, node: Running) -> None:
    phone, told = await connected(registry, node)
    new = new_device_token()

    await registry.register(device_id=told["device_id"], token=new)

    assert (await phone.closed())[0] == 4500
    assert await refusal(phone, node.url) == 4401
    again = await Phone(registry.key, phone.device, new).log_in(node.url)
    assert again.greeting["device_id"] == told["device_id"]
    await again.hang_up()


async def test_a_restored_device_connects_again(registry: Registry, node: Running) -> None:
    phone, told = await connected(registry, node)
    path = f"/api/v1/devices/{told['device_id']}"
    await registry.client.patch(path, json={"is_valid": False})
    await phone.closed()
    assert await refusal(phone, node.url) == 4410

    await registry.client.patch(path, json={"is_valid": True})

    await (await phone.log_in(node.url)).hang_up()
