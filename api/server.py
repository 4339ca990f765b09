"""The HTTP server under the application: uvicorn with its own limits on the head of a request.

uvicorn's parser bounds neither the size of a head nor the time it takes; this protocol bounds both, and answers what
cannot be parsed (two framings at once, for one) in the form of all our errors.
"""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import msgspec
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from api import wire
from api.door import MAX_HEADER_BYTES
from api.errors import MEDIA_TYPE, document
from domain.errors import Misconfigured

HEAD_TIMEOUT_S = 10.0
MAX_UNREAD_BYTES = 8 * 1024 * 1024
UNREAD_TIMEOUT_S = 5.0
"""A body that was refused is read away within these bounds: a client that still sends would miss its answer else."""

KEEP_ALIVE_S = 65
"""Longer than the 60 s of common balancers, so that they close first."""

LINGER_S = 1.0
"""At a stop, idle connections stay so long: a request that is on its way is answered, and told that it was the last."""

GRACE_S = 25
BACKLOG = 2048
MAX_CONNECTIONS = 4096
TICK_S = 1.0


class _State(ServerState):
    """What connections know of their server: also that it is about to go."""

    is_leaving = False


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with a bounded head, and bounds for a body that nobody wants any more."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._in_head = True
        self._head_bytes = 0
        self._unread_bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
        elif self.cycle is not None and self.cycle.response_complete:
            self._unread_bytes += len(data)
            if self._unread_bytes > MAX_UNREAD_BYTES:
                self.transport.close()
        super().data_received(data)
        if self._in_head and self._head_bytes:  # a part of a head: most come whole
            if self._timer is None:
                self._timer = self.loop.call_later(HEAD_TIMEOUT_S, self._head_is_late)
            if self._head_bytes > MAX_HEADER_BYTES:
                self._answer(431, "headers_too_large", "the head of a request has at most 64 KiB")

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._head_bytes = 0
        self._stop_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head = True
        self._unread_bytes = 0
        self._stop_timer()
        super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        wire.offer(cycle)
        if isinstance(self.server_state, _State) and self.server_state.is_leaving:
            cycle.keep_alive = False
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._in_head and not self.transport.is_closing():
            self._timer = self.loop.call_later(UNREAD_TIMEOUT_S, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # uvicorn's words are for its own log
        self._answer(400, "malformed_request", "this is not an HTTP request that can be read in one way only")

    def _head_is_late(self) -> None:
        self._timer = None
        if self._in_head:
            self._answer(408, "head_too_slow", f"the head of a request must arrive within {HEAD_TIMEOUT_S:g} s")

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _answer(self, status: int, reason: str, detail: str) -> None:
        """Answer below the application, and close."""
        if self.transport.is_closing():
            return
        body = msgspec.json.encode(document(status, reason, detail))
        lines = (
            f"HTTP/1.1 {status} {reason}",
            f"content-type: {MEDIA_TYPE}",
            f"content-length: {len(body)}",
            "connection: close",
        )
        self.transport.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        self.transport.close()


def configure(app: ASGIApp) -> uvicorn.Config:
    """How the application is served: nothing is believed of proxies, nothing is told of the server."""
    return uvicorn.Config(
        app,
        loop="uvloop",
        http=GuardedProtocol,
        ws="none",
        lifespan="off",
        proxy_headers=False,
        server_header=False,
        date_header=True,
        access_log=False,
        log_config=None,
        backlog=BACKLOG,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
    )


def listen(host: str, port: int, *, settings: str = "CARILLON_API_HOST, CARILLON_API_PORT") -> socket.socket:
    """A listening socket that other processes of this role may share; port 0 takes a free one.

    Misconfigured when it cannot be had; `settings` says where its address was set.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise Misconfigured(f"cannot listen on {host}:{port} ({settings}): {error.strerror}") from error
    listener.setblocking(False)
    return listener


class _Server(uvicorn.Server):
    """uvicorn's server without its signals: it would end the process before the rest of the role is closed.

    And without its ten looks a second whether it should end: it is told, and sees to the date of answers each second.
    It does not leave in the middle of a conversation: each answer of its last second closes its connection.
    """

    def __init__(self, config: uvicorn.Config, stop: asyncio.Event) -> None:
        super().__init__(config)
        self.server_state: _State = _State()
        self._stop = stop

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        while not (self._stop.is_set() or await self.on_tick(0)):
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._stop.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.server_state.is_leaving = True
        await self._take_the_last(sockets or [])
        left_s = LINGER_S
        while self.server_state.connections and left_s > 0:
            await asyncio.sleep(LINGER_S / 20)
            left_s -= LINGER_S / 20
        await super().shutdown(sockets)

    async def _take_the_last(self, sockets: list[socket.socket]) -> None:
        """Listen no more. Who was let in by the kernel already is let in here too: they would be reset else."""
        kept = [each.dup() for each in sockets]
        for server in self.servers:
            server.close()
        await asyncio.sleep(0)
        for listener in kept:
            last = []
            with listener, suppress(OSError):
                while True:
                    last.append(listener.accept()[0])
            for each in last:
                each.setblocking(False)
                await asyncio.get_running_loop().connect_accepted_socket(self._protocol, each)

    def _protocol(self) -> asyncio.Protocol:
        return GuardedProtocol(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)


async def serve(app: ASGIApp, listener: socket.socket, stop: asyncio.Event) -> None:
    """Serve until `stop` is set, then let requests under way end within GRACE_S."""
    server = _Server(configure(app), stop)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    server.should_exit = True
    await serving
