"""The devices of a benchmark, in a process of their own: `python -m ops.bench.devices`.

Each line of JSON on standard input is an order, and is answered by one on standard output. Devices say
hello, answer pings, and acknowledge what they read, as the web client does; while frames are only counted, they do not.
"""

import asyncio
import gc
import json
import random
import sys
import time
import zlib
from collections import Counter
from typing import Any

import msgspec
import picows
import uvloop

from ops.bench.tokens import device_token

_HANDSHAKE_S = 30.0
_PING_EVERY_S = 15.0
"""The gateway's own heartbeat; it takes a device for gone after twice that."""

_SLICES = 300
"""Devices of the world show that they live at any time, and not three hundred of them at one moment."""

_LOOK_EVERY_S = 0.1
"""When the last one was heard is noted as it comes: looks that are seldom cost the measured machine less."""

_AGAIN_S = 0.5
_PING_BYTES = 2
_OFFER = {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}
"""What browsers offer; a server that takes it sends compressed frames."""


class _Frame(msgspec.Struct):
    """What a device looks at of any frame."""

    type: str = ""
    id: str = ""


_DECODE = msgspec.json.Decoder(_Frame).decode


class Device(picows.WSListener):
    """One device. It outlives its connections."""

    __slots__ = ("crowd", "greeted", "hello", "inflate", "retry_after_s", "transport")

    def __init__(self, crowd: "Crowd", hello: bytes) -> None:
        self.crowd, self.hello = crowd, hello
        self.transport: picows.WSTransport | None = None
        self.greeted: asyncio.Future[bool] | None = None
        self.inflate: Any = None
        self.retry_after_s: float | None = None

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        """Say hello at once."""
        self.transport, self.inflate = transport, None
        transport.send(picows.WSMsgType.TEXT, self.hello)

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        """Greet, count or read."""
        if frame.msg_type is picows.WSMsgType.CLOSE:
            self._closing(frame)
            transport.disconnect()
            return
        if self.greeted is not None and not self.greeted.done():
            self.greeted.set_result(True)
            if frame.rsv1:
                self._text(frame)  # compressed frames build on each other
            return
        self.crowd.hear(self, frame)

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:  # noqa: ARG002  # picows calls it so
        """Whoever waits for hello need not wait any longer."""
        self.transport = None
        if self.greeted is not None and not self.greeted.done():
            self.greeted.set_result(False)

    def read(self, frame: picows.WSFrame) -> _Frame:
        """The frame's content, decompressed where the server compresses."""
        return _DECODE(self._text(frame))

    def say(self, text: bytes) -> None:
        """Send a text frame, if connected."""
        if self.transport is not None:
            self.transport.send(picows.WSMsgType.TEXT, text)

    def _text(self, frame: picows.WSFrame) -> bytes:
        content: bytes = frame.get_payload_as_bytes()
        if not frame.rsv1:
            return content
        if self.inflate is None:
            self.inflate = zlib.decompressobj(-15)
        text: bytes = self.inflate.decompress(content + b"\x00\x00\xff\xff")
        return text

    def _closing(self, frame: picows.WSFrame) -> None:
        code = int.from_bytes(frame.get_close_message()[:2], "big") if frame.payload_size >= 2 else 0
        self.crowd.codes[code] += 1
        try:
            self.retry_after_s = float(json.loads(frame.get_close_reason())["retry_after_s"])
        except (ValueError, KeyError, TypeError):
            self.retry_after_s = None


