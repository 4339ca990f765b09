"""What would become of a notification: every gate is asked, and nothing is left behind."""

from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg
import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from api.app import create_app
from domain.clock import utc_now
from domain.ids import moment_of, notification_id
from domain.lanes import Channel
from fanout.accept import Intake, peek
from fanout.limits import Policy
from plumbing.cache import Cache
from plumbing.limiter import Limiter
from plumbing.secrets import Seal
from preferences import erasures, suppressions, users
from preferences.categories import Categories
from preferences.suppressions import SuppressionReason
from preferences.users import Facts
from templates.catalog import SHIPPED, Catalog
from tests.integration.api.doors import SECRET, FakeBatcher, KeyRing, make_house

SEAL = Seal("a secret key for tests, 32 bytes long")


@pytest.fixture
async def client(tenant: UUID, hot_pool: asyncpg.Pool, engine: AsyncEngine, cache: Cache) -> httpx2.AsyncClient:
    ring = KeyRing()
    ring.add(SECRET, tenant_id=tenant)
    catalog = Catalog([SHIPPED])
    intake = Intake(hot_pool, cache, Limiter(cache), SEAL, catalog, Categories(), Policy(100, 100, 100, 100))
    rooms = {
        "hot_pool": hot_pool,
        "read_pool": hot_pool,
        "engine": engine,
        "cache": cache,
        "catalog": catalog,
        "seal": SEAL,
    }
    house = make_house(FakeBatcher(), ring, peek=partial(peek, intake), **rooms)
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


async def _earlier(pool: asyncpg.Pool, tenant: UUID) -> UUID:
    """The user, as if made two days ago, with an address of that time."""
    user: UUID = await pool.fetchval(
        "UPDATE users SET created_at = now() - interval '2 days', updated_at = now() - interval '2 days'"
        " WHERE tenant_id = $1 RETURNING id",
        tenant,
    )
    await pool.execute(
        "UPDATE contacts SET created_at = now() - interval '2 days', updated_at = now() - interval '2 days'"
        " WHERE user_id = $1",
        user,
    )
    return user


def _ask(at: datetime, **more: Any) -> dict[str, Any]:
    return {"user": "user-1", "template": "order_shipped", "at": at.isoformat(), **more}


async def test_what_was_never_sent_is_explained_by_the_preferences_of_that_time(
    client: httpx2.AsyncClient, tenant: UUID, hot_pool: asyncpg.Pool
) -> None:
    user = await _earlier(hot_pool, tenant)
    now = utc_now()
    for version, hours, document in ((2, 30, '{"unsubscribed": true}'), (3, 10, '{"channels": {"email": true}}')):
        await hot_pool.execute(
            "INSERT INTO preference_history (user_id, version, document, changed_at, actor, source)"
            " VALUES ($1, $2, $3::text::jsonb, $4, 'recipient', 'one_click')",
            user,
            version,
            document,
            now - timedelta(hours=hours),
        )

    said = {
        hours: (await client.get("/api/v1/explain", params=_ask(now - timedelta(hours=hours)))).json()
        for hours in (40, 20, 5)
    }

    fates = {
        hours: {(d["channel"], d["status"], d["reason"]) for d in told["deliveries"]} for hours, told in said.items()
    }
    assert ("email", "queued", None) in fates[40]
    assert ("email", "suppressed", "unsubscribed_global") in fates[20]
    assert ("email", "queued", None) in fates[5]
    assert said[40]["past"]["preferences"] is None
    assert said[20]["past"]["preferences"]["version"] == 2
    assert said[20]["past"]["preferences"]["source"] == "one_click"
    assert said[20]["past"]["notifications"] == []
    assert not {gate["gate"] for gate in said[20]["gates"]} & {"key_limit", "user_limit", "dedupe", "idempotency"}
    assert any("limits" in sentence for sentence in said[20]["past"]["unknown"])


