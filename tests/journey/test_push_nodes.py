"""Three gateways in two regions: whichever ends, its devices go to another, of their region first; no push is lost."""

import asyncio
import json
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from domain.delivery import DeliveryStatus
from ops.device import Device
from ops.stack.accounts import data_folder
from ops.stack.ports import free_port
from ops.stack.probes import http_answers
from tests.integration.gateway.station import Phone
from tests.journey.push_checker import judge
from tests.journey.pushes import UNLIMITED, Crowd, await_ends, until
from tests.journey.running import ROOT, Up, carillon, environment, wait_until
from tests.journey.sends import Sends

NORTH, SOUTH = "north", "south"
DEVICES = 8
REQUESTS = 200
PER_S = 40.0
TROUBLE_AFTER_S = 2.0
FAIL_OVER_WITHIN_S = 30.0
KNOWN_WITHIN_S = 40.0
GHOSTED, LEFT = 4409, 4500
UNREACHABLE = 0
"""How `ops.device` counts a connection that did not come about."""


class Node:
    """One more gateway, as an operator would start it; always on the same port."""

    def __init__(self, platform: Up, name: str, region: str) -> None:
        self.port, self.metrics_port = free_port(), free_port()
        self.url = f"ws://127.0.0.1:{self.port}/v1/connect"
        run, keys = platform.run, json.loads((platform.folder / "keys.json").read_text())
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
        self._environment = environment(platform.folder, told)
        self._log = platform.output.with_name(f"{name}.log")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin a life, unless one goes on; block until it is ready."""
        if self._process is None:
            with self._log.open("a") as log:
                self._process = subprocess.Popen(
                    carillon("gateway"), cwd=ROOT, env=self._environment, stdout=log, stderr=log
                )
            wait_until(lambda: http_answers(self.metrics_port, "/metrics"), 60, self._log.read_text)

    def end(self, how: signal.Signals) -> int | None:
        """Signal it and wait for its end; the exit code, None when it did not live."""
        process, self._process = self._process, None
        if process is None:
            return None
        process.send_signal(how)
        return process.wait(30)


@dataclass
class Land:
    """A platform whose own gateway is in the north, one more gateway there, and one in the south."""

    platform: Up
    north: Node
    south: Node

    @property
    def run(self) -> dict[str, Any]:
        """What run.json says now."""
        return self.platform.run

    @property
    def first_url(self) -> str:
        """The platform's own gateway."""
        return str(self.run["gateway_url"])


@pytest.fixture(scope="module")
def running(server_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Land]:
    """All of it, once for these tests."""
    output = tmp_path_factory.mktemp("nodes") / "up.txt"
    told = {**UNLIMITED, "CARILLON_GATEWAY_REGION": NORTH}
    up = Up.start(data_folder(server_folder / "push-nodes"), output, stack="embedded", more=told)
    up.await_healthy()
    land = Land(up, Node(up, "gateway-2", NORTH), Node(up, "gateway-3", SOUTH))
    yield land
    for node in (land.north, land.south):
        node.end(signal.SIGKILL)
    up.stop()


@pytest.fixture
async def land(running: Land) -> Land:
    """All three gateways live and know of each other."""
    for node in (running.north, running.south):
        await asyncio.to_thread(node.start)
    [scout] = await Crowd(running.run).register(1)
    for url in (running.north.url, running.south.url):
        assert await until(partial(_is_told_of_three, scout, url), KNOWN_WITHIN_S), scout.greeting
    return running


async def test_a_login_elsewhere_ends_the_older_one_and_only_the_newer_is_pushed_to(land: Land) -> None:
    crowd = Crowd(land.run)
    [device] = await crowd.register(1)
    older, newer = [Phone(device.app_key, crowd.ids[0], device.token) for _ in range(2)]
    sends = Sends(land.run["api_url"], land.run["api_key"])

    await older.log_in(land.north.url)
    await newer.log_in(land.south.url)
    code, _ = await older.closed()
    await sends.send_all(_requests([device], 1), per_s=PER_S, name="ghosts")
    push = await newer.hear()
    await newer.ack(push["id"])
    ends = await await_ends(crowd, [], within_s=60)
    await newer.hang_up()

    assert code == GHOSTED
    assert (list(sends.accepted), push["stored"]) == (["ghosts-0"], False)
    assert ends == {push["id"]: DeliveryStatus.DELIVERED}


