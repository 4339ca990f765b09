"""Web pages that register devices: allowed for those that the app names, and for nobody else."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import httpx2
import pytest

from api.origins import PATH
from channels.push.origins import REMEMBERED_S, Origins
from plumbing.cache import Cache
from plumbing.secrets import new_app_key
from tests.integration.push.fleet import an_app
from tests.integration.push.registry import open_registry
from tests.integration.push.test_apps import Counted, Hand

PREFLIGHT = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}
ALLOWED = "access-control-allow-origin"


@dataclass(frozen=True)
class Shop:
    """An app that names one origin, which nobody else names."""

    client: httpx2.AsyncClient
    origin: str
    bundle_id: str
    app_key: str

    async def preflight(self, origin: str) -> httpx2.Response:
        return await self.client.options(PATH, headers={"origin": origin} | PREFLIGHT)

    async def register(self, origin: str | None, *, app_key: str | None = None, **body: object) -> httpx2.Response:
        headers = {"authorization": f"Bearer {app_key or self.app_key}"}
        if origin is not None:
            headers["origin"] = origin
        return await self.client.post(PATH, json={"app_bundle_id": self.bundle_id} | body, headers=headers)


@pytest.fixture
async def shop(hot_pool: asyncpg.Pool, cache: Cache, tenant: UUID) -> AsyncIterator[Shop]:
    origin, bundle_id, app_key = f"https://{tenant.hex}.example", f"com.example.w{tenant.hex}", new_app_key()
    await an_app(hot_pool, tenant, bundle_id, app_key=app_key, web_origins=[origin])
    async with open_registry(hot_pool, cache, tenant) as registry:
        yield Shop(registry.client, origin, bundle_id, app_key)


async def test_a_page_that_the_app_names_may_register_and_read_the_answer(shop: Shop) -> None:
    asked = await shop.preflight(shop.origin)
    answer = await shop.register(shop.origin)

    assert (asked.status_code, asked.headers[ALLOWED]) == (204, shop.origin)
    assert asked.headers["access-control-allow-methods"] == "POST"
    assert asked.headers["access-control-allow-headers"] == "authorization, content-type"
    assert "access-control-allow-credentials" not in asked.headers
    assert (answer.status_code, answer.headers[ALLOWED], answer.headers["vary"]) == (201, shop.origin, "origin")
    assert answer.json()["token"]


@pytest.mark.parametrize("wrong", ["{}.evil.example", "http:{}", "null", "{}:8443", "{}/"])
async def test_a_page_that_no_app_names_is_refused(shop: Shop, hot_pool: asyncpg.Pool, wrong: str) -> None:
    origin = wrong.format(shop.origin if not wrong.startswith("http:") else shop.origin.removeprefix("https:"))

    asked = await shop.preflight(origin)
    answer = await shop.register(origin)

    assert (asked.status_code, answer.status_code) == (403, 403)
    assert asked.json()["reason"] == answer.json()["reason"] == "origin_not_allowed"
    assert ALLOWED not in asked.headers
    assert ALLOWED not in answer.headers
    assert await hot_pool.fetchval("SELECT count(*) FROM devices WHERE bundle_id = $1", shop.bundle_id) == 0


async def test_a_page_of_another_app_is_refused_once_it_says_which_app(
    shop: Shop, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    elsewhere = f"https://other-{tenant.hex}.example"
    await an_app(hot_pool, tenant, web_origins=[elsewhere])

    asked = await shop.preflight(elsewhere)
    answer = await shop.register(elsewhere)

    assert (asked.status_code, answer.status_code) == (204, 403)
    assert ALLOWED not in answer.headers


async def test_the_page_of_this_very_host_needs_no_permission(shop: Shop) -> None:
    answer = await shop.register("https://carillon")

    assert answer.status_code == 201
    assert ALLOWED not in answer.headers  # nor does the browser ask for it


async def test_what_is_no_page_is_asked_nothing(shop: Shop) -> None:
    answer = await shop.register(None)

    assert answer.status_code == 201
    assert ALLOWED not in answer.headers


async def test_a_page_may_read_why_it_was_refused(shop: Shop) -> None:
    wrong_shape = await shop.register(shop.origin, device_info="no object")
    wrong_key = await shop.register(shop.origin, app_key=new_app_key())

    assert (wrong_shape.status_code, wrong_shape.headers[ALLOWED]) == (422, shop.origin)
    assert wrong_key.status_code == 401
    assert ALLOWED not in wrong_key.headers  # of an app that nobody knows


async def test_no_other_route_answers_pages_elsewhere(shop: Shop) -> None:
    headers = {"origin": shop.origin} | PREFLIGHT
    answers = [
        await shop.client.options(path, headers=headers) for path in ("/api/v1/devices", "/api/v1/notifications")
    ]

    assert {answer.status_code for answer in answers} == {405}
    assert not any(ALLOWED in answer.headers for answer in answers)


async def test_all_origins_are_asked_for_once_in_three_seconds(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    counted, hand = Counted(hot_pool), Hand()
    origins = Origins(counted, timer=hand)
    origin = f"https://late-{tenant.hex}.example"

    before = [await origins.holds(origin) for _ in range(5)]
    await an_app(hot_pool, tenant, web_origins=[origin])
    early = await origins.holds(origin)
    hand.now_s += REMEMBERED_S
    late = await origins.holds(origin)

    assert (before, early, late) == ([False] * 5, False, True)
    assert counted.borrowed == 2