async def test_a_suppression_speaks_of_the_time_from_which_it_was_there(
    client: httpx2.AsyncClient, tenant: UUID, hot_pool: asyncpg.Pool
) -> None:
    await _earlier(hot_pool, tenant)
    now = utc_now()
    await suppressions.add(
        hot_pool,
        SEAL,
        tenant,
        channel=Channel.EMAIL,
        address="ada@example.org",
        reason=SuppressionReason.BOUNCE,
        source="test",
    )
    await hot_pool.execute(
        "UPDATE suppressions SET created_at = $2 WHERE tenant_id = $1", tenant, now - timedelta(hours=3)
    )

    before, after = [
        (await client.get("/api/v1/explain", params=_ask(now - timedelta(hours=hours)))).json() for hours in (4, 2)
    ]

    assert before["past"]["suppressions"] == []
    assert [each["reason"] for each in after["past"]["suppressions"]] == ["bounce"]
    reasons = [
        {each["reason"] for each in told["deliveries"] if each["channel"] == "email"} for told in (before, after)
    ]
    assert reasons == [{None}, {"suppression_list"}]
    assert any("changed since" in sentence for sentence in before["past"]["unknown"])


async def test_what_was_accepted_around_that_time_is_told_with_what_the_gates_said(
    client: httpx2.AsyncClient, tenant: UUID, hot_pool: asyncpg.Pool
) -> None:
    user = await _earlier(hot_pool, tenant)
    now = utc_now()
    gates = (
        b'{"gates":[{"gate":"consent","verdict":"suppress","reason":"channel_opt_out","channel":"email"}],"plan":[]}'
    )
    ids = {hours: notification_id(int((now - timedelta(hours=hours)).timestamp() * 1000)) for hours in (30, 20, 10)}
    for identifier in ids.values():
        await hot_pool.execute(
            "INSERT INTO notifications (id, tenant_id, user_id, mode, template, template_version, category, priority,"
            " data, decisions, expires_at, created_at)"
            " VALUES ($1, $2, $3, 1, 'order_shipped', 1, 'orders', 3, '{}', $4, now(), $5)",
            identifier,
            tenant,
            user,
            gates,
            moment_of(identifier),
        )

    asked = now - timedelta(hours=20, minutes=10)
    told = (await client.get("/api/v1/explain", params=_ask(asked))).json()["past"]
    narrow = (await client.get("/api/v1/explain", params=_ask(asked, window_s=60))).json()["past"]

    assert [each["notification"]["id"] for each in told["notifications"]] == [str(ids[20])]
    assert told["notifications"][0]["gates"][0]["reason"] == "channel_opt_out"
    assert (told["before"], told["after"]) == (str(ids[30]), str(ids[10]))
    assert narrow["notifications"] == []
    assert (narrow["before"], narrow["after"]) == (str(ids[30]), str(ids[20]))


async def test_it_is_said_plainly_what_nobody_can_know(
    client: httpx2.AsyncClient, tenant: UUID, hot_pool: asyncpg.Pool
) -> None:
    long_ago, now = utc_now() - timedelta(days=900), utc_now()
    before_it_was_made = (await client.get("/api/v1/explain", params=_ask(now - timedelta(hours=1)))).json()
    old = (await client.get("/api/v1/explain", params=_ask(long_ago))).json()
    async with hot_pool.acquire() as conn, conn.transaction():
        await erasures.begin(conn, SEAL, tenant, "user-1", actor="test", now=now, counts={})

    erased = await client.get("/api/v1/explain", params=_ask(now - timedelta(hours=1)))

    assert any("the user was made at" in sentence for sentence in before_it_was_made["past"]["unknown"])
    assert {each["reason"] for each in before_it_was_made["deliveries"]} <= {"no_address", "no_device"}
    assert any("kept for 13 months" in sentence for sentence in old["past"]["unknown"])
    assert erased.status_code == 422
    assert "erased at" in erased.json()["errors"][0]["detail"]
