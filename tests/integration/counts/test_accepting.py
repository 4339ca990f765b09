"""Accept asks each server a fixed number of times for a batch, however many requests it holds."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from uuid import UUID

import asyncpg
import pytest

from domain.lanes import Channel
from domain.notification import Content, Recipient
from fanout.accept import Intake
from fanout.batch import Batcher
from fanout.limits import Policy
from fanout.publish import publish_now
from plumbing.limiter import Limiter
from plumbing.secrets import Seal
from preferences.categories import Categories
from templates.catalog import Catalog
from tests.builders import SECRET_KEY, a_key, a_request, a_sender, an_item
from tests.integration.counts.conftest import Tapped, assert_no_dearer
from tests.integration.devices import a_device, a_user, an_app

TIMES = 3
"""Twice to warm up, once to count."""

NO_LIMITS = Policy(key_per_s=1_000_000, key_burst=1_000_000, user_per_hour=1_000_000, user_burst=1_000_000)
PUSH = (Channel.PUSH,)
Sending = Callable[[Batcher, int], Awaitable[object]]


async def count_sending(name: str, servers: Tapped, send: Sending) -> None:
    """Open a batcher, send, and close it, so that all is done that was left for later; the last time is counted."""
    intake = Intake(
        servers.pool,
        servers.cache,
        Limiter(servers.cache),
        Seal(SECRET_KEY),
        Catalog.shipped(),
        Categories(),
        NO_LIMITS,
    )
    for turn in range(TIMES):
        before = servers.spent
        batcher = Batcher(intake, partial(publish_now, servers.publisher))
        batcher.open()
        await send(batcher, turn)
        await batcher.close()
    assert_no_dearer(name, before, servers.spent)


@pytest.fixture
async def user(hot_pool: asyncpg.Pool, tenant: UUID) -> Recipient:
    """A user with an address and a device."""
    ada = await a_user(hot_pool, tenant, "ada")
    await a_device(hot_pool, tenant, await an_app(hot_pool, tenant), user=ada)
    return Recipient(user="ada")


async def test_one_to_a_user_and_an_address(tapped_servers: Tapped, user: Recipient, tenant: UUID) -> None:
    item = an_item(a_sender(tenant), to=Recipient(user="ada", email="ada@example.com"))

    await count_sending("one to a user and an address", tapped_servers, lambda batcher, _: batcher.submit(item))


async def test_one_to_an_address_alone(tapped_servers: Tapped, tenant: UUID) -> None:
    item = an_item(a_sender(tenant))

    await count_sending("one to an address alone", tapped_servers, lambda batcher, _: batcher.submit(item))


async def test_one_push_to_a_users_device(tapped_servers: Tapped, user: Recipient, tenant: UUID) -> None:
    item = an_item(a_sender(tenant), to=user, channels=PUSH)

    await count_sending("one push to a user's device", tapped_servers, lambda batcher, _: batcher.submit(item))


async def test_one_push_to_a_user_who_is_not_cached(
    tapped_servers: Tapped, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    app = await an_app(hot_pool, tenant)
    for turn in range(TIMES):
        await a_device(hot_pool, tenant, app, user=await a_user(hot_pool, tenant, f"cold-{turn}"))

    await count_sending(
        "one push to a user who is not cached",
        tapped_servers,
        lambda batcher, turn: batcher.submit(
            an_item(a_sender(tenant), to=Recipient(user=f"cold-{turn}"), channels=PUSH)
        ),
    )


async def test_one_push_to_a_device(tapped_servers: Tapped, hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    device = await a_device(hot_pool, tenant, await an_app(hot_pool, tenant))
    item = an_item(a_sender(tenant), to=Recipient(device_id=device), channels=PUSH)

    await count_sending("one push to a device", tapped_servers, lambda batcher, _: batcher.submit(item))


async def test_one_with_an_idempotency_key(tapped_servers: Tapped, tenant: UUID) -> None:
    sender = a_sender(tenant)

    await count_sending(
        "one with an Idempotency-Key",
        tapped_servers,
        lambda batcher, turn: batcher.submit(an_item(sender, a_key(f"{tenant} {turn}"))),
    )


@pytest.mark.parametrize(("name", "size"), [("fifteen at once", 15), ("a hundred at once", 100)])
async def test_many_that_share_a_batch(tapped_servers: Tapped, tenant: UUID, name: str, size: int) -> None:
    items = [an_item(a_sender(tenant), to=f"someone-{n}@example.com") for n in range(size)]

    await count_sending(
        name, tapped_servers, lambda batcher, _: asyncio.gather(*(batcher.submit(item) for item in items))
    )


@pytest.mark.parametrize(("name", "size"), [("a bulk of fifteen", 15), ("a bulk of a thousand", 1000)])
async def test_a_bulk(tapped_servers: Tapped, user: Recipient, tenant: UUID, name: str, size: int) -> None:
    sender = a_sender(tenant)
    requests = [a_request(user, channels=PUSH, content=Content(title=f"No. {n}", body="B")) for n in range(size)]

    await count_sending(
        name,
        tapped_servers,
        lambda batcher, turn: batcher.submit_bulk(sender, requests, a_key(f"{tenant} {turn}")),
    )
