"""A device and its push miss each other by a hair: each order of events, made to happen, ends with the push at hand."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import pytest
from redis.asyncio import Redis

from channels.push import mailbox
from channels.push.letters import Letter
from channels.push.mailbox import Wanted
from domain.delivery import DeliveryStatus
from domain.receipts import ReceiptKind
from fanout.publish import publish_now
from plumbing.cache import Cache
from tests.integration.push.fleet import Bridge
from tests.integration.push.people import an_owner, pushes
from tests.integration.push.stage import FakeGateway, PushStage
from tests.integration.workers.stage import eventually

S = DeliveryStatus


async def read_mailbox(push: PushStage, device: UUID) -> list[UUID]:
    """What a gateway finds for a device that has just said hello."""
    async with push.pool.acquire() as conn:
        pages = await mailbox.page(conn, [Wanted(device)])
    return [letter.delivery_id for letter in pages[device]]


async def is_told(gateway: FakeGateway, *devices: UUID) -> None:
    """Wait until the gateway was told to look into these devices' mailboxes."""

    async def told() -> bool:
        return set(devices) <= set(gateway.drains)

    await eventually(told, what="the hint")


async def test_a_device_that_logs_in_and_reads_before_the_letter_is_committed_is_told_afterwards(
    push: PushStage, tenant: UUID
) -> None:
    owner = await an_owner(push.pool, tenant)
    found: list[UUID] = []

    async with push.gateway() as gateway:

        async def keep_while_it_logs_in(conn: asyncpg.Connection, letters: Sequence[Letter]) -> Any:
            ends = await crew.keep(conn, letters)
            await gateway.login(owner.device)
            found.extend(await read_mailbox(push, owner.device))
            return ends

        crew = push.crew()
        async with push.worker(replace(crew, keep=keep_while_it_logs_in)):
            [one] = await push.accept(pushes(owner))
            await push.reaches(one, S.STORED)
            await is_told(gateway, owner.device)

    assert found == [], "it read before the commit, and saw nothing"
    assert await push.mail(owner.device) == [one]
    assert gateway.frames == []


async def test_a_device_that_logs_in_after_the_worker_has_looked_again_finds_the_letter(
    push: PushStage, tenant: UUID
) -> None:
    owner = await an_owner(push.pool, tenant)
    has_looked = asyncio.Event()

    async with push.gateway() as gateway:

        async def announce_and_say(letters: Sequence[Letter]) -> None:
            await crew.announce(letters)
            has_looked.set()

        crew = push.crew()
        async with push.worker(replace(crew, announce=announce_and_say)):
            [one] = await push.accept(pushes(owner))
            async with asyncio.timeout(30):
                await has_looked.wait()
            await gateway.login(owner.device)
            found = await read_mailbox(push, owner.device)

    assert found == [one]
    assert gateway.drains == []


async def test_a_device_that_leaves_its_node_dead_behind_gets_a_letter(push: PushStage, tenant: UUID) -> None:
    owner = await an_owner(push.pool, tenant)

    async with push.gateway() as gateway:
        await gateway.login(owner.device)
        await gateway.consumer.close()  # its queue goes; presence still believes in it
        await gateway.connection.close()
        async with push.worker():
            [one] = await push.accept(pushes(owner))
            await push.reaches(one, S.STORED)

    assert await push.mail(owner.device) == [one]


async def test_a_napping_device_is_not_waked_for_a_letter_that_can_wait(push: PushStage, tenant: UUID) -> None:
    owner = await an_owner(push.pool, tenant, devices=2)
    awake, napping = owner.devices
    calm = pushes(owner)
    async with push.gateway() as gateway:
        crew = push.crew()

        async def announce_when_they_are_here(letters: Sequence[Letter]) -> None:
            await gateway.login(awake)
            await gateway.login(napping, is_napping=True)
            await crew.announce([replace(letter, wake=5) for letter in letters])

        async with push.worker(replace(crew, announce=announce_when_they_are_here)):
            for one in await push.accept(calm):
                await push.reaches(one, S.STORED)
            await is_told(gateway, awake)

    assert gateway.drains == [awake]


