"""Failures 36 to 39: half-open connections, fast moves between nodes, storms of reconnects, deaf devices."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from ops.chaos.proxy import fault_proxy
from tests.integration.gateway.station import (
    Phone,
    Running,
    Station,
    a_frame,
    a_node,
    id_of,
    until,
)

HEARTBEAT_S = 1.0
"""Fifteen in production: what takes two heartbeats here takes thirty seconds there."""


@pytest.fixture
async def brisk(station: Station, amqp_url: str) -> AsyncIterator[Running]:
    """A node whose heart beats every second."""
    async with a_node(station, amqp_url, heartbeat_s=HEARTBEAT_S) as running:
        yield running


async def test_36_a_half_open_connection_is_noticed_within_two_heartbeats_and_its_push_handed_back(
    station: Station, brisk: Running
) -> None:
    there = urlsplit(brisk.url)
    async with fault_proxy("127.0.0.1", there.port or 0) as wire:
        through = there._replace(netloc=f"127.0.0.1:{wire.port}").geturl()
        phone = await (await station.phone()).log_in(through)
        wire.black_hole()
        cut_at = time.monotonic()
        frame = a_frame(phone)
        await station.push(brisk, frame)

        await until(lambda: station.reported("absent") == [id_of(frame)])

        # two heartbeats, the turn of its slot, two seconds for a goodbye that never comes: at most 34 s in production,
        # where 40 are promised
        assert time.monotonic() - cut_at <= 2 * HEARTBEAT_S + 8.0
        await until(lambda: brisk.node.connections.devices == 0)
        assert await station.presence.where([phone.device]) == {}


async def test_36_a_device_that_only_answers_pings_of_the_protocol_stays(station: Station, brisk: Running) -> None:
    phone = await (await station.phone()).log_in(brisk.url)
    until_s = time.monotonic() + 5 * HEARTBEAT_S
    heartbeats = 0

    while time.monotonic() < until_s:
        try:
            async with asyncio.timeout(until_s - time.monotonic()):
                assert phone.socket is not None
                heartbeats += json.loads(await phone.socket.recv()) == {}
        except TimeoutError:
            break

    assert heartbeats >= 3
    assert brisk.node.connections.devices == 1
    await phone.hang_up()


async def test_37_a_thousand_fast_moves_between_two_nodes_leave_the_newest_registration(
    station: Station, amqp_url: str
) -> None:
    phones = [await station.phone() for _ in range(20)]
    async with a_node(station, amqp_url, name="a") as first, a_node(station, amqp_url, name="b") as second:

        async def move(phone: Phone) -> Phone:
            """Fifty logins, now here, now there; the old socket is left to close behind the new one."""
            logins = [Phone(phone.app_key, phone.device, phone.token) for _ in range(50)]
            goodbyes = []
            for number, one in enumerate(logins):
                await one.log_in((first, second)[number % 2].url)
                if number:
                    goodbyes.append(asyncio.create_task(logins[number - 1].hang_up()))
            await asyncio.gather(*goodbyes)
            return logins[-1]

        latest = await asyncio.gather(*map(move, phones))

        await until(lambda: len(first.node.connections) == 0, "the end of the old connections")
        for one in latest:
            await _is_registered(station, one, second)
        frames = [a_frame(one) for one in latest]
        await station.push(second, *frames)
        assert [(await one.hear())["id"] for one in latest] == [id_of(frame) for frame in frames]
        for one in latest:
            await one.hang_up()


async def _is_registered(station: Station, phone: Phone, node: Running) -> None:
    """Its presence names its own connection at this node, soon."""
    deadline = time.monotonic() + 30
    while True:
        places = await station.presence.where([phone.device])
        place = places.get(phone.device) if places is not None else None
        if place is not None and (place.node, place.connection) == (node.facts.node, phone.connection_id):
            return
        assert time.monotonic() < deadline, f"{place} is not the newest registration"
        await asyncio.sleep(0.05)


async def test_37_a_login_on_another_node_ghosts_the_old_connection(station: Station, amqp_url: str) -> None:
    async with a_node(station, amqp_url, name="a") as first, a_node(station, amqp_url, name="b") as second:
        old = await (await station.phone()).log_in(first.url)
        new = await Phone(old.app_key, old.device, old.token).log_in(second.url)

        assert (await old.closed())[0] == 4409
        await _is_registered(station, new, second)
        await new.hang_up()


async def test_38_a_storm_is_put_off_with_jitter_and_those_who_are_there_notice_nothing(
    station: Station, amqp_url: str
) -> None:
    async with a_node(station, amqp_url, handshakes_per_s=20) as node:
        witness = await (await station.phone()).log_in(node.url)

        async def rush() -> float | None:
            async with connect(node.url, ping_interval=None) as socket:
                try:
                    async with asyncio.timeout(2):
                        await socket.recv()
                except TimeoutError:
                    return None
                except ConnectionClosed:
                    pass
            assert socket.close_code == 4503
            return float(json.loads(socket.close_reason or "")["retry_after_s"])

        storm = asyncio.gather(*(rush() for _ in range(300)))
        latencies = []
        for _ in range(20):
            begun_s = time.monotonic()
            await station.push(node, a_frame(witness))
            await witness.hear()
            latencies.append(time.monotonic() - begun_s)
        retries = [one for one in await storm if one is not None]

        assert 150 <= len(retries) <= 280
        assert all(1 <= one <= 30 for one in retries)
        assert len(set(retries)) > 50
        assert sorted(latencies)[17] < 1.0
        await witness.hang_up()


async def test_39_only_the_device_that_does_not_read_is_dropped_and_its_pushes_are_handed_back(
    station: Station, node: Running
) -> None:
    quick = await (await station.phone()).log_in(node.url)
    slow = await station.phone()
    reader, writer = await _deaf(node, slow)
    payload = json.dumps({"aps": {"alert": "x" * 3900}}).encode()
    frames = [a_frame(slow, payload=payload) for _ in range(250)]
    before_bytes = _rss_bytes()

    for start in range(0, len(frames), 50):
        await station.push(node, *frames[start : start + 50])

    await until(lambda: len(station.reported("absent")) == len(frames), "all pushes handed back")
    assert sorted(station.reported("absent")) == sorted(map(id_of, frames))
    assert _rss_bytes() - before_bytes < 20 * 1024 * 1024
    frame = a_frame(quick)
    await station.push(node, frame)
    assert (await quick.hear())["id"] == id_of(frame)
    writer.transport.abort()
    assert reader is not None
    await quick.hang_up()


async def _deaf(node: Running, phone: Phone) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A client that says hello and never reads a byte again, with little room in its kernel."""
    host, _, rest = node.url.removeprefix("ws://").partition(":")
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    narrow.setblocking(False)
    await asyncio.get_running_loop().sock_connect(narrow, (host, int(rest.partition("/")[0])))
    reader, writer = await asyncio.open_connection(sock=narrow, limit=1024)
    hello: dict[str, Any] = {"type": "hello", "app_key": phone.app_key, "token": phone.token, "last_seen": "none"}
    text = json.dumps(hello).encode()
    assert 126 <= len(text) < 65536
    writer.write(
        b"GET /v1/connect HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    await reader.readuntil(b"\r\n\r\n")
    writer.write(bytes((0x81, 0xFE)) + len(text).to_bytes(2, "big") + bytes(4) + text)
    await until(lambda: node.node.connections.devices == 2, "its login")
    reader_transport = writer.transport
    assert isinstance(reader_transport, asyncio.ReadTransport)
    reader_transport.pause_reading()
    return reader, writer


def _rss_bytes() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096
