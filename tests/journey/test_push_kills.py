"""No push answered 202 or 200 is lost by kill -9 of any role, of Redis, or of all at once, and none shows twice."""

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from domain.delivery import DeliveryStatus
from ops.demo.provider import Provider, a_provider
from ops.device import Device
from ops.rest import CallFailed
from ops.stack.accounts import data_folder
from ops.stack.home import Run
from ops.stack.platform import CERTIFICATES
from tests.journey.killing import Killer
from tests.journey.push_checker import judge
from tests.journey.pushes import GOOD_ENDS, UNLIMITED, Crowd, statuses, until
from tests.journey.running import Up
from tests.journey.sends import AGAIN_S, Sends

HERE, ROAMING, AWAY = 26, 8, 6
PER_S = 18.0
"""By REST, and as many again by the door."""
MOST = 1200
"""Of each: a device that is away has room for a hundred."""
ROLES = ("gateway-1", "worker-1", "redis", "scheduler-1", "door-1", "api-1")
ROUNDS = 2
PAUSE_S = 0.7
RECOVERY_S = 60.0
LEFT, LOST = 4500, 1006
"""How a gateway that ends in order closes, and what a client calls the end of a connection that nobody closed."""


@dataclass
class ByDoor:
    """A careful provider: the same `apns-id` again until the door says 200."""

    provider: Provider
    accepted: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    count: int = 0

    async def send_all(self, tokens: list[str], is_over: asyncio.Event) -> None:
        """Push at a pace until it is over, however many wait for their answer."""
        async with asyncio.TaskGroup() as group:
            while not is_over.is_set() and self.count < MOST:
                group.create_task(self._send(self.count, tokens[self.count % len(tokens)]))
                self.count += 1
                await asyncio.sleep(1 / PER_S)

    async def _send(self, n: int, token: str) -> None:
        mark = str(uuid4())
        more = {"apns-id": mark, **({"apns-collapse-id": "score"} if n % 7 == 0 else {})}
        while True:
            try:
                answer = await self.provider.push(token, {"aps": {"alert": f"By the door, no. {n}"}}, more)
            except CallFailed:
                await asyncio.sleep(AGAIN_S)
                continue
            if answer.status_code in (429, 500, 503):
                await asyncio.sleep(AGAIN_S)
                continue
            if answer.status_code == 200:
                self.accepted.append(mark)
            else:
                self.refused.append(f"{answer.status_code} {answer.text}")
            return


@pytest.fixture(params=["auto"])
async def platform(request: pytest.FixtureRequest, server_folder: Path, tmp_path: Path) -> AsyncIterator[Up]:
    """The whole platform on private servers."""
    folder = data_folder(server_folder / f"push-kills-{request.param}")
    up = Up.start(folder, tmp_path / "up.txt", stack=request.param, more=UNLIMITED)
    yield up
    await asyncio.to_thread(up.stop)


