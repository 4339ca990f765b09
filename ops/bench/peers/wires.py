"""How the peers' workers reach the sink (`ops.bench.peers.sink`): one line, and a byte for an answer."""

import asyncio
import os
import socket
import threading
from collections import deque
from typing import cast

OK = b"+"


class SinkLost(Exception):
    """The sink hung up."""


class ThreadSink:
    """The client of a worker with threads or processes: a connection for each, opened at the first line."""

    def __init__(self) -> None:
        self._own = threading.local()

    def deliver(self, identifier: str, payload: str) -> None:
        """Send, and wait until it is taken. SinkLost or OSError when it is not."""
        wire: socket.socket | None = getattr(self._own, "wire", None)
        if wire is None:
            wire = self._own.wire = socket.create_connection(_where())
            wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wire.sendall(f"{identifier} {payload}\n".encode())
        if wire.recv(1) != OK:
            raise SinkLost


class TaskSink(asyncio.Protocol):
    """The client of a worker with tasks: all share one connection, answers come in order."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._transport: asyncio.Transport | None = None

    async def open(self) -> "TaskSink":
        """Connect."""
        await asyncio.get_running_loop().create_connection(lambda: self, *_where())
        return self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """There it is."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Each byte is an answer."""
        for _ in data:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        """Nobody gets an answer any more."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(error or SinkLost())

    async def deliver(self, identifier: str, payload: str) -> None:
        """Send, and wait until it is taken. SinkLost or OSError when it is not."""
        if self._transport is None:
            raise SinkLost
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self._transport.write(f"{identifier} {payload}\n".encode())
        await waiter


def _where() -> tuple[str, int]:
    return "127.0.0.1", int(os.environ["PEER_SINK_PORT"])
