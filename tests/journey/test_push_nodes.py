"""Three gateways in two regions: one is killed, its devices go to another of their region, no message is lost."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from domain.delivery import DeliveryStatus
from ops.device import Device
from ops.stack.accounts import data_folder
from ops.stack.ports import free_port
from ops.stack.probes import http_answers
from tests.journey.pushes import UNLIMITED, Crowd, await_ends, until
from tests.journey.running import ROOT, Up, carillon, environment, wait_until
from tests.journey.sends import Sends

NORTH, SOUTH = "north", "south"
DEVICES = 8
REQUESTS = 240
PER_S = 40.0
KILL_AFTER_S = 2.0
FAIL_OVER_WITHIN_S = 10.0
KNOWN_WITHIN_S = 20.0


@pytest.fixture
async def platform(server_folder: Path, tmp_path: Path) -> AsyncIterator[Up]:
    """The platform, whose own gateway is in the north."""
    folder = data_folder(server_folder / "push-nodes")
    up = Up.start(folder, tmp_path / "up.txt", stack="embedded", more={**UNLIMITED, "CARILLON_GATEWAY_REGION": NORTH})
    yield up
    await asyncio.to_thread(up.stop)


class Node:
    """One more gateway, as an operator would start it."""

    def __init__(self, platform: Up, run: dict[str, Any], name: str, region: str) -> None:
        keys = json.loads((platform.folder / "keys.json").read_text())
        self.port, self.metrics_port = free_port(), free_port()
        self.url = f"ws://127.0.0.1:{self.port}/v1/connect"
        told = {
            "CARILLON_DATABASE_URL": run["database_url"],
            "CARILLON_REDIS_URL": run["redis_url"],
            "CARILLON_AMQP_URL": run["amqp_url"],
            "CARILLON_SECRET_KEY": keys["secret_key"],
            "CARILLON_GATEWAY_PORT": str(self.port),
            "CARILLON_METRICS_PORT": str(self.metrics_port),
            "CARILLON_GATEWAY_NODE": name,
            "CARILLON_GATEWAY_REGION": region,
        }
        self.log = platform.output.with_name(f"{name}.log")
        with self.log.open("w") as log:
            command, env = carillon("gateway"), environment(platform.folder, told)
            self.process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)

    def await_ready(self) -> None:
        """Block until its metrics can be read."""
        wait_until(lambda: http_answers(self.metrics_port, "/metrics"), 30, self.log.read_text)

    def kill(self) -> None:
        """As a crash does."""
        self.process.kill()
        self.process.wait()


@pytest.fixture
def nodes() -> Iterator[ExitStack]:
    """Ends the nodes that a test has started."""
    with ExitStack() as stack:
        yield stack


async def test_a_lost_node_costs_no_message_and_its_devices_stay_in_their_region(
    platform: Up, nodes: ExitStack
) -> None:
    run = await asyncio.to_thread(platform.await_healthy)
    second, third = Node(platform, run, "gateway-2", NORTH), Node(platform, run, "gateway-3", SOUTH)
    for node in (second, third):
        nodes.callback(node.kill)
        await asyncio.to_thread(node.await_ready)
    crowd = Crowd(run)
    [scout] = await crowd.register(1)
    for url in (second.url, third.url):
        assert await until(partial(_is_told_of_three, scout, url), KNOWN_WITHIN_S), scout.greeting
    northern = await crowd.register(DEVICES, urls=[second.url, third.url], region=NORTH)
    southern = await crowd.register(DEVICES, urls=[third.url, second.url], region=SOUTH)
    everybody = [*northern, *southern]
    await asyncio.gather(*(device.come() for device in everybody))
    was = {device.url for device in northern}, {device.url for device in southern}
    sends = Sends(run["api_url"], run["api_key"])
    requests = [
        {
            "to": {"device_token": everybody[n % len(everybody)].token},
            "content": _words(n),
            "channels": ["push"],
        }
        for n in range(REQUESTS)
    ]

    async with asyncio.TaskGroup() as group:
        group.create_task(sends.send_all(requests, per_s=PER_S, name="nodes"))
        await asyncio.sleep(KILL_AFTER_S)
        second.kill()
        are_back = group.create_task(until(lambda: _are_at(northern, run["gateway_url"]), FAIL_OVER_WITHIN_S))
    ends = await await_ends(crowd, [], within_s=60)
    await crowd.stop()

    assert was == ({second.url}, {third.url})
    assert are_back.result(), [(device.url, dict(device.closes)) for device in northern]
    assert {device.url for device in southern} == {third.url}
    assert (sends.refused, len(sends.accepted)) == ([], REQUESTS)
    assert list(ends.values()) == [DeliveryStatus.DELIVERED] * REQUESTS
    assert sorted(crowd.shown.items()) == sorted((name, 1) for name in ends)


async def _is_told_of_three(scout: Device, url: str) -> bool:
    """Nodes hear of each other by their beat, every few seconds; devices from their node, at hello."""
    scout.urls, scout.greeting = [url], {}
    await scout.come()
    told: list[str] = scout.greeting["gateways"]
    await scout.stop()
    return len(told) == 3


async def _are_at(devices: list[Device], url: str) -> bool:
    return all(device.connected.is_set() and device.url == url for device in devices)


def _words(n: int) -> dict[str, str]:
    return {"title": f"No. {n}", "body": "Nothing is lost."}
