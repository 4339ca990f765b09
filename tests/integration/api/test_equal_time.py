"""A wrong key takes as long as any other: nobody learns by the clock how much of it was right."""

import secrets
import statistics
import time
from uuid import UUID

import asyncpg
import httpx2
import pytest

from api.app import create_app
from api.auth import PREFIX_LENGTH, Keys, finder
from domain.notification import Mode
from ops.stack.tenants import store_key
from plumbing.secrets import new_api_key
from tests.integration.api.doors import FakeBatcher, KeyRing, make_house

REQUESTS = 1_000
APART_S = 0.001


@pytest.mark.alone
async def test_25_a_right_beginning_is_refused_no_later_than_an_unknown_one(
    hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    """A key is looked up whole, by its hash: there is nothing that could be compared letter by letter."""
    known = new_api_key(Mode.LIVE)
    async with hot_pool.acquire() as conn:
        await store_key(conn, tenant, key=known, name="known", mode=Mode.LIVE)
    app = create_app(make_house(FakeBatcher(), KeyRing(), keys=Keys(finder(hot_pool))))
    took_s: dict[str, list[float]] = {"right beginning": [], "unknown": []}
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://carillon") as client:
        for _ in range(REQUESTS):
            for kind, key in (("right beginning", _with_the_beginning_of(known)), ("unknown", new_api_key(Mode.LIVE))):
                began_s = time.perf_counter()
                answer = await client.get("/api/v1/notifications", headers={"authorization": f"Bearer {key}"})
                took_s[kind].append(time.perf_counter() - began_s)
                assert answer.status_code == 401

    usual_s = statistics.median(took_s["unknown"])
    apart_s = abs(statistics.median(took_s["right beginning"]) - usual_s)
    assert apart_s < APART_S
    assert apart_s < usual_s / 5, "one of the two is looked up, the other is not"


def _with_the_beginning_of(key: str) -> str:
    rest = secrets.token_urlsafe(len(key))
    return key[:PREFIX_LENGTH] + rest[: len(key) - PREFIX_LENGTH]
