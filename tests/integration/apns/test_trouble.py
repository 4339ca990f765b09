"""The provider door in trouble: killed, without PostgreSQL or Redis, over its limit, told to stop; and its log."""

import asyncio
import signal
import time
from collections import Counter
from contextlib import suppress
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import httpx2
import pytest

from api.apns.reasons import ApnsReason
from plumbing.failpoints import VARIABLE, Failpoint
from tests.apns_doors import PAYLOAD, Door, Provider, a_token, push, running_door

NOWHERE = "redis://127.0.0.1:1/0"


async def count(pool: asyncpg.Pool, provider: Provider) -> int:
    """Notifications of this provider."""
    found: int = await pool.fetchval("SELECT count(*) FROM notifications WHERE tenant_id = $1", provider.tenant)
    return found


@pytest.mark.parametrize(
    ("failpoint", "kept"), [(Failpoint.ACCEPT_BEFORE_COMMIT, 0), (Failpoint.ACCEPT_AFTER_COMMIT, 1)]
)
async def test_a_push_whose_door_was_killed_before_it_answered_is_kept_once_when_it_comes_again(
    failpoint: Failpoint,
    kept: int,
    door: Door,
    door_settings: dict[str, str],
    hot_pool: asyncpg.Pool,
    provider: Provider,
) -> None:
    token, _ = await a_token(hot_pool, provider)
    headers = provider.headers(apns_id=str(uuid4()))

    async with running_door({**door_settings, VARIABLE: str(failpoint)}) as deadly, deadly.client() as client:
        with suppress(httpx2.HTTPError):
            await push(client, token, headers)
        assert await asyncio.wait_for(deadly.process.wait(), 30) == -signal.SIGKILL
    left = await count(hot_pool, provider)
    async with door.client() as client:
        answers = [await push(client, token, headers) for _ in range(2)]

    assert left == kept
    assert [answer.status for answer in answers] == [200, 200]
    assert await count(hot_pool, provider) == 1


