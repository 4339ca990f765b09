"""Reading what became of notifications, over a real database and two tenants who know nothing of each other."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import httpx2
import msgspec
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from api.app import create_app
from domain.clock import utc_now
from domain.delivery import DeliveryStatus
from domain.ids import delivery_id, notification_id, uuid7
from domain.lanes import Channel, Priority
from domain.notification import Mode
from domain.reasons import Reason
from tests.integration.api.doors import SECRET, FakeBatcher, KeyRing, make_house
from tracking import ledger
from tracking.rows import DeliveryRow, NotificationRow, Records

FOREIGN = "cn_live_" + "f" * 43
GATES = [{"gate": "recipient", "verdict": "pass", "inputs": {"known_as": "user"}}]


@dataclass
class House:
    """A client of one tenant, and one of another."""

    tenant_id: UUID
    mine: httpx2.AsyncClient
    foreign: httpx2.AsyncClient
    pool: asyncpg.Pool

    async def send(self, *statuses: DeliveryStatus) -> UUID:
        """A notification with deliveries at these statuses."""
        now = utc_now()
        identifier = notification_id()
        asked = NotificationRow(
            id=identifier,
            tenant_id=self.tenant_id,
            user_id=None,
            mode=Mode.LIVE,
            template="order_shipped",
            template_version=1,
            locale=None,
            category="orders",
            priority=Priority.NORMAL,
            data=b"{}",
            decisions=msgspec.json.encode({"gates": GATES, "plan": []}),
            collapse_id=None,
            dedupe_key=None,
            duplicate_of=None,
            reference=None,
            send_at=None,
            expires_at=now + timedelta(hours=1),
            created_at=now,
        )
        planned = [
            DeliveryRow(
                id=delivery_id(identifier, ordinal),
                tenant_id=self.tenant_id,
                user_id=None,
                address_id=None,
                envelope_id=uuid7(),
                recipient_version=1,
                recheck_at=None,
                channel=Channel.EMAIL,
                priority=Priority.NORMAL,
                mode=Mode.LIVE,
                status=status,
                reason=Reason.NO_ADDRESS if status is DeliveryStatus.SUPPRESSED else None,
                next_attempt_at=None,
                expires_at=now + timedelta(hours=1),
                created_at=now,
            )
            for ordinal, status in enumerate(statuses, 1)
        ]
        async with self.pool.acquire() as conn, conn.transaction():
            await ledger.record(conn, Records([asked], planned))
        return identifier


@pytest.fixture
async def house(
    tenant: UUID, hot_pool: asyncpg.Pool, read_pool: asyncpg.Pool, engine: AsyncEngine
) -> AsyncIterator[House]:
    ring = KeyRing()
    ring.add(SECRET, tenant_id=tenant)
    ring.add(FOREIGN, tenant_id=uuid7())
    app = create_app(make_house(FakeBatcher(), ring, hot_pool=hot_pool, read_pool=read_pool, engine=engine))
    transport = httpx2.ASGITransport(app)

    def client(secret: str) -> httpx2.AsyncClient:
        headers = {"authorization": f"Bearer {secret}"}
        return httpx2.AsyncClient(transport=transport, base_url="http://carillon", headers=headers)

    async with client(SECRET) as mine, client(FOREIGN) as foreign:
        yield House(tenant, mine, foreign, hot_pool)


async def test_one_notification_is_told_with_its_deliveries(house: House) -> None:
    identifier = await house.send(DeliveryStatus.QUEUED, DeliveryStatus.SUPPRESSED)

    told: dict[str, Any] = (await house.mine.get(f"/api/v1/notifications/{identifier}")).json()

    assert told["id"] == str(identifier)
    assert told["status"] == "accepted"
    assert [each["status"] for each in told["deliveries"]] == ["queued", "suppressed"]
    assert told["deliveries"][1]["reason"] == "no_address"
    assert told["created_at"].endswith("Z")


async def test_status_and_explanation_are_told(house: House) -> None:
    identifier = await house.send(DeliveryStatus.QUEUED)

    status = (await house.mine.get(f"/api/v1/notifications/{identifier}/status")).json()
    explained = (await house.mine.get(f"/api/v1/notifications/{identifier}/explain")).json()

    assert status["deliveries"] == [{"id": str(delivery_id(identifier, 1)), "status": "queued"}]
    assert explained["gates"][0]["gate"] == "recipient"
    assert explained["gates"][0]["inputs"] == {"known_as": "user"}
    assert explained["gates"][0]["at"] == explained["notification"]["created_at"]
    assert explained["notification"]["id"] == str(identifier)


async def test_lists_are_walked_by_cursor_and_narrowed_by_status(house: House) -> None:
    sent = [await house.send(DeliveryStatus.QUEUED) for _ in range(3)]
    refused = await house.send(DeliveryStatus.SUPPRESSED)

    first = (await house.mine.get("/api/v1/notifications", params={"limit": 2})).json()
    second = (await house.mine.get("/api/v1/notifications", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    narrowed = (await house.mine.get("/api/v1/notifications", params={"status": "suppressed"})).json()

    walked = [item["id"] for page in (first, second) for item in page["items"]]
    assert walked == sorted(map(str, [refused, *sent]), reverse=True)
    assert [item["id"] for item in narrowed["items"]] == [str(refused)]


async def test_23_what_belongs_to_another_tenant_does_not_exist(house: House) -> None:
    identifier = await house.send(DeliveryStatus.QUEUED)
    path = f"/api/v1/notifications/{identifier}"

    answers = [await house.foreign.get(path + tail) for tail in ("", "/status", "/explain")]
    answers.append(await house.foreign.delete(path))
    listed = (await house.foreign.get("/api/v1/notifications", headers={"x-tenant-id": str(house.tenant_id)})).json()

    assert [answer.status_code for answer in answers] == [404] * 4
    assert listed["items"] == []
    assert (await house.mine.get(path)).json()["status"] == "accepted"


async def test_a_cancellation_withdraws_and_says_the_same_twice(house: House) -> None:
    identifier = await house.send(DeliveryStatus.QUEUED)

    answers = [(await house.mine.delete(f"/api/v1/notifications/{identifier}")).json() for _ in range(2)]

    assert answers[0] == answers[1]
    assert [each["outcome"] for each in answers[0]["deliveries"]] == ["withdrawn"]
    assert (await house.mine.get(f"/api/v1/notifications/{identifier}")).json()["status"] == "cancelled"


@pytest.mark.parametrize(
    "query",
    [
        "limit=-1",
        "limit=1000000000",
        "limit=x",
        "sort=;drop",
        "status=nonsense",
        "status=sent'%20or%201=1--",
        "channel=pigeon",
        "cursor=abc",
        "cursor=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "since=yesterday",
        "since=1700000000",
        "since=2026-01-01T00:00:00",
        "since=1960-01-01T00:00:00Z",
        "until=0001-01-01T00:00:00Z",
        "user=%00",
    ],
)
async def test_27_and_28_queries_that_mean_nothing_are_refused(house: House, query: str) -> None:
    answer = await house.mine.get(f"/api/v1/notifications?{query}")

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"]


async def test_lists_of_campaigns_are_not_there_yet_and_say_so(house: House) -> None:
    answer = await house.mine.get("/api/v1/notifications?campaign=spring&limit=x")

    assert answer.json()["reason"] == "not_available_yet"
    assert answer.json()["errors"][0]["pointer"] == "/query/campaign"


async def test_a_cursor_of_another_tenant_is_refused(house: House) -> None:
    for _ in range(2):
        await house.send(DeliveryStatus.QUEUED)
    cursor = (await house.mine.get("/api/v1/notifications?limit=1")).json()["next_cursor"]

    assert (await house.foreign.get("/api/v1/notifications", params={"cursor": cursor})).status_code == 422


async def test_statistics_say_as_of_when(house: House) -> None:
    answer = await house.mine.get("/api/v1/notifications/stats?group_by=channel&group_by=hour")

    assert answer.status_code == 200
    assert set(answer.json()) == {"since", "as_of", "items"}


async def test_an_id_that_is_none_is_refused(house: House) -> None:
    assert (await house.mine.get("/api/v1/notifications/nonsense")).status_code == 422
    assert (await house.mine.get(f"/api/v1/notifications/{uuid7()}")).status_code == 404
