"""One push to one device by its token, from the request to PostgreSQL, with a real batcher behind the door."""

import time
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

import asyncpg
import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from api.app import create_app
from channels.push.apps import Apps
from channels.push.tokens import Tokens
from domain.ids import uuid7
from domain.lanes import Priority
from fanout.accept import Intake
from fanout.batch import Batcher
from fanout.limits import Policy
from plumbing.cache import Cache
from plumbing.limiter import Limiter
from preferences.categories import Categories
from templates.catalog import Catalog
from tests.integration.api.doors import SECRET, KeyRing, make_house
from tests.integration.devices import SEAL, a_device, a_user, an_app
from tracking.rows import OutboxRow

FOREIGN = "cn_live_" + "f" * 43
PUSH = {"payload": {"aps": {"alert": "Goal!"}, "match": 17}}


async def _published(rows: Sequence[OutboxRow]) -> set[UUID]:
    return {row.id for row in rows}


@pytest.fixture
async def client(
    tenant: UUID, hot_pool: asyncpg.Pool, cache: Cache, engine: AsyncEngine
) -> AsyncIterator[httpx2.AsyncClient]:
    ring = KeyRing()
    ring.add(SECRET, tenant_id=tenant)
    ring.add(FOREIGN, tenant_id=uuid7())
    limits = Policy(key_per_s=10_000, key_burst=100_000, user_per_hour=10_000, user_burst=1_000)
    intake = Intake(hot_pool, cache, Limiter(cache), SEAL, Catalog.shipped(), Categories(), limits)
    batcher = Batcher(intake, _published)
    batcher.open()
    rooms: dict[str, Any] = {
        "hot_pool": hot_pool,
        "read_pool": hot_pool,
        "engine": engine,
        "cache": cache,
        "seal": SEAL,
    }
    rooms |= {"apps": Apps(hot_pool), "tokens": Tokens(hot_pool, cache)}
    app = create_app(make_house(batcher, ring, **rooms))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://carillon") as client:
        client.headers["authorization"] = f"Bearer {SECRET}"
        yield client
    await batcher.close()


@pytest.fixture
async def token(hot_pool: asyncpg.Pool, tenant: UUID) -> str:
    """The token of a device without a user."""
    made = uuid7().hex
    await a_device(hot_pool, tenant, await an_app(hot_pool, tenant), token=made)
    return made


async def _send(client: httpx2.AsyncClient, token: str, body: object = PUSH, **headers: str) -> httpx2.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.post(f"/api/v1/notifications/device/{token}", json=body, headers=named)


async def _kept(pool: asyncpg.Pool, answer: httpx2.Response) -> asyncpg.Record:
    return await pool.fetchrow(
        "SELECT *, extract(epoch FROM expires_at - created_at) AS life_s FROM notifications WHERE id = $1",
        UUID(answer.json()["id"]),
    )


async def test_a_push_is_kept_for_that_device_and_can_be_read_back(
    client: httpx2.AsyncClient, hot_pool: asyncpg.Pool, token: str
) -> None:
    answer = await _send(client, token, PUSH | {"collapse_id": "match-17"})
    read = await client.get(answer.headers["location"])

    assert answer.status_code == 202
    device = await hot_pool.fetchval("SELECT id FROM devices WHERE token_hash = $1", SEAL.token_hash(token))
    (planned,) = answer.json()["deliveries"]
    assert (planned["channel"], planned["device_id"], planned["status"]) == ("push", str(device), "queued")
    assert "expired" not in answer.json()
    assert (read.json()["category"], read.json()["collapse_id"]) == ("general", "match-17")
    assert read.json()["deliveries"][0]["device_id"] == str(device)


async def test_an_erased_device_is_null_where_its_delivery_is_told(
    client: httpx2.AsyncClient, hot_pool: asyncpg.Pool, token: str
) -> None:
    answer = await _send(client, token)
    await hot_pool.execute("DELETE FROM devices WHERE token_hash = $1", SEAL.token_hash(token))

    one = (await client.get(answer.headers["location"])).json()
    (listed,) = (await client.get("/api/v1/notifications")).json()["items"]

    assert one["deliveries"][0]["device_id"] is None
    assert listed["deliveries"][0]["device_id"] is None


@pytest.mark.parametrize(
    ("said", "headers", "lane", "wake"),
    [
        ({}, {}, Priority.HIGH, 10),
        ({"priority": 5}, {}, Priority.NORMAL, 5),
        ({"priority": 1}, {}, Priority.LOW, 1),
        ({"payload": {"aps": {"content-available": 1}}}, {}, Priority.NORMAL, 5),
        ({}, {"apns_priority": "1"}, Priority.LOW, 1),
        ({"priority": 10}, {"apns_priority": "1"}, Priority.HIGH, 10),
    ],
)
async def test_the_wake_is_the_senders_and_leads_to_its_lane(
    client: httpx2.AsyncClient,
    hot_pool: asyncpg.Pool,
    token: str,
    said: dict[str, Any],
    headers: dict[str, str],
    lane: Priority,
    wake: int,
) -> None:
    kept = await _kept(hot_pool, await _send(client, token, PUSH | said, **headers))

    assert kept["priority"] == lane.code
    assert f'"wake":{wake}' in kept["data"].decode()


