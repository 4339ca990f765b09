"""What the door takes: one notification for each push, as its headers say, over either protocol."""

import asyncio
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx2
import msgspec
import pytest

from api.apns.reasons import ApnsReason
from domain.delivery import DeliveryStatus
from domain.lanes import Priority
from domain.reasons import Reason
from tests.apns_doors import BUNDLE, PAYLOAD, Door, Provider, a_token, push
from tests.integration.devices import a_user

_KEPT = """
SELECT n.priority, n.collapse_id, n.reference, n.data, n.created_at, d.address_id, d.status, d.reason, d.expires_at
FROM notifications n JOIN deliveries d ON d.tenant_id = n.tenant_id AND d.id > n.id
WHERE n.tenant_id = $1 ORDER BY n.id LIMIT 1
"""


async def kept(pool: asyncpg.Pool, provider: Provider) -> dict[str, Any]:
    """What is kept of this provider's only push: the notification and its delivery."""
    assert await count(pool, provider) == 1
    row = dict(await pool.fetchrow(_KEPT, provider.tenant))
    return {**row, "push": msgspec.json.decode(row["data"])["push"]}


async def count(pool: asyncpg.Pool, provider: Provider) -> int:
    """Notifications of this provider."""
    found: int = await pool.fetchval("SELECT count(*) FROM notifications WHERE tenant_id = $1", provider.tenant)
    return found


@pytest.mark.parametrize("http2", [True, False], ids=["HTTP/2", "HTTP/1.1"])
async def test_a_push_is_taken_and_kept_as_one_notification(
    http2: bool, door: Door, hot_pool: asyncpg.Pool, provider: Provider
) -> None:
    token, device = await a_token(hot_pool, provider)

    async with door.client(http2=http2) as client:
        answer = await push(client, token, provider.headers())

    row = await kept(hot_pool, provider)
    assert (answer.status, answer.reason, answer.http) == (200, None, "HTTP/2" if http2 else "HTTP/1.1")
    assert row["push"]["payload"] == PAYLOAD
    assert row["address_id"] == device
    assert row["reference"] == answer.apns_id == str(UUID(answer.apns_id))
    assert Priority.of(row["priority"]) is Priority.HIGH
    assert row["expires_at"] - row["created_at"] == timedelta(days=30)


@pytest.mark.parametrize(
    ("headers", "priority", "wake"),
    [
        ({"apns_priority": "10", "apns_push_type": "alert"}, Priority.HIGH, 10),
        ({"apns_priority": "5"}, Priority.NORMAL, 5),
        ({"apns_priority": "1"}, Priority.LOW, 1),
        ({"apns_push_type": "background"}, Priority.NORMAL, 5),
        ({"apns_topic": f"{BUNDLE}.voip", "apns_push_type": "voip"}, Priority.HIGH, 10),
        ({"apns_topic": f"{BUNDLE}.push-type.liveactivity", "apns_push_type": "liveactivity"}, Priority.HIGH, 10),
    ],
)
async def test_the_headers_say_how_eagerly(
    headers: dict[str, str | None],
    priority: Priority,
    wake: int,
    client: httpx2.AsyncClient,
    hot_pool: asyncpg.Pool,
    provider: Provider,
) -> None:
    token, _ = await a_token(hot_pool, provider)

    answer = await push(client, token, provider.headers(**headers))

    row = await kept(hot_pool, provider)
    assert answer.status == 200
    assert (Priority.of(row["priority"]), row["push"]["wake"]) == (priority, wake)


async def test_now_or_never_is_said_so_and_over_within_half_a_minute(
    client: httpx2.AsyncClient, hot_pool: asyncpg.Pool, provider: Provider
) -> None:
    token, _ = await a_token(hot_pool, provider)

    answer = await push(client, token, provider.headers(apns_expiration="0", apns_collapse_id="c" * 64))

    row = await kept(hot_pool, provider)
    assert answer.status == 200
    assert row["push"]["is_live_only"] is True
    assert row["expires_at"] - row["created_at"] == timedelta(seconds=30)
    assert row["collapse_id"] == "c" * 64


@pytest.mark.parametrize(("ahead_s", "life_s"), [(600, 600), (90 * 86_400, 30 * 86_400)])
async def test_an_expiration_is_kept_up_to_thirty_days(
    ahead_s: int, life_s: int, client: httpx2.AsyncClient, hot_pool: asyncpg.Pool, provider: Provider
) -> None:
    token, _ = await a_token(hot_pool, provider)

    answer = await push(client, token, provider.headers(apns_expiration=str(int(time.time()) + ahead_s)))

    row = await kept(hot_pool, provider)
    assert answer.status == 200
    assert abs(row["expires_at"] - datetime.now(UTC) - timedelta(seconds=life_s)) < timedelta(seconds=10)


async def test_what_is_too_late_already_is_taken_and_its_end_written_down(
    client: httpx2.AsyncClient, hot_pool: asyncpg.Pool, provider: Provider
) -> None:
    token, _ = await a_token(hot_pool, provider)

    answer = await push(client, token, provider.headers(apns_expiration="1700000000"))

    row = await kept(hot_pool, provider)
    assert answer.status == 200
    assert DeliveryStatus.of(row["status"]) is DeliveryStatus.SUPPRESSED
    assert Reason.of(row["reason"]) is Reason.EXPIRED