async def test_every_accepted_push_comes_to_a_good_end_whoever_is_killed(platform: Up) -> None:
    run = await asyncio.to_thread(platform.await_healthy)
    crowd = Crowd(run)
    here, roaming, _ = [await crowd.register(n, owners=f"{n}-") for n in (HERE, ROAMING, AWAY)]
    await asyncio.gather(*(device.come() for device in here))
    sends = Sends(run["api_url"], run["api_key"])
    tokens = [device.token for device in crowd.devices]

    async with a_provider(Run(**run), platform.folder / CERTIFICATES / "door-ca.pem") as provider:
        by_door, is_over = ByDoor(provider), asyncio.Event()
        moving = [asyncio.create_task(_come_and_go(device)) for device in roaming]
        async with asyncio.TaskGroup() as group:
            group.create_task(sends.send_all(_requests(tokens, is_over), per_s=PER_S, name="push"))
            group.create_task(by_door.send_all(tokens, is_over))
            killed_at_s = await _trouble(platform, here)
            is_over.set()
        for task in moving:
            task.cancel()
        await asyncio.gather(*moving, return_exceptions=True)
    has_ended = await until(lambda: _has_ended(crowd), killed_at_s + RECOVERY_S - time.monotonic())
    ended_s = time.monotonic() - killed_at_s
    first = await judge(run["database_url"], crowd.by_id, sends.accepted.values(), by_door.accepted)
    await crowd.come_again()
    is_fetched = await until(lambda: _is_fetched(crowd), 20)
    await crowd.stop()
    last = await judge(run["database_url"], crowd.by_id, sends.accepted.values(), by_door.accepted)

    print(
        f"{first.ends.total()} pushes had an end {ended_s:.1f} s after the last kill: {dict(first.ends)}; "
        f"when all had come back: {dict(last.ends)}; heard {last.heard}, shown {last.shown}; "
        f"requests tried again {sends.failures}; closes {sum((device.closes for device in here), Counter())}"
    )
    assert (sends.refused, by_door.refused) == ([], [])
    assert len(by_door.accepted) == by_door.count
    assert has_ended, f"{first.text}\n{platform.said()}"
    assert first.text == "", f"{first.text}\n{platform.said()}"
    assert last.text == "", f"{last.text}\n{platform.said()}"
    assert is_fetched, "a device that has come back leaves nothing in its mailbox"


def _requests(tokens: list[str], is_over: asyncio.Event) -> Iterator[dict[str, Any]]:
    """To owners and to tokens, until it is over; some collapse, some are not urgent, some soon expire."""
    owners = [f"{count}-{n}" for count in (HERE, ROAMING, AWAY) for n in range(count)]
    for n in range(MOST):
        if is_over.is_set():
            return
        at = n % len(tokens)
        words: dict[str, Any] = {"title": f"No. {n}", "body": "Nothing is lost."}
        wish: dict[str, Any] = {"to": owners[at] if n % 2 else {"device_token": tokens[at]}, "channels": ["push"]}
        if n % 5 == 0:
            wish["collapse_id"] = "news"
        if n % 11 == 0:
            words["push"] = {"wake": 5}
        if n % 13 == 0:
            wish["expires_in_s"] = 5
        yield wish | {"content": words}


async def _come_and_go(device: Device) -> None:
    """As a person on a train."""
    while True:
        device.start()
        await asyncio.sleep(random.uniform(0.5, 3))
        await device.stop()
        await asyncio.sleep(random.uniform(0.2, 2))


async def _trouble(platform: Up, devices: list[Device]) -> float:
    """One role after the other, a few times; all of them together; then SIGTERM for the gateway. When that ended."""
    killer = Killer(platform)
    for n in range(ROUNDS):
        for name in ROLES:
            if name == "gateway-1":
                await _have_returned(platform, devices, n)
            await asyncio.sleep(PAUSE_S)
            await killer.hit(name)
    await _have_returned(platform, devices, ROUNDS)
    await killer.hit_all(ROLES)
    await _have_returned(platform, devices, ROUNDS + 1)
    await killer.hit("gateway-1", signal.SIGTERM)
    hit_at_s = time.monotonic()
    assert await until(lambda: _were_sent_away(devices), 30), [dict(device.closes) for device in devices]
    return hit_at_s


async def _have_returned(platform: Up, devices: list[Device], losses: int) -> None:
    """Wait until these are connected, after so many kills of their gateway."""

    async def all_have() -> bool:
        return all(device.connected.is_set() and device.closes[LOST] >= losses for device in devices)

    assert await until(all_have, 60), platform.said()


async def _were_sent_away(devices: list[Device]) -> bool:
    return all(device.closes[LEFT] for device in devices)


async def _has_ended(crowd: Crowd) -> bool:
    return set((await statuses(crowd.run["database_url"], crowd.ids)).values()) <= GOOD_ENDS


async def _is_fetched(crowd: Crowd) -> bool:
    ends = set((await statuses(crowd.run["database_url"], crowd.ids)).values())
    return ends <= GOOD_ENDS - {DeliveryStatus.STORED}
