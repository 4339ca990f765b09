"""Categories over a real database: the shipped ones, a tenant's own, and nobody else's."""

from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import httpx2
import pytest

from api.app import create_app
from domain.ids import uuid7
from preferences.categories import Categories
from tests.integration.api.doors import SECRET, FakeBatcher, KeyRing, make_house

FOREIGN = "cn_live_" + "f" * 43
MINE = {"kind": "promotional", "default": "deny", "channels": ["sms"], "dedupe_window_s": 60, "expires_in_s": 600}


@pytest.fixture
async def client(tenant: UUID, hot_pool: asyncpg.Pool) -> AsyncIterator[httpx2.AsyncClient]:
    ring = KeyRing()
    ring.add(SECRET, tenant_id=tenant)
    ring.add(FOREIGN, tenant_id=uuid7())
    app = create_app(make_house(FakeBatcher(), ring, hot_pool=hot_pool, categories=Categories()))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://carillon") as client:
        client.headers["authorization"] = f"Bearer {SECRET}"
        yield client


async def test_the_shipped_categories_are_there(client: httpx2.AsyncClient) -> None:
    told = (await client.get("/api/v1/categories")).json()

    assert {"general", "marketing", "orders", "security"} <= {item["id"] for item in told["items"]}


async def test_a_category_is_written_read_and_unknown_to_others(client: httpx2.AsyncClient) -> None:
    written = await client.put("/api/v1/categories/deals", json=MINE)
    read = await client.get("/api/v1/categories/deals")
    foreign = await client.get("/api/v1/categories/deals", headers={"authorization": f"Bearer {FOREIGN}"})

    assert written.status_code == read.status_code == 200
    assert read.json() == written.json()
    assert read.json()["id"] == "deals"
    assert read.json()["required"] is False
    assert foreign.status_code == 404


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (MINE | {"kind": "loud"}, "/kind"),
        (MINE | {"required": "true"}, "/required"),
        (MINE | {"channels": ["pigeon"]}, "/channels/0"),
        (MINE | {"dedupe_window_s": 1.5}, "/dedupe_window_s"),
        (MINE | {"tenant_id": "x"}, "/tenant_id"),
        ({}, "/kind"),
        ([], ""),
    ],
)
async def test_a_category_of_wrong_shape_is_refused(client: httpx2.AsyncClient, body: object, pointer: str) -> None:
    answer = await client.put("/api/v1/categories/deals", json=body)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer


async def test_ordinary_routes_read_json_as_strictly_as_the_hot_ones(client: httpx2.AsyncClient) -> None:
    json = {"content-type": "application/json"}
    path = "/api/v1/categories/deals"

    answers = [
        await client.put(path, content=b'{"kind":"critical","kind":"critical"}', headers=json),
        await client.put(path, content=b'{"kind":"\\ud800"}', headers=json),
        await client.put(path, content=b"\xff", headers=json),
        await client.put(path, content=b"{}", headers={"content-type": "text/plain"}),
        await client.put(path, content=b" " * 300_000, headers=json),
        await client.put("/api/v1/categories/Not-A-Name", json=MINE),
    ]

    assert [answer.status_code for answer in answers] == [400, 422, 400, 415, 413, 422]
    assert all(answer.headers["content-type"] == "application/problem+json" for answer in answers)
