"""Also on the embedded stack, whose broker forgets all when it dies: nothing accepted is lost, whoever is killed."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.clock import utc_now
from domain.lanes import Channel
from ops.chaos.checker import check, duplicates
from ops.chaos.history import Promise
from ops.chaos.load import Load, Wish
from ops.chaos.reading import read_history, settle
from ops.stack.accounts import data_folder
from tests.journey.running import Up

REQUESTS = 2000
PER_S = 120.0
ROUNDS = 5
VICTIMS = ("api-1", "worker-1", "scheduler-1", "rabbitmq")
SLOTS = 64
"""Provider calls of one worker that a kill may leave without an outcome: 32 per channel."""

RECOVERY_S = 60.0


@pytest.fixture
def platform(server_folder: Path, tmp_path: Path) -> Iterator[Up]:
    """The platform on embedded servers."""
    up = Up.start(data_folder(server_folder / "kills-embedded"), tmp_path / "up.txt", stack="embedded")
    yield up
    up.stop()


async def test_every_202_reaches_an_end_whoever_is_killed(platform: Up) -> None:
    run = await asyncio.to_thread(platform.await_healthy)
    load = Load(run["api_url"], run["api_key"])

    async with asyncio.TaskGroup() as group:
        group.create_task(load.send_all(_wishes(), per_s=PER_S))
        kills = group.create_task(_kill_rounds(platform))
    await settle(run["database_url"], within_s=RECOVERY_S)
    ledger = Path(run["simulated"]["ledger"])
    history = await read_history(run["database_url"], ledger=ledger, promises=load.log, devices={})

    assert kills.result() == ROUNDS * len(VICTIMS)
    assert (load.answered, check(history)) == (REQUESTS, {}), platform.said()
    assert duplicates(history)[0] <= ROUNDS * SLOTS


def _wishes() -> Iterator[Wish]:
    for n in range(REQUESTS):
        mark, channel = f"embedded-{n}", Channel.EMAIL if n % 2 else Channel.SMS
        to = {"email": f"ok+{n}@example.com"} if n % 2 else {"phone": f"+1415555{2000 + n % 1000}"}
        words = {"title": mark, "body": "Nothing is lost."}
        yield Wish(Promise(mark, channel, utc_now()), {"to": to, "content": words, "channels": [channel]})


async def _kill_rounds(platform: Up) -> int:
    """Kill one after the other, each round as soon as the last victim of its kind lives again."""
    killed: dict[str, int] = {}
    count = 0
    for _ in range(ROUNDS):
        for name in VICTIMS:
            killed[name] = await _kill(platform, name, killed.get(name))
            count += 1
            await asyncio.sleep(0.4)
    return count


async def _kill(platform: Up, name: str, last: int | None) -> int:
    """Kill the next life of `name`; one that ended by itself (it started while the broker was away) does not count."""
    while True:
        pid = await _next_life(platform, name, last)
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            last = pid
        else:
            return pid


async def _next_life(platform: Up, name: str, last: int | None) -> int:
    async with asyncio.timeout(60):
        while (pid := platform.run["pids"].get(name)) in (None, last):
            await asyncio.sleep(0.05)
    return int(pid)
