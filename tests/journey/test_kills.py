"""Nothing accepted is ever lost: every role is killed with -9 five times while two thousand requests come in."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from domain.delivery import OPEN
from ops.stack.accounts import data_folder
from tests.journey.ledgers import compare, settle
from tests.journey.running import Up
from tests.journey.sends import Sends

REQUESTS = 2000
PER_S = 120.0
ROUNDS = 5
ROLES = ("api-1", "worker-1", "scheduler-1")
SLOTS = 64
"""Provider calls of one worker that a kill may leave without an outcome: 32 per channel."""

RECOVERY_S = 60.0


@pytest.fixture
def up(server_folder: Path, tmp_path: Path) -> Iterator[Callable[[str], Up]]:
    """Starts the platform on the stack that is named."""
    started: list[Up] = []

    def start(stack: str) -> Up:
        folder = data_folder(server_folder / f"kills-{stack}")
        started.append(Up.start(folder, tmp_path / f"{stack}.txt", stack=stack))
        return started[-1]

    yield start
    for up in started:
        up.stop()


@pytest.mark.parametrize(("stack", "victims"), [("auto", ROLES), ("embedded", (*ROLES, "rabbitmq"))])
async def test_every_202_reaches_an_end_whoever_is_killed(
    up: Callable[[str], Up], stack: str, victims: tuple[str, ...]
) -> None:
    platform = up(stack)
    run = await asyncio.to_thread(platform.await_healthy)
    sends = Sends(run["api_url"], run["api_key"])
    requests = [
        {"to": _recipient(n), "content": {"title": f"No. {n}", "body": "Nothing is lost."}, "channels": [_channel(n)]}
        for n in range(REQUESTS)
    ]

    async with asyncio.TaskGroup() as group:
        group.create_task(sends.send_all(requests, per_s=PER_S, name=stack))
        kills = group.create_task(_kill_rounds(platform, victims))
    statuses = await settle(run["database_url"], within_s=RECOVERY_S)
    verdict = await compare(run["database_url"], Path(run["simulated"]["ledger"]), set(sends.accepted.values()))

    assert kills.result() == ROUNDS * len(victims)
    assert sends.refused == []
    assert len(sends.accepted) == REQUESTS
    assert not any(statuses[status] for status in OPEN), (statuses, platform.said())
    assert (verdict.lost, verdict.phantoms, verdict.unfounded, verdict.unexplained) == ([], [], [], [])
    assert verdict.duplicates <= ROUNDS * SLOTS


def _recipient(n: int) -> dict[str, str]:
    return {"email": f"ok+{n}@example.com"} if n % 2 else {"phone": f"+1415555{2000 + n % 1000}"}


def _channel(n: int) -> str:
    return "email" if n % 2 else "sms"


async def _kill_rounds(platform: Up, victims: tuple[str, ...]) -> int:
    """Kill one after the other, each round as soon as the last victim of its kind lives again."""
    killed: dict[str, int] = {}
    count = 0
    for _ in range(ROUNDS):
        for name in victims:
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
