"""What would become of a notification: every gate is asked, and nothing is left behind."""

from functools import partial
from uuid import UUID

import asyncpg
import httpx2
import pytest

from api.app import create_app
from fanout.accept import Intake, peek
from fanout.limits import Policy
from plumbing.cache import Cache
from plumbing.limiter import Limiter
from plumbing.secrets import Seal
from preferences import users
from preferences.categories import Categories
from preferences.users import Facts
from templates.catalog import SHIPPED, Catalog
from tests.integration.api.doors import SECRET, FakeBatcher, KeyRing, make_house

SEAL = Seal("a secret key for tests, 32 bytes long")


@pytest.fixture
async def client(tenant: UUID, hot_pool: asyncpg.Pool, cache: Cache) -> httpx2.AsyncClient:
    ring = KeyRing()
    ring.add(SECRET, tenant_id=tenant)
    catalog = Catalog([SHIPPED])
    intake = Intake(hot_pool, cache, Limiter(cache), SEAL, catalog, Categories(), Policy(100, 100, 100, 100))
    house = make_house(FakeBatcher(), ring, hot_pool=hot_pool, cache=cache, catalog=catalog, peek=partial(peek, intake))
    await users.put_user(hot_pool, SEAL, tenant, "user-1", Facts(email="ada@example.org"))
    headers = {"authorization": f"Bearer {SECRET}"}
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(create_app(house)), base_url="http://x", headers=headers)


async def test_a_forecast_names_every_gate_and_keeps_nothing(
    client: httpx2.AsyncClient, tenant: UUID, hot_pool: asyncpg.Pool
) -> None:
    template = Catalog([SHIPPED]).names()[0]

    answer = await client.get("/api/v1/explain", params={"user": "user-1", "template": template})

    assert answer.status_code == 200, answer.text
    assert {gate["gate"] for gate in answer.json()["gates"]} >= {"recipient", "template", "consent"}
    assert {gate["at"] for gate in answer.json()["gates"]} == {answer.json()["at"]}
    assert answer.json()["deliveries"]
    assert await hot_pool.fetchval("SELECT count(*) FROM notifications WHERE tenant_id = $1", tenant) == 0


async def test_what_does_not_exist_cannot_be_forecast(client: httpx2.AsyncClient) -> None:
    template = Catalog([SHIPPED]).names()[0]

    unknown_user = await client.get("/api/v1/explain", params={"user": "nobody", "template": template})
    unknown_template = await client.get("/api/v1/explain", params={"user": "user-1", "template": "nothing"})

    assert (unknown_user.status_code, unknown_user.json()["reason"]) == (422, "unknown_recipient")
    assert unknown_user.json()["errors"] == [{"pointer": "/query/user", "detail": "there is no user 'nobody'"}]
    assert (unknown_template.status_code, unknown_template.json()["reason"]) == (422, "unknown_template")


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+14:00", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59-14:00"])
async def test_a_time_at_the_end_of_the_calendar_is_refused(client: httpx2.AsyncClient, at: str) -> None:
    answer = await client.get("/api/v1/explain", params={"user": "user-1", "template": "order_shipped", "at": at})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/query/at"
