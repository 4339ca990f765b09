"""The door of the gateway: handshakes of WebSockets, held to a pace. picows inside.

Scripts in browsers see neither the status nor the headers of a refused handshake. So whoever comes too fast is let in
and told by close code 4503 when to come again; who must not come at all (origin, path) is refused in HTTP.
"""

import asyncio
import random
import socket
import time
from collections.abc import Mapping
from typing import Any, Protocol

import structlog
from picows import WSUpgradeRequest, WSUpgradeResponse, WSUpgradeResponseWithListener, ws_create_server

from channels.push.gateway.codes import come_again
from channels.push.gateway.frames import MAX_MESSAGE_BYTES
from channels.push.gateway.link import Link
from channels.push.gateway.pace import Bucket
from plumbing.push_metrics import HANDSHAKES_REFUSED

PATH = "/v1/connect"
HANDSHAKE_WITHIN_S = 5.0
BURST_S = 2.0
"""A node takes as many handshakes at once as it takes in so many seconds."""
LATEST_RETRY_S = 30.0
BACKLOG = 4096
SEND_BUFFER_BYTES = 64 * 1024
"""What the kernel holds for a slow device; it doubles the number."""
READ_BUFFER_BYTES = 1024

log = structlog.get_logger(__name__)


class Host(Protocol):
    """Where connections are to live."""

    def link(self, origin: str | None) -> Link:
        """A link for a connection from this page, if it is from one."""

    def allow(self, origin: str | None) -> bool:
        """Whether pages from there may connect."""

    @property
    def is_full(self) -> bool:
        """Whether no further connection has room."""


class Door:
    """Listens as long as it is open; `shut` ends the listening, not the connections."""

    def __init__(self, host: Host, *, handshakes_per_s: float) -> None:
        self._host = host
        self._bucket = Bucket(handshakes_per_s, handshakes_per_s * BURST_S, time.monotonic())
        self._server: asyncio.Server | None = None
        self._is_shut = False

    async def open(self, listening: socket.socket) -> None:
        """Take connections of this socket, which is bound already."""
        self._server = await ws_create_server(
            self._answer,
            sock=listening,
            websocket_handshake_timeout=HANDSHAKE_WITHIN_S,
            enable_auto_pong=False,
            max_frame_size=MAX_MESSAGE_BYTES,
            read_buffer_init_size=READ_BUFFER_BYTES,
            logger_name=_Discreet(),  # type: ignore[arg-type]  # looks like a logger, as far as it is used
            backlog=BACKLOG,
        )

    def shut(self) -> None:
        """Take no more connections."""
        self._is_shut = True
        if self._server is not None:
            self._server.close()

    def _answer(self, request: WSUpgradeRequest) -> "Link | WSUpgradeResponseWithListener | None":
        path, _, query = request.path.decode("latin-1").partition("?")
        if path != PATH:
            return None
        if query:
            return _refuse(400, b"no query here: tokens are said in the first frame, never in a URL")
        origin = request.headers.get("Origin")
        if not self._host.allow(origin):
            return _refuse(403, b"the origin is among no app's web_origins")
        if self._is_shut:
            return _refuse(503, b"this node is leaving", {"Retry-After": "1"})
        link = self._host.link(origin)
        if self._host.is_full or not self._bucket.take(1, time.monotonic()):
            HANDSHAKES_REFUSED.inc()
            link.refusal = come_again(random.uniform(1, LATEST_RETRY_S))
        return link


class _Discreet:
    """A logger for picows, whose words hold headers and frames of devices: only that something went wrong is told."""

    name = "picows"

    def isEnabledFor(self, _level: int) -> bool:
        return False

    def info(self, *_: Any, **__: Any) -> None:
        pass

    debug = log = warning = info

    def error(self, message: str, *_: Any, **__: Any) -> None:
        log.info("gateway.protocol_broken", how=message.partition(":")[0])

    def exception(self, message: str, *_: Any, **__: Any) -> None:
        log.exception("gateway.frame_broken", how=message.partition(":")[0])


def _refuse(status: int, why: bytes, headers: Mapping[str, str] | None = None) -> WSUpgradeResponseWithListener:
    return WSUpgradeResponseWithListener(WSUpgradeResponse.create_error_response(status, why, headers), None)
