"""From the request to the device: accept, worker and channel together, with a gateway that listens."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

import msgspec
import pytest

from api.shape import read_request
from domain.delivery import DeliveryStatus
from domain.lanes import Channel
from domain.reasons import Reason
from fanout.accept import Intake
from fanout.batch import Batcher
from fanout.cases import Accepted, Item
from fanout.limits import Policy
from fanout.publish import publish_now
from plumbing.cache import Cache
from plumbing.limiter import Limiter
from preferences.categories import Categories
from templates.catalog import Catalog
from tests.builders import a_sender
from tests.integration.devices import SEAL, a_device, a_user, an_app
from tests.integration.push.stage import PushStage
from tests.integration.workers.stage import eventually
from workers.crew import Crew
from workers.judging import Judge

S = DeliveryStatus


@pytest.fixture
async def batcher(push: PushStage, cache: Cache) -> AsyncIterator[Batcher]:
    """Accepts, and publishes to the real broker."""
    limits = Policy(key_per_s=10_000, key_burst=100_000, user_per_hour=10_000, user_burst=1_000)
    intake = Intake(push.pool, cache, Limiter(cache), SEAL, Catalog.shipped(), Categories(), limits)
    batcher = Batcher(intake, partial(publish_now, push.publisher))
    batcher.open()
    yield batcher
    await batcher.close()


def judging(push: PushStage) -> Crew:
    """A crew that judges again what has become stale."""
    return replace(push.crew(), rejudge=Judge(push.pool, Categories()))


async def send(batcher: Batcher, tenant: UUID, **asked: Any) -> Accepted:
    """One request as the API reads it."""
    return await batcher.submit(Item(a_sender(tenant), read_request(asked, now=datetime.now(UTC))))


async def test_a_template_reaches_each_device_in_the_language_of_its_user(
    push: PushStage, batcher: Batcher, tenant: UUID
) -> None:
    app, ada = await an_app(push.pool, tenant), await a_user(push.pool, tenant, "ada")
    await push.pool.execute("UPDATE users SET locale = 'fr-CA' WHERE id = $1", ada)
    here, away = [await a_device(push.pool, tenant, app, user=ada) for _ in range(2)]

    async with push.gateway() as gateway, push.worker():
        await gateway.login(here)
        accepted = await send(
            batcher, tenant, to="ada", template="order_shipped", data={"order": 'A"1'}, channels=["push"]
        )
        one_of = {each.address_id: each.id for each in accepted.deliveries}
        await push.reaches(one_of[here], S.SENT)
        await push.reaches(one_of[away], S.STORED)

    payload = {
        "aps": {
            "alert": {
                "title": "Votre commande est en route",
                "body": 'La commande A"1 a quitté notre entrepôt.',
            },
            "sound": "default",
            "thread-id": "orders",
        },
        "data": {"order": 'A"1'},
    }
    [frame] = gateway.frames
    assert msgspec.json.decode(frame.body)["payload"] == payload
    stored = await push.pool.fetchval("SELECT payload FROM mailbox WHERE device_id = $1", away)
    assert msgspec.json.decode(stored) == payload


async def test_title_and_body_are_enough_for_a_device_named_by_its_token(
    push: PushStage, batcher: Batcher, tenant: UUID
) -> None:
    device = await a_device(push.pool, tenant, await an_app(push.pool, tenant), token="named")

    async with push.gateway() as gateway, push.worker():
        await gateway.login(device)
        content = {"title": "Hello", "body": "There", "push": {"wake": 5, "data": {"k": 1}}}
        await send(batcher, tenant, to={"device_token": "named"}, content=content, collapse_id="greeting")

        async def handed_over() -> bool:
            return bool(gateway.frames)

        await eventually(handed_over, what="the frame")

    [frame] = gateway.frames
    told = msgspec.json.decode(frame.body)
    assert told["payload"] == {"aps": {"alert": {"title": "Hello", "body": "There"}}, "data": {"k": 1}}
    assert (frame.wake, frame.collapse_id, told["priority"]) == (5, "greeting", 5)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("UPDATE devices SET invalidated_at = now(), version = version + 1 WHERE user_id = $1", Reason.DEVICE_GONE),
        ("UPDATE devices SET user_id = NULL, version = version + 1 WHERE user_id = $1", Reason.DEVICE_GONE),
        (
            """INSERT INTO preferences (user_id, document, version) VALUES ($1, '{"channels": {"push": false}}', 2)""",
            Reason.CHANNEL_OPT_OUT,
        ),
    ],
)
async def test_what_changed_while_a_push_waited_is_honoured(
    push: PushStage, batcher: Batcher, tenant: UUID, change: str, reason: Reason
) -> None:
    app, ada = await an_app(push.pool, tenant), await a_user(push.pool, tenant, "ada")
    device = await a_device(push.pool, tenant, app, user=ada)
    accepted = await send(batcher, tenant, to="ada", content={"body": "Hello"}, channels=["push"])
    async with push.pool.acquire() as conn, conn.transaction():
        await conn.execute(change, ada)
        await conn.execute("UPDATE users SET version = version + 1 WHERE id = $1", ada)

    async with push.gateway() as gateway:
        await gateway.login(device)
        async with push.worker(judging(push)):
            await push.reaches(accepted.deliveries[0].id, S.SUPPRESSED)

    assert gateway.frames == []
    row = await push.row(accepted.deliveries[0].id)
    assert (Reason.of(row["reason"]), Channel.of(row["channel"])) == (reason, Channel.PUSH)


async def test_a_strangers_device_whose_version_has_grown_gets_its_push_all_the_same(
    push: PushStage, batcher: Batcher, tenant: UUID
) -> None:
    device = await a_device(push.pool, tenant, await an_app(push.pool, tenant), token="grown")
    accepted = await send(batcher, tenant, to={"device_token": "grown"}, content={"body": "Hello"})
    await push.pool.execute("UPDATE devices SET version = version + 1 WHERE id = $1", device)

    async with push.gateway() as gateway:
        await gateway.login(device)
        async with push.worker(judging(push)):
            await push.reaches(accepted.deliveries[0].id, S.SENT)

    assert gateway.deliveries == [accepted.deliveries[0].id]
