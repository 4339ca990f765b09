"""A server goes away under load and comes back: what was accepted reaches an end, and no role has to die for it."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from domain.delivery import OPEN
from ops.stack.accounts import data_folder
from ops.stack.choice import find_real, prepare
from ops.stack.database import create_database, drop_database, sibling_url
from ops.stack.guardian import is_alive
from ops.stack.parts import Part, Way
from ops.stack.server import Server
from tests.journey.ledgers import compare, settle
from tests.journey.running import Up
from tests.journey.sends import Sends

REQUESTS = 600
PER_S = 100.0
BEFORE_S = 2.0
AWAY_S = 1.5
RECOVERY_S = 60.0
SLOTS = 64
"""Provider calls under way at one moment, whose outcome a server may fail to take."""


@pytest.fixture
def server(part: Part, server_folder: Path) -> Iterator[Server]:
    """A server of our own, which may be ended; the others are those of the session."""
    way = Way.PRIVATE if find_real(part) is not None else Way.EMBEDDED
    server = prepare(part, way, data_folder(server_folder / f"restarted-{part}"))
    server.start()
    try:
        server.await_ready()
        yield server
    finally:
        server.stop()


@pytest.fixture
async def platform(
    part: Part,
    server: Server,
    server_folder: Path,
    tmp_path: Path,
    database_url: str,
    redis_url: str,
    amqp_url: str,
) -> AsyncIterator[Up]:
    """The whole platform on these servers."""
    name = f"restarts_{part}_{os.getpid()}"
    urls = {
        "CARILLON_DATABASE_URL": sibling_url(server.url if part is Part.POSTGRES else database_url, name),
        "CARILLON_REDIS_URL": redis_url,
        "CARILLON_AMQP_URL": server.url if part is Part.RABBITMQ else amqp_url,
    }
    anywhere = sibling_url(urls["CARILLON_DATABASE_URL"], "postgres")
    await create_database(anywhere, name)
    folder = data_folder(server_folder / name)
    up = Up.start(folder, tmp_path / "up.txt", stack="url", more=urls)
    try:
        yield up
    finally:
        await asyncio.to_thread(up.stop)
        await drop_database(anywhere, name)


@pytest.mark.parametrize("part", [Part.RABBITMQ, Part.POSTGRES])
async def test_a_server_restarted_under_load_costs_nothing_that_was_accepted(
    part: Part, server: Server, platform: Up
) -> None:
    run = await asyncio.to_thread(platform.await_healthy)
    sends = Sends(run["api_url"], run["api_key"])
    requests = [
        {"to": {"email": f"ok+{n}@example.com"}, "content": {"title": f"No. {n}", "body": "Nothing is lost."}}
        for n in range(REQUESTS)
    ]

    async with asyncio.TaskGroup() as group:
        group.create_task(sends.send_all(requests, per_s=PER_S, name=str(part)))
        group.create_task(_restart(server))
    statuses = await settle(run["database_url"], within_s=RECOVERY_S)
    verdict = await compare(run["database_url"], Path(run["simulated"]["ledger"]), set(sends.accepted.values()))
    pids = platform.run["pids"]
    await asyncio.to_thread(platform.stop)

    assert (sends.refused, len(sends.accepted)) == ([], REQUESTS)
    assert not any(statuses[status] for status in OPEN), (statuses, platform.said())
    assert (verdict.lost, verdict.phantoms, verdict.unfounded) == ([], [], [])
    assert verdict.duplicates <= SLOTS
    assert {name: pids[name] for name in run["pids"]} == run["pids"], platform.said()
    assert [name for name, pid in pids.items() if is_alive(pid)] == []


async def _restart(server: Server) -> None:
    """As an upgrade would: ended in order, away for a moment, and back."""
    await asyncio.sleep(BEFORE_S)
    await asyncio.to_thread(server.stop)
    await asyncio.sleep(AWAY_S)
    server.start()
    await asyncio.to_thread(server.await_ready)