async def test_without_expiration_it_is_kept_as_long_as_the_app_says(
    client: httpx2.AsyncClient, hot_pool: asyncpg.Pool, tenant: UUID, token: str
) -> None:
    await hot_pool.execute("UPDATE apps SET expires_in_s = 7200 WHERE tenant_id = $1", tenant)

    kept = [
        await _kept(hot_pool, await _send(client, token, PUSH | wish))
        for wish in ({}, {"expiration": 0}, {"expiration": int(time.time()) + 600}, {"expiration": 2**39})
    ]

    assert [round(row["life_s"], -2) for row in kept] == [7200, 0, 600, 30 * 86_400]
    assert [b'"is_live_only":true' in row["data"] for row in kept] == [False, True, False, False]


async def test_what_is_too_late_is_taken_and_told_to_be_expired(client: httpx2.AsyncClient, token: str) -> None:
    answers = [await _send(client, token, PUSH | {"expiration": 1}, idempotency_key="late") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [202, 202]
    assert [answer.json() for answer in answers] == [answers[0].json()] * 2
    assert answers[1].headers["idempotent-replayed"] == "true"
    told = answers[0].json()
    assert (told["status"], told["reason"], told["expired"]) == ("suppressed", "expired", True)


async def test_an_unknown_token_is_not_found_and_a_gone_one_is_gone(
    client: httpx2.AsyncClient, hot_pool: asyncpg.Pool, tenant: UUID, token: str
) -> None:
    await a_device(hot_pool, tenant, await an_app(hot_pool, tenant), token="was here", is_gone=True)

    unknown, gone = await _send(client, "never-seen"), await _send(client, "was here")
    foreign = await _send(client, token, authorization=f"Bearer {FOREIGN}")

    assert [unknown.status_code, gone.status_code, foreign.status_code] == [404, 410, 404]
    assert gone.json()["reason"] == "device_gone"


async def test_the_same_key_is_one_push_and_another_device_or_body_is_refused(
    client: httpx2.AsyncClient, hot_pool: asyncpg.Pool, tenant: UUID, token: str
) -> None:
    await a_device(hot_pool, tenant, await an_app(hot_pool, tenant), token="another")

    first = await _send(client, token, idempotency_key="once")
    again = await _send(client, token, idempotency_key="once")
    others = [await _send(client, "another", idempotency_key="once")]
    others.append(await _send(client, token, PUSH | {"priority": 5}, idempotency_key="once"))

    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert [(each.status_code, each.json()["reason"]) for each in others] == [(422, "idempotency_key_reused")] * 2


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ([], ""),
        ({}, "/payload"),
        ({"payload": {}}, "/payload"),
        ({"payload": {"match": 17}}, "/payload"),
        ({"payload": {"aps": {"badge": "3"}}}, "/payload/aps/badge"),
        ({"payload": {"aps": {"alert": "x" * 4097}}}, "/payload"),
        (PUSH | {"priority": 7}, "/priority"),
        (PUSH | {"expiration": -1}, "/expiration"),
        (PUSH | {"expiration": 1.5}, "/expiration"),
        (PUSH | {"collapse_id": "é" * 33}, "/collapse_id"),
        (PUSH | {"topic": "x"}, "/topic"),
        (PUSH | {"nothing": None}, "/nothing"),
    ],
)
async def test_what_is_no_push_is_pointed_at(
    client: httpx2.AsyncClient, token: str, body: object, pointer: str
) -> None:
    answer = await _send(client, token, body)

    assert answer.status_code == 422
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]


async def test_the_device_of_somebody_who_wants_no_pushes_gets_none(
    client: httpx2.AsyncClient, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    ada = await a_user(hot_pool, tenant, "ada", channels={"push": False})
    await a_device(hot_pool, tenant, await an_app(hot_pool, tenant), user=ada, token="hers")

    answer = await _send(client, "hers")

    assert (answer.status_code, answer.json()["reason"]) == (202, "channel_opt_out")


async def test_the_token_is_in_no_log(client: httpx2.AsyncClient, token: str) -> None:
    with capture_logs() as lines:
        await _send(client, token)
        await _send(client, token, {})
        await client.get(f"/api/v1/notifications/device/{token}")

    told = [line["route"] for line in lines if line["event"] == "request.answered"]
    assert told[:2] == ["/api/v1/notifications/device/{token}"] * 2
    assert token not in repr(lines)