class Crowd:
    """All devices of the process, and what they heard since the last `listen` or `count`."""

    def __init__(self) -> None:
        self.devices: list[Device] = []
        self.url, self.offer = "", False
        self.codes: Counter[int] = Counter()
        self.is_counting = False
        self.begin()

    def begin(self) -> None:
        """Forget what was heard."""
        self.frames, self.first_s, self.last_s = 0, 0.0, 0.0
        self.heard_at: dict[str, float] = {}
        self.twice = 0

    def hear(self, device: Device, frame: picows.WSFrame) -> None:
        """Count a frame; unless only that is wanted, read and acknowledge it."""
        if self.is_counting:
            if frame.payload_size <= _PING_BYTES:
                return  # a ping
            now = time.monotonic()
            self.first_s = self.first_s or now
            self.last_s = now
            self.frames += 1
            return
        content = device.read(frame)
        if content.type != "notification":
            return
        self.frames += 1
        if content.id in self.heard_at:
            self.twice += 1
        else:
            self.heard_at[content.id] = time.monotonic()
        device.say(b'{"type":"ack","ids":[{"id":"%s","code":100}]}' % content.id.encode())

    async def connect(self, order: dict[str, Any]) -> dict[str, Any]:
        """Bring `count` devices to hello, `at_once` at a time, within `within_s`; who is told to wait waits."""
        self.url, self.offer = order["url"], bool(order.get("offer"))
        if not self.devices:
            self.devices = [Device(self, _hello(order, number)) for number in range(order["count"])]
        self.codes.clear()
        gate = asyncio.Semaphore(order["at_once"])
        began = time.monotonic()
        deadline = began + order["within_s"]
        took = await asyncio.gather(*(self._keep(device, gate, deadline) for device in self.devices))
        there = [at_s - began for at_s in took if at_s]
        return {"connected": len(there), "took_s": max(there, default=0.0), "codes": dict(self.codes)}

    async def drop(self, _: dict[str, Any]) -> dict[str, Any]:
        """Lose every connection at once, as when a network goes away."""
        lost = [device for device in self.devices if device.transport is not None]
        for device in lost:
            if device.transport is not None:
                device.transport.disconnect(graceful=False)
        while any(device.transport is not None for device in lost):  # noqa: ASYNC110  # no event for all of them
            await asyncio.sleep(0.01)
        return {"dropped": len(lost)}

    async def listen(self, order: dict[str, Any]) -> dict[str, Any]:
        """From now on frames are read, or counted only."""
        self.is_counting = bool(order.get("count"))
        self.begin()
        gc.collect()
        gc.freeze()  # who is here stays: to look through all of them took 0.1 s each time
        return {}

    async def heard(self, order: dict[str, Any]) -> dict[str, Any]:
        """What was heard, once it is `frames` frames or the time is over."""
        deadline = time.monotonic() + order["within_s"]
        while self._count < order["frames"] and time.monotonic() < deadline:  # noqa: ASYNC110  # an event costs more
            await asyncio.sleep(_LOOK_EVERY_S)
        return {
            "frames": self.frames,
            "took_s": self.last_s - self.first_s,
            "heard_at": self.heard_at,
            "twice": self.twice,
            "connected": sum(1 for device in self.devices if device.transport is not None),
        }

    @property
    def _count(self) -> int:
        return self.frames if self.is_counting else len(self.heard_at)

    async def ping(self) -> None:
        """Show that each device lives, in slices, so that it costs little at any moment."""
        turn = 0
        while True:
            await asyncio.sleep(_PING_EVERY_S / _SLICES)
            for device in self.devices[turn::_SLICES]:
                if device.greeted is not None and device.greeted.done():
                    device.say(b"{}")
            turn = (turn + 1) % _SLICES

    async def _keep(self, device: Device, gate: asyncio.Semaphore, deadline: float) -> float:
        """Try until the device was greeted; when that was, or 0."""
        while time.monotonic() < deadline:
            async with gate:
                if await self._try(device):
                    return time.monotonic()
            await asyncio.sleep(device.retry_after_s or random.uniform(0, _AGAIN_S))
        return 0.0

    async def _try(self, device: Device) -> bool:
        device.retry_after_s = None
        device.greeted = asyncio.get_running_loop().create_future()
        headers = _OFFER if self.offer else None
        try:
            await picows.ws_connect(
                lambda: device,
                self.url,
                extra_headers=headers,
                websocket_handshake_timeout=_HANDSHAKE_S,
                read_buffer_init_size=1024,
                logger_name="devices",
            )
            async with asyncio.timeout(_HANDSHAKE_S):
                return await device.greeted
        except (OSError, TimeoutError, picows.WSError):
            return False


def _hello(order: dict[str, Any], number: int) -> bytes:
    token = device_token(order["run"], number)
    words = {"type": "hello", "app_key": order["app_key"], "token": token, "last_seen": None}
    return json.dumps(words).encode()


async def main() -> None:
    """Follow orders, one after the other, until standard input ends: then whoever gave them is gone."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=2**20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    crowd = Crowd()
    orders: asyncio.Queue[bytes] = asyncio.Queue()
    working = [asyncio.create_task(crowd.ping()), asyncio.create_task(_follow(crowd, orders))]
    while line := await reader.readline():
        orders.put_nowait(line)
    for task in working:
        task.cancel()


async def _follow(crowd: Crowd, orders: "asyncio.Queue[bytes]") -> None:
    known = {"connect": crowd.connect, "drop": crowd.drop, "listen": crowd.listen, "heard": crowd.heard}
    while True:
        order = json.loads(await orders.get())
        answer = await known[order["do"]](order)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
