"""The `api` role as a process: it says where it listens, answers for its dependencies, and drains when told to stop."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
import httpx2
import pytest

from domain.clock import utc_now
from domain.ids import uuid7
from domain.notification import Mode
from plumbing.partitions import ensure_partitions
from plumbing.secrets import hash_api_key, new_api_key

_PROGRAM = """
import asyncio, sys
from api.run import run
from domain.errors import CarillonError
from plumbing.settings import Settings
try:
    asyncio.run(run(Settings(_env_file=None)))
except CarillonError as error:
    sys.exit(str(error))
"""


def environment(database_url: str, redis_url: str, amqp_url: str, port: int = 0) -> dict[str, str]:
    """What the role needs to know."""
    return os.environ | {
        "CARILLON_DATABASE_URL": database_url,
        "CARILLON_REDIS_URL": redis_url,
        "CARILLON_AMQP_URL": amqp_url,
        "CARILLON_SECRET_KEY": "a secret key for tests, 32 bytes long",
        "CARILLON_API_PORT": str(port),
        "CARILLON_LOG_LEVEL": "warning",
    }


@asynccontextmanager
async def running(env: dict[str, str]) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A process of the role, ready, and its URL."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _PROGRAM, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            line = await process.stdout.readline()
        assert line, await _words_of(process)
        yield process, json.loads(line)["url"]
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_it_serves_until_it_is_told_to_stop(database_url: str, redis_url: str, amqp_url: str) -> None:
    async with running(environment(database_url, redis_url, amqp_url)) as (process, url):
        async with httpx2.AsyncClient(base_url=url) as client:
            live = await client.get("/health/live")
            ready = await client.get("/health/ready")
            metrics = await client.get("/metrics")
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(60):
            code = await process.wait()

    assert live.status_code == 200
    assert ready.status_code == 200
    assert {each["name"]: each["is_up"] for each in ready.json()["dependencies"]} == {
        "postgres": True,
        "redis": True,
        "rabbitmq": True,
    }
    assert b"carillon_" in metrics.content
    assert code == 0


async def test_what_is_accepted_can_be_read_and_a_key_that_is_revoked_ends(
    database_url: str, redis_url: str, amqp_url: str, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    secret = new_api_key(Mode.LIVE)
    await hot_pool.execute(
        "INSERT INTO api_keys (id, tenant_id, name, mode, prefix, secret_hash, scopes)"
        " VALUES ($1, $2, $3, 1, $4, $5, $6)",
        uuid7(),
        tenant,
        "a test",
        secret[:12],
        hash_api_key(secret),
        ["send", "read"],
    )
    asked = {
        "to": {"user": "user-1", "email": "ada@example.org"},
        "content": {"title": "Hello", "body": "World"},
        "channels": ["email"],
    }
    headers = {"authorization": f"Bearer {secret}"}
    async with (
        running(environment(database_url, redis_url, amqp_url)) as (_, url),
        httpx2.AsyncClient(base_url=url, headers=headers) as client,
    ):
        await ensure(hot_pool)
        first = await client.post("/api/v1/notifications", json=asked, headers={"idempotency-key": "one"})
        again = await client.post("/api/v1/notifications", json=asked, headers={"idempotency-key": "one"})
        read = await client.get(first.headers["location"])
        await hot_pool.execute("UPDATE api_keys SET revoked_at = now() WHERE tenant_id = $1", tenant)
        async with asyncio.timeout(60):
            while (await client.get(first.headers["location"])).status_code != 401:
                await asyncio.sleep(0.1)

    assert first.status_code == again.status_code == 202
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json() == first.json()
    assert read.json()["id"] == first.json()["id"]
    assert read.json()["user"] == "user-1"
    assert "ratelimit" in read.headers


async def ensure(pool: asyncpg.Pool) -> None:
    """Partitions of this month, whatever month it is."""
    async with pool.acquire() as conn:
        await ensure_partitions(conn, utc_now())


async def test_two_processes_share_a_port(database_url: str, redis_url: str, amqp_url: str) -> None:
    async with running(environment(database_url, redis_url, amqp_url)) as (_, url):
        port = int(url.rpartition(":")[2])
        async with (
            running(environment(database_url, redis_url, amqp_url, port)) as (_, second),
            httpx2.AsyncClient(base_url=second) as client,
        ):
            assert second == url
            assert (await client.get("/health/live")).status_code == 200


@pytest.mark.parametrize("missing", ["CARILLON_DATABASE_URL", "CARILLON_AMQP_URL"])
async def test_without_a_service_it_ends_with_one_line_that_names_it(
    database_url: str, redis_url: str, amqp_url: str, missing: str
) -> None:
    scheme = "amqp" if "AMQP" in missing else "postgresql"
    env = environment(database_url, redis_url, amqp_url) | {missing: f"{scheme}://nobody:hunter2@127.0.0.1:1/x"}

    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _PROGRAM, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        words = await _words_of(process)

    assert process.returncode == 1
    assert len(words.splitlines()) == 1
    assert "hunter2" not in words
    assert ("RabbitMQ" if "AMQP" in missing else "PostgreSQL") in words


async def _words_of(process: asyncio.subprocess.Process) -> str:
    _, errors = await process.communicate()
    return errors.decode()