@asynccontextmanager
async def on_a_bridge(push: PushStage, redis_url: str) -> AsyncIterator[Bridge]:
    """A worker's way to Redis that can be cut; gateways keep theirs."""
    parts = urlsplit(redis_url)
    assert parts.port is not None
    bridge = Bridge(parts.port)
    await bridge.mend()
    cache = Cache.open(redis_url.replace(f":{parts.port}", f":{bridge.port}", 1))
    try:
        push.use(cache)
        yield bridge
    finally:
        await cache.close()
        await bridge.cut()


async def test_without_redis_pushes_are_stored_and_every_gateway_is_told(
    push: PushStage, tenant: UUID, redis_url: str
) -> None:
    owner = await an_owner(push.pool, tenant, devices=2)

    async with push.gateway("north") as north, push.gateway("south") as south:
        await north.login(owner.devices[0])
        await south.login(owner.devices[1])
        async with on_a_bridge(push, redis_url) as bridge:
            await bridge.cut()
            async with push.worker():
                ids = await push.accept(pushes(owner))
                for one in ids:
                    await push.reaches(one, S.STORED)
                await is_told(north, *owner.devices)
                await is_told(south, *owner.devices)
            await bridge.mend()

    assert await push.mail(*owner.devices) == ids
    assert north.frames == south.frames == []


async def test_when_redis_forgot_everything_pushes_are_stored_until_gateways_have_said_again_who_is_there(
    push: PushStage, tenant: UUID, cache: Cache, redis_url: str
) -> None:
    owner = await an_owner(push.pool, tenant)
    async with push.gateway() as gateway, push.worker(), Redis.from_url(redis_url) as redis:
        await gateway.login(owner.device)
        await redis.flushall()
        [lost] = await push.accept(pushes(owner))
        await push.reaches(lost, S.STORED)

        assert await push.presence.beat(gateway.facts) is False, "the node learns that it was forgotten"
        await gateway.login(owner.device)
        [live] = await push.accept(pushes(owner))
        await push.reaches(live, S.SENT)

    assert gateway.deliveries == [live]
    assert await push.mail(owner.device) == [lost]


@pytest.mark.parametrize("round_", range(3))
async def test_old_ones_acknowledged_while_newer_ones_take_their_place_are_delivered_or_collapsed(
    push: PushStage, tenant: UUID, round_: int
) -> None:
    owner = await an_owner(push.pool, tenant, devices=20)
    made = sorted((pushes(owner, collapse_id="score") for _ in range(2)), key=lambda one: one.notifications[0].id)

    async with push.gateway() as gateway, push.worker():
        older = await push.accept(made[0])
        for one in older:
            await push.reaches(one, S.STORED)
        newer = await push.accept(made[1])
        for device, one in zip(owner.devices, older, strict=True):
            await gateway.report(ReceiptKind.DELIVERED, (device, one))
        for one in newer:
            await push.reaches(one, S.STORED, within_s=40)

        async def have_ended() -> bool:
            statuses = {(await push.row(one))["status"] for one in older}
            return statuses <= {S.DELIVERED.code, S.COLLAPSED.code}

        await eventually(have_ended, within_s=40, what="the older ones' ends")

    assert await push.mail(*owner.devices) == newer


async def test_a_message_that_comes_twice_hands_its_pushes_over_once(push: PushStage, tenant: UUID) -> None:
    owner = await an_owner(push.pool, tenant, devices=5)
    made = pushes(owner)

    async with push.gateway() as gateway, push.worker() as worker:
        for device in owner.devices:
            await gateway.login(device)
        ids = await push.accept(made)
        await publish_now(push.publisher, made.outbox)
        for one in ids:
            await push.reaches(one, S.SENT)
        await publish_now(push.publisher, made.outbox)

        async def is_idle() -> bool:
            return worker.waiting == 0 and await push.publisher.queue_depth("work.push.high") == 0

        await eventually(is_idle)

    assert sorted(gateway.deliveries) == ids
    assert {(await push.row(one))["attempt"] for one in ids} == {1}