async def test_a_node_told_to_end_sends_its_devices_elsewhere_and_loses_nothing(land: Land) -> None:
    crowd = Crowd(land.run)
    northern = await crowd.register(DEVICES, urls=[land.north.url, land.south.url], region=NORTH)
    await asyncio.gather(*(device.come() for device in northern))

    codes: list[int | None] = []
    sends = Sends(land.run["api_url"], land.run["api_key"])
    async with asyncio.TaskGroup() as group:
        group.create_task(sends.send_all(_requests(northern, REQUESTS), per_s=PER_S, name="end"))
        await asyncio.sleep(TROUBLE_AFTER_S)
        codes.append(await asyncio.to_thread(land.north.end, signal.SIGTERM))
        have_moved = await until(lambda: _are_at(northern, {land.first_url}), FAIL_OVER_WITHIN_S)
    await _all_is_well(crowd, sends)

    assert (codes, have_moved) == ([0], True), [(device.url, dict(device.closes)) for device in northern]
    assert [dict(device.closes).get(LEFT) for device in northern] == [1] * DEVICES
    assert {code for device in northern for code in device.closes} <= {LEFT, UNREACHABLE}


async def test_a_lost_node_costs_no_message_and_its_devices_stay_in_their_region(land: Land) -> None:
    crowd = Crowd(land.run)
    northern = await crowd.register(DEVICES, urls=[land.north.url, land.south.url], region=NORTH)
    southern = await crowd.register(DEVICES, urls=[land.south.url, land.north.url], region=SOUTH)
    everybody = [*northern, *southern]
    await asyncio.gather(*(device.come() for device in everybody))
    was = {device.url for device in northern}, {device.url for device in southern}

    sends = Sends(land.run["api_url"], land.run["api_key"])
    async with asyncio.TaskGroup() as group:
        group.create_task(sends.send_all(_requests(everybody, REQUESTS), per_s=PER_S, name="nodes"))
        await asyncio.sleep(TROUBLE_AFTER_S)
        land.north.end(signal.SIGKILL)
        have_moved = await until(lambda: _are_at(northern, {land.first_url}), FAIL_OVER_WITHIN_S)
    await _all_is_well(crowd, sends)

    assert was == ({land.north.url}, {land.south.url})
    assert have_moved, [(device.url, dict(device.closes)) for device in northern]
    assert {device.url for device in southern} == {land.south.url}


async def test_a_region_that_is_lost_whole_is_served_by_the_other_one(land: Land) -> None:
    crowd = Crowd(land.run)
    southern = await crowd.register(DEVICES, urls=[land.south.url], region=SOUTH)
    await asyncio.gather(*(device.come() for device in southern))

    sends = Sends(land.run["api_url"], land.run["api_key"])
    async with asyncio.TaskGroup() as group:
        group.create_task(sends.send_all(_requests(southern, REQUESTS), per_s=PER_S, name="region"))
        await asyncio.sleep(TROUBLE_AFTER_S)
        land.south.end(signal.SIGKILL)
        have_moved = await until(lambda: _are_at(southern, {land.first_url, land.north.url}), FAIL_OVER_WITHIN_S)
    await _all_is_well(crowd, sends)

    assert have_moved, [(device.url, dict(device.closes)) for device in southern]


async def _all_is_well(crowd: Crowd, sends: Sends) -> None:
    """Everything accepted was delivered and shown once; then everybody leaves."""
    ends = await await_ends(crowd, [], within_s=60)
    verdict = await judge(crowd.run["database_url"], crowd.by_id, sends.accepted.values())
    await crowd.stop()
    print(f"{len(ends)} pushes; heard {verdict.heard}, shown {verdict.shown}")
    assert verdict.text == ""
    assert (sends.refused, len(sends.accepted)) == ([], REQUESTS)
    assert list(ends.values()) == [DeliveryStatus.DELIVERED] * REQUESTS
    assert verdict.shown == REQUESTS


async def _is_told_of_three(scout: Device, url: str) -> bool:
    """Nodes hear of each other by their beat, every few seconds; devices from their node, at hello."""
    scout.urls, scout.greeting = [url], {}
    await scout.come()
    told: list[str] = scout.greeting["gateways"]
    await scout.stop()
    return len(told) == 3


async def _are_at(devices: list[Device], urls: set[str]) -> bool:
    return all(device.connected.is_set() and device.url in urls for device in devices)


def _requests(devices: list[Device], count: int) -> list[dict[str, Any]]:
    """So many, to each device in turn."""
    return [
        {
            "to": {"device_token": devices[n % len(devices)].token},
            "content": {"title": f"No. {n}", "body": "Nothing is lost."},
            "channels": ["push"],
        }
        for n in range(count)
    ]
