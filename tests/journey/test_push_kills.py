"""No push answered 202 or 200 is lost by kill -9 of gateway, worker, Redis or all of them, and none shows twice."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
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
from tests.journey.pushes import GOOD_ENDS, UNLIMITED, Crowd, await_ends, until
from tests.journey.running import Up
from tests.journey.sends import AGAIN_S, Sends

HERE, AWAY = 12, 4
REQUESTS = 500
BY_DOOR = 150
PER_S = 20.0
ROUNDS = (("gateway-1",), ("worker-1",), ("redis",), ("gateway-1", "worker-1", "redis"), ("door-1", "gateway-1"))
GATEWAY_KILLS = sum("gateway-1" in victims for victims in ROUNDS)
LOST = 1006
"""What a client calls the end of a connection that nobody closed."""

BETWEEN_S = 2.0
RECOVERY_S = 60.0


@pytest.fixture
async def platform(server_folder: Path, tmp_path: Path) -> AsyncIterator[Up]:
    """The whole platform on private servers."""
    up = Up.start(data_folder(server_folder / "push-kills"), tmp_path / "up.txt", stack="auto", more=UNLIMITED)
    yield up
    await asyncio.to_thread(up.stop)


async def test_every_accepted_push_comes_to_a_good_end_whoever_is_killed(platform: Up) -> None:
    run = await asyncio.to_thread(platform.await_healthy)
    crowd = Crowd(run)
    here, away = await crowd.register(HERE), await crowd.register(AWAY)
    await asyncio.gather(*(device.come() for device in here))
    sends = Sends(run["api_url"], run["api_key"])
    tokens = [device.token for device in (*here, *away)]

    authority = platform.folder / CERTIFICATES / "door-ca.pem"
    async with a_provider(Run(**run), authority) as provider, asyncio.TaskGroup() as group:
        group.create_task(sends.send_all(_requests(tokens), per_s=PER_S, name="push"))
        by_door = group.create_task(_send_by_door(provider, tokens))
        group.create_task(_kill_rounds(platform, here))
    ends = await await_ends(crowd, crowd.ids[HERE:], within_s=RECOVERY_S)
    shown_all = await until(lambda: _has_shown(crowd, ends), 5)
    await crowd.stop()

    counts = {str(status): sum(1 for end in ends.values() if end is status) for status in set(ends.values())}
    print(counts, "closes", [dict(device.closes) for device in here], "repeats", sum(d.repeats for d in here))
    assert min(device.closes[LOST] for device in here) >= GATEWAY_KILLS, "each was connected at every kill"
    assert (sends.refused, len(sends.accepted), by_door.result()) == ([], REQUESTS, BY_DOOR)
    assert len(ends) == REQUESTS + BY_DOOR
    assert set(ends.values()) <= GOOD_ENDS, (counts, platform.said())
    assert shown_all, "what counts as delivered was shown"
    assert [name for name, count in crowd.shown.items() if count > 1] == []
    assert [name for name in crowd.shown if name not in ends] == []


async def _has_shown(crowd: Crowd, ends: dict[str, DeliveryStatus]) -> bool:
    return {name for name, end in ends.items() if end is DeliveryStatus.DELIVERED} <= set(crowd.shown)


def _requests(tokens: list[str]) -> list[dict[str, Any]]:
    """To each in turn; one in five replaces the one before it for the same device."""
    made = []
    for n in range(REQUESTS):
        words = {"title": f"No. {n}", "body": "Nothing is lost."}
        wish = {"to": {"device_token": tokens[n % len(tokens)]}, "content": words, "channels": ["push"]}
        made.append(wish | ({"collapse_id": "news"} if n % 5 == 0 else {}))
    return made


async def _send_by_door(provider: Provider, tokens: list[str]) -> int:
    """As a careful provider: the same `apns-id` again until the door says 200; how many it took."""
    taken = 0
    for n in range(BY_DOOR):
        payload = {"aps": {"alert": f"By the door, no. {n}"}}
        headers = {"apns-id": str(uuid4())}
        while True:
            try:
                answer = await provider.push(tokens[n % len(tokens)], payload, headers)
            except CallFailed:
                await asyncio.sleep(AGAIN_S)
                continue
            if answer.status_code == 200:
                taken += 1
                break
            assert answer.status_code in (429, 500, 503), answer.text
            await asyncio.sleep(AGAIN_S)
        await asyncio.sleep(REQUESTS / BY_DOOR / PER_S)
    return taken


async def _kill_rounds(platform: Up, devices: list[Device]) -> None:
    """Kill each group at one moment, and the next when all of it is back, its devices too."""
    for victims in ROUNDS:
        await asyncio.sleep(BETWEEN_S)
        before = {name: platform.run["pids"][name] for name in victims}
        for pid in before.values():
            os.kill(pid, signal.SIGKILL)

        async def are_back(before: dict[str, int] = before) -> bool:
            pids = platform.run["pids"]
            is_back = all(pids.get(name) not in (None, pid) for name, pid in before.items())
            return is_back and all(device.connected.is_set() for device in devices)

        assert await until(are_back, 30), platform.said()
