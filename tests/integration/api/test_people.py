"""Users, preferences and suppressions over a real database and two tenants."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import httpx2
import pytest

from api.app import create_app
from domain.ids import uuid7
from plumbing.cache import Cache
from tests.integration.api.doors import SECRET, FakeBatcher, KeyRing, make_house

FOREIGN = {"authorization": "Bearer cn_live_" + "f" * 43}
ADA = {"email": "Ada@Example.org", "phone": "+33 6 12 34 56 78", "locale": "fr", "timezone": "Europe/Paris"}
PATH = "/api/v1/users/user-1"


@pytest.fixture
async def client(tenant: UUID, hot_pool: asyncpg.Pool, cache: Cache) -> AsyncIterator[httpx2.AsyncClient]:
    ring = KeyRing()
    ring.add(SECRET, tenant_id=tenant)
    ring.add(FOREIGN["authorization"].removeprefix("Bearer "), tenant_id=uuid7())
    app = create_app(make_house(FakeBatcher(), ring, hot_pool=hot_pool, cache=cache))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://carillon") as client:
        client.headers["authorization"] = f"Bearer {SECRET}"
        yield client


async def test_a_user_is_created_replaced_and_read(client: httpx2.AsyncClient) -> None:
    created = await client.put(PATH, json=ADA | {"attributes": {"plan": "gold"}})
    replaced = await client.put(PATH, json={"email": "ada@example.org"})
    read = await client.get(PATH)

    assert (created.status_code, replaced.status_code) == (201, 200)
    assert created.json()["email"] == "Ada@example.org"
    assert created.json()["phone"] == "+33612345678"
    assert created.json()["attributes"] == {"plan": "gold"}
    assert read.json() == replaced.json()
    assert read.json()["phone"] is None
    assert read.json()["version"] > created.json()["version"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"email": "a@b.example, evil@x.example"}, "/email"),
        ({"email": "a@b.example\r\nRCPT TO:<evil>"}, "/email"),
        ({"phone": "+1 900 555 0100"}, "/phone"),
        ({"timezone": "Mars/Base"}, "/timezone"),
        ({"locale": "!"}, "/locale"),
        ({"name": "A\nB"}, "/name"),
        ({"attributes": []}, "/attributes"),
        ({"attributes": {"a": "x" * 17_000}}, "/attributes"),
        ({"tenant_id": "x"}, "/tenant_id"),
        ({"email": 5}, "/email"),
    ],
)
async def test_facts_that_cannot_be_kept_are_refused(
    client: httpx2.AsyncClient, body: dict[str, Any], pointer: str
) -> None:
    answer = await client.put(PATH, json=body)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert (await client.get(PATH)).status_code == 404


async def test_a_refusal_does_not_repeat_what_was_sent(client: httpx2.AsyncClient) -> None:
    answer = await client.put(PATH, json={"name": "secret words\n"})

    assert b"secret words" not in answer.content


async def test_an_erased_user_is_gone(client: httpx2.AsyncClient) -> None:
    await client.put(PATH, json=ADA)

    answers = [await client.delete(PATH), await client.delete(PATH), await client.get(PATH)]

    assert [answer.status_code for answer in answers] == [204, 404, 404]


async def test_preferences_are_replaced_changed_and_remembered(client: httpx2.AsyncClient) -> None:
    await client.put(PATH, json=ADA)
    path = f"{PATH}/preferences"
    hours = {"start": "22:00", "end": "07:00", "timezone": "Europe/Paris", "mode": "defer"}

    put = await client.put(path, json={"channels": {"sms": False}, "quiet_hours": hours})
    patched = await client.patch(path, json={"categories": {"marketing": {"email": False}}, "quiet_hours": None})
    read = await client.get(path)
    history = (await client.get(f"{path}/history")).json()

    assert put.status_code == patched.status_code == 200
    assert read.json() == patched.json()
    assert read.json()["channels"] == {"sms": False}
    assert read.json()["quiet_hours"] is None
    assert read.headers["etag"] == patched.headers["etag"] != put.headers["etag"]
    assert [item["document"]["quiet_hours"] for item in history["items"]] == [None, hours]
    assert history["items"][0]["source"] == "api"


async def test_preferences_can_be_sent_back_as_they_were_read(client: httpx2.AsyncClient) -> None:
    await client.put(PATH, json=ADA)
    read = await client.get(f"{PATH}/preferences")

    again = await client.put(f"{PATH}/preferences", json=read.json())

    assert again.status_code == 200
    assert again.json() == read.json()


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"channels": {"pigeon": True}}, "/channels/pigeon"),
        ({"channels": {"in_app": False}}, "/channels/in_app"),
        ({"channels": {"email": "yes"}}, "/channels/email"),
        ({"quiet_hours": {"start": "25:00", "end": "07:00"}}, "/quiet_hours/start"),
        ({"caps": {"email": 3}}, "/caps"),
        ({"nonsense": 1}, "/nonsense"),
    ],
)
async def test_preferences_that_mean_nothing_are_refused(
    client: httpx2.AsyncClient, body: dict[str, Any], pointer: str
) -> None:
    await client.put(PATH, json=ADA)

    answer = await client.put(f"{PATH}/preferences", json=body)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer


async def test_suppressions_are_added_listed_and_lifted(client: httpx2.AsyncClient) -> None:
    added = await client.post("/api/v1/suppressions", json={"email": "Ada@Example.org", "reason": "complaint"})
    twice = await client.post("/api/v1/suppressions", json={"email": "Ada@example.org"})
    await client.post("/api/v1/suppressions", json={"phone": "+33612345678", "expires_at": "2030-01-01T00:00:00Z"})
    first = (await client.get("/api/v1/suppressions?limit=1")).json()
    second = (await client.get(f"/api/v1/suppressions?limit=1&cursor={first['next_cursor']}")).json()
    lifted = [await client.delete(f"/api/v1/suppressions/{added.json()['id']}") for _ in range(2)]

    assert added.status_code == 201
    assert added.json()["channel"] == "email"
    assert twice.json()["id"] == added.json()["id"]
    assert [page["items"][0]["channel"] for page in (first, second)] == ["email", "sms"]
    assert second["next_cursor"] is None
    assert [answer.status_code for answer in lifted] == [204, 404]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, ""),
        ({"email": "a@b.example", "phone": "+33612345678"}, ""),
        ({"email": "no"}, "/email"),
        ({"email": "a@b.example", "reason": "whim"}, "/reason"),
        ({"email": "a@b.example", "expires_at": "soon"}, "/expires_at"),
        ({"email": "a@b.example", "expires_at": 1}, "/expires_at"),
        ({"email": "a@b.example", "expires_at": "2001-01-01T00:00:00Z"}, "/expires_at"),
    ],
)
async def test_a_suppression_of_wrong_shape_is_refused(
    client: httpx2.AsyncClient, body: dict[str, Any], pointer: str
) -> None:
    answer = await client.post("/api/v1/suppressions", json=body)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer


async def test_an_idempotency_key_is_not_taken_and_ignored(client: httpx2.AsyncClient) -> None:
    headers = {"idempotency-key": "one"}

    answer = await client.post("/api/v1/suppressions", json={"email": "a@b.example"}, headers=headers)

    assert answer.status_code == 422
    assert answer.json()["reason"] == "not_available_yet"


async def test_people_of_another_tenant_do_not_exist(client: httpx2.AsyncClient) -> None:
    await client.put(PATH, json=ADA)
    mine = (await client.post("/api/v1/suppressions", json={"email": "a@b.example"})).json()

    answers = [
        await client.get(PATH, headers=FOREIGN),
        await client.delete(PATH, headers=FOREIGN),
        await client.get(f"{PATH}/preferences", headers=FOREIGN),
        await client.put(f"{PATH}/preferences", json={}, headers=FOREIGN),
        await client.patch(f"{PATH}/preferences", json={}, headers=FOREIGN),
        await client.get(f"{PATH}/preferences/history", headers=FOREIGN),
        await client.delete(f"/api/v1/suppressions/{mine['id']}", headers=FOREIGN),
    ]

    assert [answer.status_code for answer in answers] == [404] * 7
    assert (await client.get("/api/v1/suppressions", headers=FOREIGN)).json()["items"] == []
    assert (await client.get(PATH)).status_code == 200


async def test_ids_with_odd_characters_are_refused_or_kept_as_they_are(client: httpx2.AsyncClient) -> None:
    assert (await client.put("/api/v1/users/a%0Ab", json=ADA)).status_code == 422
    assert (await client.put("/api/v1/users/" + "u" * 256, json=ADA)).status_code == 422
    assert (await client.put("/api/v1/users/h%C3%A9l%C3%A8ne@home", json=ADA)).json()["id"] == "hélène@home"
