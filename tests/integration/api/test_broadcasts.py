"""Publishing to topics over HTTP: taken once, told, listed, stopped; and nothing that would be taken and ignored."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx2
import pytest

from api.app import create_app
from api.publication import read_publication
from api.schemas.broadcasts import PUBLICATION_EXAMPLE
from campaigns.planner import Planner
from domain.clock import utc_now
from domain.notification import Mode, Recipient
from fanout.accept import Intake
from plumbing.cache import Cache
from plumbing.limiter import Limiter
from plumbing.secrets import Seal, hash_api_key
from preferences.categories import Categories
from templates.catalog import Catalog
from tests.builders import SECRET_KEY
from tests.integration.api.doors import SECRET, FakeBatcher, KeyRing, make_house
from tests.integration.campaigns.crowd import a_topic, plan_all, subscribe, subscribers
from tests.integration.devices import a_device, a_user, an_app
from tests.integration.fanout.conftest import GENEROUS

FOREIGN = "cn_live_" + "f" * 43
TESTING = "cn_test_" + "t" * 43
PATH = "/api/v1/topics/news.sport/notifications"
WORDS: dict[str, Any] = {"content": {"title": "Goal!"}}


@dataclass
class Newsroom:
    """A client of one tenant and one of another, and a planner."""

    tenant_id: UUID
    mine: httpx2.AsyncClient
    foreign: httpx2.AsyncClient
    testing: httpx2.AsyncClient
    planner: Planner
    pool: asyncpg.Pool

    async def publish(self, body: dict[str, Any] = WORDS, **headers: str) -> httpx2.Response:
        """Publish to the topic; header names are written with underscores."""
        lines = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.mine.post(PATH, json=body, headers=lines)


@pytest.fixture
async def newsroom(hot_pool: asyncpg.Pool, engine: Any, cache: Cache, tenant: UUID) -> AsyncIterator[Newsroom]:
    """A topic is there, and nothing is open."""
    await hot_pool.execute("DELETE FROM broadcasts")
    other = await hot_pool.fetchval(
        "INSERT INTO tenants (id, name) VALUES (gen_random_uuid(), gen_random_uuid()::text) RETURNING id"
    )
    ring, categories = KeyRing(), Categories()
    ring.add(SECRET, tenant_id=tenant)
    ring.add(FOREIGN, tenant_id=other)
    ring.keys[hash_api_key(TESTING)] = replace(ring.add(TESTING, tenant_id=tenant), mode=Mode.TEST)
    app = create_app(
        make_house(FakeBatcher(), ring, hot_pool=hot_pool, read_pool=hot_pool, engine=engine, categories=categories)
    )

    def client(secret: str) -> httpx2.AsyncClient:
        transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
        return httpx2.AsyncClient(
            transport=transport, base_url="http://api", headers={"authorization": f"Bearer {secret}"}
        )

    intake = Intake(hot_pool, cache, Limiter(cache), Seal(SECRET_KEY), Catalog([]), categories, GENEROUS)
    await a_topic(hot_pool, tenant)
    async with client(SECRET) as mine, client(FOREIGN) as foreign, client(TESTING) as testing:
        yield Newsroom(tenant, mine, foreign, testing, Planner(intake), hot_pool)


async def test_a_publication_is_taken_planned_and_told_with_its_counts(newsroom: Newsroom) -> None:
    app = await an_app(newsroom.pool, newsroom.tenant_id)
    ada = await a_user(newsroom.pool, newsroom.tenant_id, "ada", channels={"push": False})
    hers = await a_device(newsroom.pool, newsroom.tenant_id, app, user=ada)
    await subscribe(newsroom.pool, newsroom.tenant_id, hers)
    await subscribers(newsroom.pool, newsroom.tenant_id, 3)

    taken = await newsroom.publish()
    there = taken.headers["location"]
    before = (await newsroom.mine.get(there)).json()
    await plan_all(newsroom.planner)
    after = (await newsroom.mine.get(there)).json()

    assert taken.status_code == 202
    assert taken.json() == {"id": there.rpartition("/")[2], "topic": "news.sport", "status": "running"}
    assert (before["status"], before["planned"], before["deliveries"]) == ("running", 0, {})
    assert (after["status"], after["planned"]) == ("finished", 4)
    assert after["deliveries"] == {"queued": 3, "suppressed": 1}
    assert after["finished_at"] > after["created_at"]

    query = f"/api/v1/notifications?broadcast={after['id']}&status=suppressed"
    [left_out] = (await newsroom.mine.get(query)).json()["items"]
    explained = (await newsroom.mine.get(f"/api/v1/notifications/{left_out['id']}/explain")).json()
    assert left_out["user"] == "ada"
    assert "channel_opt_out" in [gate["reason"] for gate in explained["gates"]]


async def test_the_same_key_gets_the_first_broadcast_again_and_another_request_with_it_is_refused(
    newsroom: Newsroom,
) -> None:
    first = await newsroom.publish(idempotency_key="goal-2-1")
    again = await newsroom.publish(idempotency_key="goal-2-1")
    other = await newsroom.publish({"content": {"title": "Off side!"}}, idempotency_key="goal-2-1")

    assert again.json() == first.json()
    assert (first.headers.get("idempotent-replayed"), again.headers["idempotent-replayed"]) == (None, "true")
    assert (other.status_code, other.json()["reason"]) == (422, "idempotency_key_reused")
    assert await newsroom.pool.fetchval("SELECT count(*) FROM broadcasts WHERE tenant_id = $1", newsroom.tenant_id) == 1


async def test_what_belongs_to_another_tenant_is_not_there(newsroom: Newsroom) -> None:
    there = (await newsroom.publish()).headers["location"]

    answers = [
        await newsroom.foreign.post(PATH, json=WORDS),
        await newsroom.foreign.get(there),
        await newsroom.foreign.delete(there),
        await newsroom.mine.get(f"/api/v1/broadcasts/{uuid4()}"),
    ]

    assert [answer.status_code for answer in answers] == [404] * 4
    assert (await newsroom.foreign.get("/api/v1/broadcasts")).json() == {"items": [], "next_cursor": None}
    assert (await newsroom.mine.get(there)).json()["status"] == "running"


async def test_broadcasts_are_listed_newest_first_by_topic_and_a_page_at_a_time(newsroom: Newsroom) -> None:
    await a_topic(newsroom.pool, newsroom.tenant_id, "weather")
    made = [(await newsroom.publish()).json()["id"] for _ in range(3)]
    await newsroom.mine.post("/api/v1/topics/weather/notifications", json=WORDS)

    first = (await newsroom.mine.get("/api/v1/broadcasts?topic=news.sport&limit=2")).json()
    rest = await newsroom.mine.get(f"/api/v1/broadcasts?topic=news.sport&limit=2&cursor={first['next_cursor']}")

    assert [each["id"] for each in first["items"] + rest.json()["items"]] == sorted(made, reverse=True)
    assert rest.json()["next_cursor"] is None
    assert len((await newsroom.mine.get("/api/v1/broadcasts")).json()["items"]) == 4


async def test_a_stopped_broadcast_says_so_at_once_and_twice_is_once(newsroom: Newsroom) -> None:
    await subscribers(newsroom.pool, newsroom.tenant_id, 3)
    there = (await newsroom.publish()).headers["location"]
    await plan_all(newsroom.planner)

    stopped = await newsroom.mine.delete(there)
    await plan_all(newsroom.planner)
    again = await newsroom.mine.delete(there)

    assert (stopped.status_code, stopped.json()["status"], stopped.json()["finished_at"]) == (200, "cancelled", None)
    assert again.json()["cancelled_at"] == stopped.json()["cancelled_at"]
    assert again.json()["deliveries"] == {"cancelled": 3}
    assert again.json()["finished_at"] is not None


async def test_what_a_test_key_publishes_is_sent_in_test_mode(newsroom: Newsroom) -> None:
    await subscribers(newsroom.pool, newsroom.tenant_id, 2)

    await newsroom.testing.post(PATH, json=WORDS)
    await plan_all(newsroom.planner)

    modes = await newsroom.pool.fetch("SELECT mode FROM deliveries WHERE tenant_id = $1", newsroom.tenant_id)
    assert [row["mode"] for row in modes] == [Mode.TEST.code] * 2


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/template"),
        ({**WORDS, "to": "user-42"}, "/to"),
        ({**WORDS, "send_at": "2030-01-01T00:00:00Z"}, "/send_at"),
        ({**WORDS, "fallback": []}, "/fallback"),
        ({"template": "order_shipped"}, "/template"),
        ({**WORDS, "channels": ["push", "email"]}, "/channels/1"),
        ({**WORDS, "nonsense": 1}, "/nonsense"),
        ({**WORDS, "category": "nobody-knows"}, "/category"),
        ({**WORDS, "expires_in_s": 0}, "/expires_in_s"),
        ({"content": {"email": {"subject": "x", "text": "y"}}}, "/content/email"),
        ({"content": {"sms": {"text": "y"}}}, "/content/sms"),
        ({"content": {"push": {"data": {"a": "x" * 5000}, "aps": {"alert": "y"}}}}, "/content/push"),
    ],
)
async def test_what_could_not_be_done_is_refused(newsroom: Newsroom, body: dict[str, Any], pointer: str) -> None:
    answer = await newsroom.publish(body)

    assert answer.status_code == 422
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]


async def test_a_category_without_push_cannot_be_published_to(newsroom: Newsroom) -> None:
    await newsroom.pool.execute(
        """INSERT INTO categories (tenant_id, name, kind, default_allow, required, channels, dedupe_window_s,
             expires_in_s, ambiguous) VALUES ($1, 'paper', 'transactional', true, false, '{email}', 0, 60, 'retry')""",
        newsroom.tenant_id,
    )

    answer = await newsroom.publish({**WORDS, "category": "paper"})

    assert (answer.status_code, answer.json()["reason"]) == (422, "no_channel")


@pytest.mark.parametrize("name", ["-x", "a b", "x" * 101, "%2e%2e"])
async def test_a_name_that_no_topic_can_have_is_refused(newsroom: Newsroom, name: str) -> None:
    assert (await newsroom.mine.post(f"/api/v1/topics/{name}/notifications", json=WORDS)).status_code in {404, 422}


def test_the_example_is_taken_and_an_empty_recipient_is_left() -> None:
    request = read_publication(PUBLICATION_EXAMPLE, now=utc_now())

    assert request.to == Recipient()
    assert request.expires_in_s == 600
