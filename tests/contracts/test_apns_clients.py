"""A client library for Apple's push service, unchanged but for host, port and authority, against our door.

aioapns has Apple's host and port as attributes of the protocol class that its pool makes connections with; a subclass
with two other values is all that is given to it. The authority comes by its own `ssl_context` argument. It names no
protocol in its handshake (ALPN) and begins with HTTP/2 all the same, which the door understands.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from aioapns import APNs, NotificationRequest, PushType
from aioapns.common import NotificationResult
from aioapns.connection import APNsProductionClientProtocol

from api.apns.reasons import ApnsReason
from tests.apns_doors import BUNDLE, PAYLOAD, Door, Provider, a_provider, a_token, environment, push, running_door


@pytest.fixture(scope="module")
async def door(
    database_url: str, redis_url: str, amqp_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Door]:
    """A provider door."""
    folder: Path = tmp_path_factory.mktemp("door")
    async with running_door(environment(database_url, redis_url, amqp_url, folder)) as door:
        yield door


@pytest.fixture
async def provider(hot_pool: asyncpg.Pool) -> Provider:
    """A provider with a key for its app."""
    return await a_provider(hot_pool)


@pytest.fixture
async def apns(door: Door, provider: Provider) -> AsyncIterator[APNs]:
    """The client library, with this provider's .p8 key."""
    client = a_client(door, provider)
    yield client
    await close(client)


def a_client(door: Door, provider: Provider, *, topic: str = BUNDLE, connections: int = 10) -> APNs:
    """The library as its users make it; then the only change."""
    client = APNs(
        key=provider.pair.private_pem.decode(),
        key_id=provider.key_id,
        team_id=provider.team,
        topic=topic,
        max_connections=connections,
        ssl_context=door.trust(),
        err_func=_say_nothing,
    )
    here = {"APNS_SERVER": "localhost", "APNS_PORT": door.port}
    client.pool.protocol_class = type("OurDoor", (APNsProductionClientProtocol,), here)
    return client


async def test_a_push_of_the_library_arrives_with_everything_it_says(
    apns: APNs, hot_pool: asyncpg.Pool, provider: Provider
) -> None:
    token, device = await a_token(hot_pool, provider)
    request = NotificationRequest(
        token, PAYLOAD, time_to_live=600, priority=5, collapse_key="score", push_type=PushType.ALERT
    )

    result = await apns.send_notification(request)

    kept = await hot_pool.fetchrow(
        """SELECT n.reference, n.collapse_id, n.created_at, d.address_id, d.expires_at FROM notifications n
           JOIN deliveries d ON d.tenant_id = n.tenant_id WHERE n.tenant_id = $1""",
        provider.tenant,
    )
    assert (result.is_successful, result.notification_id) == (True, request.notification_id)
    assert (kept["reference"], kept["collapse_id"], kept["address_id"]) == (request.notification_id, "score", device)
    assert 590 <= (kept["expires_at"] - kept["created_at"]).total_seconds() <= 601


@pytest.mark.parametrize(
    ("token", "topic", "message", "status", "reason"),
    [
        ("ab" * 32, BUNDLE, PAYLOAD, "400", ApnsReason.BAD_DEVICE_TOKEN),
        ("xy", BUNDLE, PAYLOAD, "400", ApnsReason.BAD_DEVICE_TOKEN),
        (None, "com.example.other", PAYLOAD, "400", ApnsReason.TOPIC_DISALLOWED),
        (None, BUNDLE, {}, "400", ApnsReason.PAYLOAD_EMPTY),
        (None, BUNDLE, {"aps": {"alert": "a" * 5000}}, "413", ApnsReason.PAYLOAD_TOO_LARGE),
    ],
)
async def test_the_library_hears_apples_reasons(
    token: str | None,
    topic: str,
    message: dict[str, object],
    status: str,
    reason: ApnsReason,
    apns: APNs,
    hot_pool: asyncpg.Pool,
    provider: Provider,
) -> None:
    known, _ = await a_token(hot_pool, provider)

    result = await apns.send_notification(NotificationRequest(token or known, message, apns_topic=topic))

    assert (result.status, result.description) == (status, reason)


async def test_the_library_hears_since_when_a_device_is_gone(
    apns: APNs, hot_pool: asyncpg.Pool, provider: Provider
) -> None:
    token, _ = await a_token(hot_pool, provider, is_gone=True)

    result = await apns.send_notification(NotificationRequest(token, PAYLOAD))

    assert (result.status, result.description) == ("410", ApnsReason.UNREGISTERED)
    assert abs((result.timestamp or 0) - time.time() * 1000) < 60_000


async def test_a_key_that_is_not_known_here_is_refused(door: Door, hot_pool: asyncpg.Pool, provider: Provider) -> None:
    token, _ = await a_token(hot_pool, provider)
    stranger = Provider(provider.tenant, provider.app, provider.team, "NOSUCHKEY1", provider.pair)
    client = a_client(door, stranger)

    result = await client.send_notification(NotificationRequest(token, PAYLOAD))

    await close(client)
    assert (result.status, result.description) == ("403", ApnsReason.INVALID_PROVIDER_TOKEN)


async def test_a_thousand_pushes_of_four_clients_are_all_taken_each_once(
    door: Door, hot_pool: asyncpg.Pool, provider: Provider
) -> None:
    tokens = [(await a_token(hot_pool, provider))[0] for _ in range(50)]
    clients = [a_client(door, provider, connections=1) for _ in range(4)]
    requests = [NotificationRequest(tokens[number % 50], PAYLOAD) for number in range(1000)]

    results = await asyncio.gather(
        *(clients[number % 4].send_notification(request) for number, request in enumerate(requests))
    )

    for client in clients:
        await close(client)
    kept = await hot_pool.fetch("SELECT reference FROM notifications WHERE tenant_id = $1", provider.tenant)
    assert {result.status for result in results} == {"200"}
    assert sorted(row["reference"] for row in kept) == sorted(request.notification_id for request in requests)


@pytest.mark.parametrize("http2", [True, False], ids=["HTTP/2", "HTTP/1.1"])
async def test_httpx2_pushes_and_hears_the_same_over_either_protocol(
    http2: bool, door: Door, hot_pool: asyncpg.Pool, provider: Provider
) -> None:
    token, _ = await a_token(hot_pool, provider)
    apns_id = str(uuid4())

    async with door.client(http2=http2) as client:
        good = await push(client, token, provider.headers(apns_id=apns_id))
        bad = await push(client, token, provider.headers(apns_priority="3"))

    assert (good.status, good.http, good.apns_id) == (200, "HTTP/2" if http2 else "HTTP/1.1", apns_id)
    assert (bad.status, bad.reason) == (400, ApnsReason.BAD_PRIORITY)


async def close(client: APNs) -> None:
    """End its connections, and let them be gone."""
    connections = list(client.pool.connections)
    client.pool.close()
    async with asyncio.timeout(20):
        while any(connection in client.pool.connections for connection in connections):
            await asyncio.sleep(0.01)


async def _say_nothing(request: NotificationRequest, result: NotificationResult) -> None:
    """The library would log each refusal as an error."""