async def test_a_push_to_somebody_who_opted_out_is_taken_and_the_decision_kept(
    client: httpx2.AsyncClient, hot_pool: asyncpg.Pool, provider: Provider
) -> None:
    user = await a_user(hot_pool, provider.tenant, "someone", channels={"push": False})
    token, _ = await a_token(hot_pool, provider, user=user)

    answer = await push(client, token, provider.headers())

    row = await kept(hot_pool, provider)
    assert answer.status == 200
    assert Reason.of(row["reason"]) is Reason.CHANNEL_OPT_OUT


async def test_one_device_may_be_sent_many_pushes_and_no_limit_of_people_swallows_them(
    client: httpx2.AsyncClient, hot_pool: asyncpg.Pool, provider: Provider
) -> None:
    user = await a_user(hot_pool, provider.tenant, "someone")
    token, _ = await a_token(hot_pool, provider, user=user)
    headers = provider.headers()

    answers = await asyncio.gather(*(push(client, token, headers) for _ in range(150)))

    refused = "SELECT count(*) FROM deliveries WHERE tenant_id = $1 AND status = $2"
    assert {answer.status for answer in answers} == {200}
    assert await count(hot_pool, provider) == 150
    assert await hot_pool.fetchval(refused, provider.tenant, DeliveryStatus.SUPPRESSED.code) == 0


async def test_a_token_is_found_in_lower_case_when_it_comes_in_capitals(
    client: httpx2.AsyncClient, hot_pool: asyncpg.Pool, provider: Provider
) -> None:
    token, _ = await a_token(hot_pool, provider)

    answer = await push(client, token.upper(), provider.headers())

    assert answer.status == 200


async def test_exactly_4096_bytes_are_taken(
    client: httpx2.AsyncClient, hot_pool: asyncpg.Pool, provider: Provider
) -> None:
    token, _ = await a_token(hot_pool, provider)
    empty = b'{"aps":{"alert":""}}'

    answer = await push(client, token, provider.headers(), empty[:-3] + b"a" * (4096 - len(empty)) + empty[-3:])

    assert answer.status == 200


async def test_the_same_push_again_is_taken_and_not_sent_again(
    client: httpx2.AsyncClient, hot_pool: asyncpg.Pool, provider: Provider
) -> None:
    token, _ = await a_token(hot_pool, provider)
    apns_id = str(uuid4())
    later = [{"apns_expiration": str(int(time.time()) + ahead_s)} for ahead_s in (60, 61)]

    answers = [await push(client, token, provider.headers(apns_id=apns_id, **more)) for more in later]
    answers.append(await push(client, token, provider.headers(apns_id=apns_id.upper(), **later[0])))

    assert [(answer.status, answer.apns_id) for answer in answers] == [
        (200, apns_id),
        (200, apns_id),
        (200, apns_id.upper()),
    ]
    assert await count(hot_pool, provider) == 1


@pytest.mark.parametrize(
    "change", [{"apns_priority": "5"}, {"apns_collapse_id": "other"}, {"apns_expiration": "0"}, {"payload": {"a": 1}}]
)
async def test_another_push_under_the_same_id_is_refused(
    change: dict[str, Any], client: httpx2.AsyncClient, hot_pool: asyncpg.Pool, provider: Provider
) -> None:
    token, _ = await a_token(hot_pool, provider)
    apns_id = str(uuid4())
    await push(client, token, provider.headers(apns_id=apns_id))
    payload = change.pop("payload", PAYLOAD)

    answer = await push(client, token, provider.headers(apns_id=apns_id, **change), payload)

    assert (answer.status, answer.reason, answer.apns_id) == (400, ApnsReason.BAD_MESSAGE_ID, apns_id)
    assert await count(hot_pool, provider) == 1


async def test_one_id_for_two_devices_is_two_pushes(
    client: httpx2.AsyncClient, hot_pool: asyncpg.Pool, provider: Provider
) -> None:
    tokens = [(await a_token(hot_pool, provider))[0] for _ in range(2)]
    apns_id = str(uuid4())

    answers = [await push(client, token, provider.headers(apns_id=apns_id)) for token in tokens]

    assert [answer.status for answer in answers] == [200, 200]
    assert await count(hot_pool, provider) == 2


async def test_a_thousand_pushes_over_four_connections_are_all_taken_each_once_though_said_twice(
    door: Door, hot_pool: asyncpg.Pool, provider: Provider
) -> None:
    tokens = [(await a_token(hot_pool, provider))[0] for _ in range(100)]
    headers = provider.headers()
    ids = [str(uuid4()) for _ in range(1000)]
    clients = [door.client() for _ in range(4)]

    async def one(number: int, connection: int) -> tuple[int, str | None]:
        said = {**headers, "apns-id": ids[number]}
        answer = await push(clients[connection % 4], tokens[number % 100], said)
        return answer.status, answer.reason

    pushes = [one(number, number + twin) for number in range(1000) for twin in range(2)]
    heard = Counter(await asyncio.gather(*pushes))
    for client in clients:
        await client.aclose()

    found = await hot_pool.fetch("SELECT reference FROM notifications WHERE tenant_id = $1", provider.tenant)
    assert heard == {(200, None): 2000}
    assert sorted(row["reference"] for row in found) == sorted(ids)