class Link:
    """The way to PostgreSQL, which a test may cut and mend."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = parts.hostname or "", parts.port or 5432
        self._writers: set[asyncio.StreamWriter] = set()
        self._is_up = True

    async def open(self) -> asyncio.Server:
        """Listen on a free port."""
        return await asyncio.start_server(self._carry, "127.0.0.1", 0)

    def cut(self) -> None:
        """Nothing gets through any more."""
        self._is_up = False
        for writer in self._writers:
            writer.transport.abort()

    def mend(self) -> None:
        """New connections get through."""
        self._is_up = True

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._is_up:
            writer.transport.abort()
            return
        there_reader, there = await asyncio.open_connection(*self._target)
        self._writers |= {writer, there}
        await asyncio.gather(_copy(reader, there), _copy(there_reader, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
    writer.close()


async def test_without_postgresql_nothing_is_taken_and_with_it_again_everything(
    database_url: str, door_settings: dict[str, str], hot_pool: asyncpg.Pool, provider: Provider
) -> None:
    token, _ = await a_token(hot_pool, provider)
    headers = provider.headers(apns_id=str(uuid4()))
    link = Link(database_url)
    server = await link.open()
    port = server.sockets[0].getsockname()[1]
    parts = urlsplit(database_url)
    url = urlunsplit(parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{port}"))

    async with running_door({**door_settings, "CARILLON_DATABASE_URL": url}) as door, door.client() as client:
        link.cut()
        began = time.monotonic()
        away = [await push(client, token, headers) for _ in range(3)]
        took_s = time.monotonic() - began
        left = await count(hot_pool, provider)
        link.mend()
        deadline = time.monotonic() + 15
        while (back := await push(client, token, headers)).status != 200:
            assert time.monotonic() < deadline
    link.cut()
    server.close()

    assert {(answer.status, answer.reason) for answer in away} == {(503, ApnsReason.SERVICE_UNAVAILABLE)}
    assert took_s < 6
    assert left == 0
    assert back.apns_id == headers["apns-id"]
    assert await count(hot_pool, provider) == 1


async def test_without_redis_pushes_are_taken_all_the_same(
    door_settings: dict[str, str], hot_pool: asyncpg.Pool, provider: Provider
) -> None:
    token, _ = await a_token(hot_pool, provider)

    async with running_door({**door_settings, "CARILLON_REDIS_URL": NOWHERE}) as door, door.client() as client:
        answers = [await push(client, token, provider.headers()) for _ in range(3)]

    assert [answer.status for answer in answers] == [200, 200, 200]


async def test_a_key_that_is_over_its_limit_hears_when_to_come_again(
    door_settings: dict[str, str], hot_pool: asyncpg.Pool, provider: Provider
) -> None:
    token, _ = await a_token(hot_pool, provider)
    slow = {**door_settings, "CARILLON_KEY_LIMIT_PER_S": "1", "CARILLON_KEY_LIMIT_BURST": "2"}
    headers = provider.headers()

    async with running_door(slow) as door, door.client() as client:
        answers = await asyncio.gather(*(push(client, token, headers) for _ in range(6)))

    refused = [answer for answer in answers if answer.status != 200]
    assert 2 <= len(answers) - len(refused) <= 4
    assert {(answer.status, answer.reason) for answer in refused} == {(429, ApnsReason.TOO_MANY_REQUESTS)}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)


async def test_a_door_that_is_told_to_stop_under_load_keeps_what_it_answered_and_ends_in_time(
    door_settings: dict[str, str], hot_pool: asyncpg.Pool, provider: Provider
) -> None:
    token, _ = await a_token(hot_pool, provider)
    headers = provider.headers()
    heard: Counter[tuple[int, str | None]] = Counter()

    async def send(client: httpx2.AsyncClient) -> None:
        with suppress(httpx2.HTTPError):
            while True:
                answer = await push(client, token, headers)
                heard[(answer.status, answer.reason)] += 1

    async with running_door(door_settings) as door:
        clients = [door.client(http2=number % 2 == 0) for number in range(4)]
        senders = [asyncio.create_task(send(client)) for client in clients for _ in range(8)]
        deadline = time.monotonic() + 60
        while heard[(200, None)] < 200:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        began = time.monotonic()
        door.process.send_signal(signal.SIGTERM)
        code = await asyncio.wait_for(door.process.wait(), 30)
        took_s = time.monotonic() - began
        await asyncio.gather(*senders)
        for client in clients:
            await client.aclose()

    assert code == 0, "".join(door.said)
    assert took_s < 10
    assert not [line for line in door.said if "Traceback" in line]
    assert set(heard) <= {(200, None), (503, ApnsReason.SHUTDOWN)}
    assert await count(hot_pool, provider) >= heard[(200, None)]


async def test_no_device_token_provider_token_or_payload_is_ever_written_down(
    door_settings: dict[str, str], hot_pool: asyncpg.Pool, provider: Provider
) -> None:
    token, _ = await a_token(hot_pool, provider)
    gone, _ = await a_token(hot_pool, provider, is_gone=True)
    bearer, unknown = provider.sign(), "ab" * 32
    headers = provider.headers(authorization=f"bearer {bearer}")
    secret = {"aps": {"alert": "quite-a-secret"}}

    async with running_door({**door_settings, "CARILLON_LOG_LEVEL": "debug"}) as door:
        for http2 in (True, False):
            async with door.client(http2=http2) as client:
                for each in (token, gone, unknown, "zz" * 32):
                    await push(client, each, headers, secret)
                await push(client, token, {**headers, "authorization": f"bearer {bearer}x"}, secret)
                await push(client, token, headers, secret, path=f"/4/{token}")
                await push(client, token, headers, secret, method="GET")
        async with httpx2.AsyncClient() as asking:
            metrics = (await asking.get(door.metrics_url)).text
    written = "".join(door.said) + metrics

    assert written.count("push.answered") == 14
    for canary in (token, gone, unknown, "zz" * 32, bearer, bearer[-40:], "quite-a-secret"):
        assert canary not in written
    assert 'apns_door_answers_total{code="410"} 2.0' in metrics


async def test_heads_that_are_too_large_and_strangers_to_the_protocol_leave_the_door_standing(
    door: Door, hot_pool: asyncpg.Pool, provider: Provider
) -> None:
    token, _ = await a_token(hot_pool, provider)
    _, plain = await asyncio.open_connection("127.0.0.1", door.port)
    plain.write(b"GET / HTTP/1.1\r\nHost: door\r\n\r\n")
    _, tls = await asyncio.open_connection("127.0.0.1", door.port, ssl=door.trust(), server_hostname="localhost")
    tls.write(b"\x00" * 100_000)
    await tls.drain()
    async with door.client() as client:
        large = await client.post(f"/3/device/{token}", headers={"x-large": "a" * 40_000}, content=b"{}")
        answer = await push(client, token, provider.headers(), PAYLOAD)
    for writer in (plain, tls):
        writer.close()

    assert large.status_code == 431
    assert answer.status == 200
