"""Redis gone, frozen and flushed under a hundred requests a second: no error, little delay, the same decisions."""

import asyncio
import json
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from math import ceil
from pathlib import Path
from uuid import UUID

import asyncpg
import httpx2
import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from domain.clock import utc_now
from domain.ids import uuid7
from domain.notification import Mode
from ops.stack.choice import choose, prepare
from ops.stack.parts import Part, StackChoice
from ops.stack.programs import signal_group
from ops.stack.server import Server
from ops.stack.tenants import store_key
from plumbing.partitions import ensure_partitions
from plumbing.secrets import new_api_key
from tests.journey.mixes import Answer, Mix
from tests.journey.running import ROOT, carillon, environment

COUNT = 600
BEGIN_S, END_S = 1.0, 3.5
"""When the trouble begins and ends, counted from the first of six seconds."""

RECOVERY_S = 2.0
NOTHING = "no such key"
"""So that deleting nothing is no error."""

Trouble = Callable[[Server], Awaitable[None]]

pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
def redis_server(server_folder: Path) -> Iterator[Server]:
    """A Redis of our own, to be maltreated."""
    way = choose(StackChoice.AUTO, {})[Part.REDIS]
    server = prepare(Part.REDIS, way, server_folder / f"trouble-{uuid7()}")
    server.start()
    server.await_ready()
    yield server
    for pid in server.pids.values():
        signal_group(pid, signal.SIGCONT)
    server.stop()


@pytest.fixture(scope="module")
def api_url(
    redis_server: Server, database_url: str, amqp_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The api role as a process."""
    folder = tmp_path_factory.mktemp("api")
    told = {
        "CARILLON_DATABASE_URL": database_url,
        "CARILLON_REDIS_URL": redis_server.url,
        "CARILLON_AMQP_URL": amqp_url,
        "CARILLON_SECRET_KEY": "a secret key for tests, 32 bytes long",
        "CARILLON_API_PORT": "0",
        "CARILLON_LOG_LEVEL": "warning",
    }
    with (folder / "api.log").open("w") as log:
        process = subprocess.Popen(
            carillon("api"), cwd=ROOT, env=environment(folder, told), stdout=subprocess.PIPE, stderr=log, text=True
        )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, (folder / "api.log").read_text()
    yield json.loads(line)["url"]
    process.terminate()
    process.communicate(timeout=20)


@pytest.fixture(scope="module")
async def calm(api_url: str, hot_pool: asyncpg.Pool) -> dict[int, Answer]:
    """What the mix is answered when Redis is well."""
    async with a_mix(api_url, hot_pool) as (mix, _):
        await mix.send_all(COUNT)
    return mix.answers


@asynccontextmanager
async def a_mix(api_url: str, pool: asyncpg.Pool) -> AsyncIterator[tuple[Mix, UUID]]:
    """A new tenant with the users of the mix, already known to the process."""
    tenant, key = uuid7(), new_api_key(Mode.LIVE)
    async with pool.acquire() as conn:
        await ensure_partitions(conn, utc_now())
        await conn.execute("INSERT INTO tenants (id, name) VALUES ($1, $2)", tenant, f"mix-{tenant}")
        await store_key(conn, tenant, key=key, name="mix", mode=Mode.LIVE)
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx2.AsyncClient(base_url=api_url, headers=headers, timeout=10) as client:
        mix = Mix(client)
        await mix.write_users()
        yield mix, tenant


async def stopped(server: Server) -> None:
    """Redis dies, and later another one takes its place."""
    await asyncio.sleep(BEGIN_S)
    server.kill()
    await asyncio.sleep(END_S - BEGIN_S)
    server.start()


async def frozen(server: Server) -> None:
    """Redis keeps its connections and says nothing."""
    await asyncio.sleep(BEGIN_S)
    [pid] = server.pids.values()
    signal_group(pid, signal.SIGSTOP)
    await asyncio.sleep(END_S - BEGIN_S)
    signal_group(pid, signal.SIGCONT)


async def flushed(server: Server) -> None:
    """Redis forgets everything, scripts too, again and again."""
    await asyncio.sleep(BEGIN_S)
    async with Redis.from_url(server.url) as client:
        for _ in range(10):
            await client.flushall()
            await client.script_flush()
            await asyncio.sleep((END_S - BEGIN_S) / 10)


@pytest.mark.parametrize(("trouble", "p99_s"), [(stopped, 0.25), (frozen, 0.4), (flushed, 0.25)])
async def test_requests_are_answered_in_time_and_decided_as_ever(
    trouble: Trouble, p99_s: float, calm: dict[int, Answer], redis_server: Server, api_url: str, hot_pool: asyncpg.Pool
) -> None:
    recovered: list[float] = []

    async def suffer_and_recover() -> None:
        await trouble(redis_server)
        recovered.append(await _until_used(redis_server))

    async with a_mix(api_url, hot_pool) as (troubled, tenant):
        await troubled.send_all(COUNT, suffer_and_recover)

    figures = _figures(troubled.answers, recovered[0])
    print(trouble.__name__, ", ".join(f"{name} {value:.3f}" for name, value in figures.items()))
    different = {
        n: (was, now) for n in range(COUNT) if (was := calm[n].decision) != (now := troubled.answers[n].decision)
    }
    taken = [answer.body["id"] for answer in troubled.answers.values() if answer.status_code == 202]
    assert {answer.status_code for answer in troubled.answers.values()} == {202, 422}
    assert different == {}
    assert await hot_pool.fetchval("SELECT count(*) FROM notifications WHERE tenant_id = $1", tenant) == len(taken)
    assert figures["p99_s"] < p99_s, figures
    assert figures["recovery_s"] < RECOVERY_S, figures


async def _until_used(server: Server) -> float:
    """Seconds from Redis's first answer until the API counts there again. What is cached there stays."""
    async with asyncio.timeout(30), Redis.from_url(server.url) as client:
        while (before := await _counts(client)) is None:
            await asyncio.sleep(0.01)
        begun_s = time.monotonic()
        await client.delete(NOTHING, *before)
        while not await _counts(client):
            await asyncio.sleep(0.01)
    return time.monotonic() - begun_s


async def _counts(client: Redis) -> list[bytes] | None:
    """The keys of limits that are there now; None while Redis does not answer."""
    try:
        return [key async for key in client.scan_iter(match="*:limit:*")]
    except (OSError, RedisError):
        return None


def _figures(answers: dict[int, Answer], recovery_s: float) -> dict[str, float]:
    """In seconds, of the requests since the trouble began: p99, the worst, the worst after it; and the recovery."""
    took = sorted(answer.took_s for answer in answers.values() if answer.at_s >= BEGIN_S)
    after = [answer.took_s for answer in answers.values() if answer.at_s > END_S + RECOVERY_S]
    return {
        "p99_s": took[ceil(0.99 * len(took)) - 1],
        "worst_s": took[-1],
        "worst_after_recovery_s": max(after),
        "recovery_s": recovery_s,
    }
