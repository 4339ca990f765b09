"""Worker and scheduler as processes: ready, with metrics, until they are told to stop; or one line saying why not."""

import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import pytest

from domain.delivery import DeliveryStatus
from tests.integration.plumbing.test_side_door import ask
from tests.integration.tracking.builders import person, recorded, records
from tests.integration.workers.stage import Stage

PROGRAM = """
import asyncio, sys
from domain.errors import CarillonError
from plumbing import log, settings
from {module} import run
loaded = settings.load()
log.configure(loaded, "test")
try:
    asyncio.run(run(loaded))
except CarillonError as trouble:
    sys.exit(str(trouble))
"""
ROLES = {"worker": "workers.run", "scheduler": "workers.schedule"}


@asynccontextmanager
async def running(role: str, environment: dict[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process of that role, ended whatever happens."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM.format(module=ROLES[role]),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def ready_line(process: asyncio.subprocess.Process) -> dict[str, str]:
    """The first line that says ready."""
    assert process.stdout is not None
    async with asyncio.timeout(60):
        while line := await process.stdout.readline():
            said = json.loads(line)
            if "ready" in said:
                return dict(said)
    raise AssertionError("the role ended before it was ready")


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_gets_ready_serves_its_metrics_and_stops_when_told(role: str, environment: dict[str, str]) -> None:
    async with running(role, environment) as process:
        said = await ready_line(process)
        status, body = await ask(said["metrics_url"].removesuffix("/metrics"), "/metrics")
        healthy, _ = await ask(said["metrics_url"].removesuffix("/metrics"), "/health/ready")
        process.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        async with asyncio.timeout(30):
            code = await process.wait()

    assert (said["ready"], status, healthy, code) == (role, 200, 200, 0)
    assert "carillon_relayed_deliveries_total" in body
    assert time.monotonic() - begun < 30


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("CARILLON_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none", "PostgreSQL"),
        ("CARILLON_AMQP_URL", "amqp://nobody:x@127.0.0.1:1/none", "RabbitMQ"),
        ("CARILLON_SECRET_KEY", "", "CARILLON_SECRET_KEY"),
    ],
)
async def test_a_role_that_cannot_work_says_why_in_one_line_and_fails(
    role: str, name: str, value: str, words: str, environment: dict[str, str]
) -> None:
    async with running(role, {**environment, name: value}) as process:
        async with asyncio.timeout(30):
            _, errors = await process.communicate()

    last = errors.decode().strip().splitlines()
    assert process.returncode == 1
    assert len(last) == 1
    assert words in last[0]


async def test_scheduler_and_worker_together_bring_a_test_delivery_to_its_end(
    stage: Stage, tenant: UUID, environment: dict[str, str]
) -> None:
    made = records(await person(stage.pool, tenant))
    [one] = await recorded(stage.pool, made)
    await stage.pool.execute("UPDATE outbox SET published_at = NULL, watch_at = NULL WHERE id = $1", made.outbox[0].id)
    content = b'{"title":"Hello","body":"It works"}'
    await stage.pool.execute(
        "UPDATE notifications SET template = NULL, data = $2 WHERE id = $1", made.notifications[0].id, content
    )
    await stage.pool.execute("UPDATE deliveries SET mode = 2 WHERE id = $1", one)

    async with running("scheduler", environment) as scheduler, running("worker", environment) as worker:
        await ready_line(scheduler)
        await ready_line(worker)
        await stage.reaches(one, DeliveryStatus.SENT, within_s=40)

    assert await stage.pool.fetchval("SELECT provider FROM deliveries WHERE id = $1", one) == "simulated"
