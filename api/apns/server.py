"""The server under the provider door: HTTP/2 and HTTP/1.1 over TLS on one port, in this process and on its event loop.

It is granian's embeddable server (docs/decisions/0013): the protocols and TLS run in its own threads, and requests
come to our loop one by one, so that they meet in the one batcher of this process.
"""

import asyncio
import contextlib
import logging
import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from granian._granian import SocketHolder
from granian.constants import Interfaces, SSLProtocols
from granian.http import HTTP1Settings, HTTP2Settings
from granian.log import LogLevels
from granian.server.embed import Server

from domain.errors import Misconfigured

MAX_STREAMS = 1000
"""Requests under way on one connection, as Apple allows."""

MAX_CONNECTIONS = 4096
MAX_HEADER_BYTES = 16 * 1024
WINDOW_BYTES = 1024 * 1024
PING_MS, PING_TIMEOUT_S = 300_000, 20
"""A connection that leads nowhere is noticed within these. Seldom, for some clients answer no ping while they idle."""

HEAD_TIMEOUT_MS = 10_000
FLUSH_S = 0.2
"""Answers that were handed over leave within it, before GOAWAY: clients on `h2` read nothing more after that."""

STOP_TIMEOUT_S = 1.0
"""Connections that were told to go away have so long: by then nothing is under way, and some clients never answer."""

Header = tuple[str, str]


class Headers(Protocol):
    """The headers of a request; names are lower-case."""

    def keys(self) -> list[str]: ...
    def get_all(self, key: str) -> list[str]: ...


class Scope(Protocol):
    """The head of a request, as the server gives it (RSGI)."""

    @property
    def proto(self) -> str: ...
    @property
    def http_version(self) -> str: ...
    @property
    def method(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def headers(self) -> Headers: ...


class Exchange(Protocol):
    """The body of a request, in parts, and the way back."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...
    def response_empty(self, status: int, headers: Sequence[Header]) -> None: ...
    def response_bytes(self, status: int, headers: Sequence[Header], body: bytes) -> None: ...


Application = Callable[[Any, Any], Awaitable[None]]
"""Answers one request: (Scope, Exchange). It must not raise."""


class _Server(Server):
    """granian's server on a socket that is bound already, so that a free port can be told before the first client."""

    def __init__(self, listener: socket.socket, application: Application, **settings: Any) -> None:
        super().__init__(application, **settings)
        self._listener = listener

    def _init_shared_socket(self) -> None:
        holder: Any = SocketHolder  # its stub says less than it takes
        self._shd = holder(os.dup(self._listener.fileno()), False, self.backlog)


@contextlib.asynccontextmanager
async def open_server(
    listener: socket.socket, application: Application, *, certificate: Path, private_key: Path
) -> AsyncIterator[asyncio.Task[None]]:
    """Serve as long as the context lasts; the task ends early only when the server failed.

    At the end connections are told to go away (GOAWAY), and those that stay are left to the end of the process.
    """
    logging.getLogger("asyncio").addFilter(_is_news)
    server = _configure(listener, application, certificate, private_key)
    serving = asyncio.create_task(server.serve())
    try:
        yield serving
    finally:
        await asyncio.sleep(FLUSH_S)
        server.stop()  # type: ignore[no-untyped-call]  # that is how it is ended
        await asyncio.wait({serving}, timeout=STOP_TIMEOUT_S)


def _is_news(record: logging.LogRecord) -> bool:
    """False for one complaint: granian tells its own end twice where connections stayed longer than STOP_TIMEOUT_S."""
    return "shutdown_glue" not in record.getMessage()


def need_certificate(certificate: Path | None, private_key: Path | None) -> tuple[Path, Path]:
    """The PEM files of this door, which fit together. Misconfigured when they are missing or cannot be used."""
    names = "CARILLON_DOOR_CERTIFICATE, CARILLON_DOOR_PRIVATE_KEY"
    if certificate is None or private_key is None:
        raise Misconfigured(f"the provider door speaks TLS only: set {names}; `up` does so by itself")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, private_key)
    except (OSError, ValueError) as error:
        raise Misconfigured(f"{certificate} and {private_key} ({names}) cannot be used: {error}") from error
    return certificate, private_key


def _configure(listener: socket.socket, application: Application, certificate: Path, private_key: Path) -> _Server:
    return _Server(
        listener,
        application,
        interface=Interfaces.RSGI,
        ssl_cert=certificate,
        ssl_key=private_key,
        ssl_protocol_min=SSLProtocols.tls12,
        http2_settings=HTTP2Settings(
            initial_connection_window_size=WINDOW_BYTES,
            initial_stream_window_size=WINDOW_BYTES,
            keep_alive_interval=PING_MS,
            keep_alive_timeout=PING_TIMEOUT_S,
            max_concurrent_streams=MAX_STREAMS,
            max_headers_size=MAX_HEADER_BYTES,
        ),
        http1_settings=HTTP1Settings(header_read_timeout=HEAD_TIMEOUT_MS, max_buffer_size=MAX_HEADER_BYTES),
        backlog=1024,
        backpressure=MAX_CONNECTIONS,
        websockets=False,
        log_level=LogLevels.error,
        log_dictconfig={"handlers": {}, "loggers": {"_granian": {"handlers": [], "propagate": True}}},
    )
