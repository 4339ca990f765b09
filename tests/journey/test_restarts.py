"""A server goes away under load and comes back: what was accepted reaches an end, and no role has to die for it."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from domain.clock import utc_now
from domain.lanes import Channel
from ops.chaos.checker import check, duplicates
from ops.chaos.history import Promise
from ops.chaos.load import Load, Wish
from ops.chaos.reading import read_history, settle
from ops.stack.accounts import data_folder
from ops.stack.choice import find_real, prepare
from ops.stack.database import create_database, drop_database, sibling_url
from ops.stack.guardian import is_alive
from ops.stack.parts import Part, Way
from ops.stack.server import Server
from tests.journey.running import Up

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
    load = Load(run["api_url"], run["api_key"])

    async with asyncio.TaskGroup() as group:
        group.create_task(load.send_all(_wishes(str(part)), per_s=PER_S))
        group.create_task(_restart(server))
    await settle(run["database_url"], within_s=RECOVERY_S)
    ledger = Path(run["simulated"]["ledger"])
    history = await read_history(run["database_url"], ledger=ledger, promises=load.log, devices={})
    pids = platform.run["pids"]
    await asyncio.to_thread(platform.stop)

    assert (load.answered, check(history)) == (REQUESTS, {}), platform.said()
    assert duplicates(history)[0] <= SLOTS
    assert {name: pids[name] for name in run["pids"]} == run["pids"], platform.said()
    assert [name for name, pid in pids.items() if is_alive(pid)] == []


def _wishes(name: str) -> Iterator[Wish]:
    for n in range(REQUESTS):
        mark = f"{name}-{n}"
        words = {"title": mark, "body": "Nothing is lost."}
        promise = Promise(mark, Channel.EMAIL, utc_now())
        yield Wish(promise, {"to": {"email": f"ok+{n}@example.com"}, "content": words})


async def _restart(server: Server) -> None:
    """As an upgrade would: ended in order, away for a moment, and back."""
    await asyncio.sleep(BEFORE_S)
    await asyncio.to_thread(server.stop)
    await asyncio.sleep(AWAY_S)
    server.start()
    await asyncio.to_thread(server.await_ready)
