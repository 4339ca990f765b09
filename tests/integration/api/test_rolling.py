"""Two processes of the API share a port; each is replaced under load, and no client sees more than its answer."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
import httpx2
import pytest

from domain.clock import utc_now
from domain.ids import uuid7
from domain.notification import Mode
from ops.stack.ports import free_port
from plumbing.partitions import ensure_partitions
from plumbing.secrets import hash_api_key, new_api_key
from tests.integration.api.test_role import environment, running

PER_S = 150.0
CONNECTIONS = 32
EXITS_WITHIN_S = 30


class Load:
    """A client that keeps connections, as a balancer does: a request on one that was closed meanwhile goes again, once.

    Without that no server can be replaced: a connection may be closed while a request is on its way.
    """

    def __init__(self, url: str, secret: str) -> None:
        self.answers: Counter[object] = Counter()
        self.again = 0
        self.accepted: set[UUID] = set()
        limits = httpx2.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
        headers = {"Authorization": f"Bearer {secret}"}
        self._client = httpx2.AsyncClient(base_url=url, timeout=20, limits=limits, headers=headers)
        self._is_over = False

    async def run(self) -> None:
        """Send at a steady pace until `stop`."""
        begun_s, n = time.monotonic(), 0
        async with self._client, asyncio.TaskGroup() as group:
            while not self._is_over:
                group.create_task(self._send(n))
                n += 1
                await asyncio.sleep(max(0.0, begun_s + n / PER_S - time.monotonic()))

    def stop(self) -> None:
        """Send no more."""
        self._is_over = True

    async def answered(self, more: int) -> None:
        """Wait for so many more answers."""
        wanted = self.answers.total() + more
        async with asyncio.timeout(60):
            while self.answers.total() < wanted:
                await asyncio.sleep(0.02)

    async def _send(self, n: int) -> None:
        request = {"to": {"email": f"ok+{n}@example.com"}, "content": {"title": "Rolling", "body": "On."}}
        headers = {"Idempotency-Key": f"rolling-{n}"}
        try:
            try:
                answer = await self._client.post("/api/v1/notifications", json=request, headers=headers)
            except (httpx2.ReadError, httpx2.WriteError, httpx2.RemoteProtocolError):
                self.again += 1
                answer = await self._client.post("/api/v1/notifications", json=request, headers=headers)
        except httpx2.HTTPError as error:
            self.answers[type(error).__name__] += 1
        else:
            self.answers[answer.status_code] += 1
            if answer.status_code == 202:
                self.accepted.add(UUID(answer.json()["id"]))


@pytest.fixture
async def secret(hot_pool: asyncpg.Pool, tenant: UUID) -> AsyncIterator[str]:
    """A key that may send; what was sent goes with the test."""
    async with hot_pool.acquire() as conn:
        await ensure_partitions(conn, utc_now())
    secret = new_api_key(Mode.LIVE)
    await hot_pool.execute(
        "INSERT INTO api_keys (id, tenant_id, name, mode, prefix, secret_hash, scopes)"
        " VALUES ($1, $2, 'rolling', $3, $4, $5, ARRAY['send', 'read'])",
        uuid7(),
        tenant,
        Mode.LIVE.code,
        secret[:16],
        hash_api_key(secret),
    )
    yield secret
    await hot_pool.execute("DELETE FROM outbox WHERE tenant_id = $1", tenant)


@asynccontextmanager
async def talking(env: dict[str, str]) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A process of the role whose words are read away: it says one line per request."""
    async with running(env) as (process, url):
        assert process.stdout is not None
        assert process.stderr is not None
        hearing = [asyncio.create_task(stream.read()) for stream in (process.stdout, process.stderr)]
        yield process, url
        await asyncio.wait(hearing)


@pytest.mark.slow
async def test_a_rolling_restart_under_load_costs_no_answer(
    database_url: str, redis_url: str, amqp_url: str, hot_pool: asyncpg.Pool, tenant: UUID, secret: str
) -> None:
    port = free_port()
    env = environment(database_url, redis_url, amqp_url, port)
    ends: list[tuple[int | None, bool]] = []

    async def replace(old: asyncio.subprocess.Process) -> None:
        begun_s = time.monotonic()
        old.send_signal(signal.SIGTERM)
        async with asyncio.timeout(2 * EXITS_WITHIN_S):
            code = await old.wait()
        ends.append((code, time.monotonic() - begun_s < EXITS_WITHIN_S))

    async with talking(env) as (first, url), talking(env) as (second, _):
        load = Load(url, secret)
        sending = asyncio.create_task(load.run())
        await load.answered(100)
        await replace(first)
        async with talking(env) as (third, _):
            await load.answered(100)
            await replace(second)
            await load.answered(100)
            load.stop()
            await sending
            await replace(third)

    known = await hot_pool.fetch("SELECT id FROM notifications WHERE tenant_id = $1", tenant)
    assert ends == [(0, True)] * 3
    assert set(load.answers) == {202}, load.answers
    assert {row["id"] for row in known} == load.accepted
    assert len(known) == load.answers[202]
    assert load.again <= 3 * CONNECTIONS
