"""One client's connection: handshake, heartbeats, and its AMQP channels."""

import asyncio
import hmac
import logging
from collections.abc import Callable
from typing import Protocol

from pamqp.base import Frame
from pamqp.commands import Channel, Connection
from pamqp.common import FieldTable

from ops.stack.broker import frames
from ops.stack.broker.frames import FRAME_MAX_BYTES, FrameReader, RawFrame, method_frame, read_method
from ops.stack.broker.refusals import Refused, not_allowed, not_logged_in, unexpected_frame
from ops.stack.broker.session import Session
from ops.stack.broker.vhost import VirtualHost

HEARTBEAT_S = 60
HANDSHAKE_TIMEOUT_S = 10
CHANNEL_MAX = 2047
_CAPABILITIES: FieldTable = {
    "publisher_confirms": True,
    "basic.nack": True,
    "consumer_cancel_notify": True,
    "authentication_failure_close": True,
    "per_consumer_qos": True,
}

log = logging.getLogger("carillon.broker")


class House(Protocol):
    """The broker, as a connection sees it."""

    user: str
    password: str

    def vhost(self, name: str) -> VirtualHost:
        """The virtual host of that name, made when it is new."""

    def entered(self, connection: "ClientConnection") -> None:
        """A client came."""

    def left(self, connection: "ClientConnection") -> None:
        """A client went."""


class ClientConnection(asyncio.Protocol):
    """Reads frames, keeps the sessions, writes answers; everything happens at once, nothing waits."""

    vhost: VirtualHost

    def __init__(self, house: House, loop: asyncio.AbstractEventLoop) -> None:
        self.frame_max_bytes = FRAME_MAX_BYTES
        self.wants_cancel_notices = False
        self.is_full = False
        self._house = house
        self._loop = loop
        self._reader = FrameReader()
        self._sessions: dict[int, Session] = {}
        self._closing_channels: set[int] = set()
        self._awaited: Callable[[Frame], None] | None = self._on_start_ok
        self._is_closing = False
        self._has_ended = False
        self._heartbeat_s = 0.0
        self._last_read = self._last_written = loop.time()
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("a stream transport is needed")
        self._transport = transport
        self._timer = self._loop.call_later(HANDSHAKE_TIMEOUT_S, self._transport.abort)
        self._house.entered(self)

    def data_received(self, data: bytes) -> None:
        self._last_read = self._loop.time()
        try:
            greeted = self._reader.has_greeted
            for frame in self._reader.feed(data):
                self._on_frame(frame)
            if self._reader.has_greeted and not greeted:
                self._greet()
            for session in self._sessions.values():
                session.flush_confirms()
        except Refused as refusal:
            self._close_connection(refusal)

    def connection_lost(self, _: Exception | None) -> None:
        self._end()
        self._house.left(self)

    def pause_writing(self) -> None:
        self.is_full = True

    def resume_writing(self) -> None:
        self.is_full = False
        for session in self._sessions.values():
            session.deliveries.pump()

    def write(self, data: bytes) -> None:
        """Send bytes; to a client that is gone, nothing."""
        if not self._transport.is_closing():
            self._last_written = self._loop.time()
            self._transport.write(data)

    def shut(self) -> None:
        """The broker stops: say so and hang up."""
        if not self._is_closing:
            self._send(Connection.Close(320, "CONNECTION_FORCED - broker is shutting down", 0, 0))
        self._transport.close()

    def _on_frame(self, frame: RawFrame) -> None:
        if frame.kind == frames.HEARTBEAT:
            return
        method = read_method(frame) if frame.kind == frames.METHOD else None
        if self._is_closing:
            if isinstance(method, Connection.CloseOk):
                self._transport.close()
        elif self._awaited is not None:
            if method is None:
                raise unexpected_frame("content before the connection is open")
            self._awaited(method)
        elif frame.channel == 0:
            self._on_connection_method(method)
        else:
            self._on_channel_frame(frame, method)

    def _on_connection_method(self, method: Frame | None) -> None:
        if not isinstance(method, Connection.Close):
            raise unexpected_frame(f"{method.name if method else 'content'} on channel 0")
        self._end()
        self._is_closing = True
        self._send(Connection.CloseOk())
        self._transport.close()

    def _on_channel_frame(self, frame: RawFrame, method: Frame | None) -> None:
        number = frame.channel
        if number in self._closing_channels:
            if isinstance(method, Channel.CloseOk | Channel.Close):
                self._closing_channels.discard(number)
                if isinstance(method, Channel.Close):
                    self._send(Channel.CloseOk(), number)
            return
        session = self._sessions.get(number)
        if session is None:
            if not isinstance(method, Channel.Open) or number > CHANNEL_MAX:
                raise unexpected_frame(f"channel {number} is not open")
            self._sessions[number] = Session(number, self)
            self._send(Channel.OpenOk(), number)
            return
        try:
            self._on_session_frame(session, frame, method)
        except Refused as refusal:
            if refusal.closes_connection:
                raise
            self._close_channel(number, refusal, method)

    def _on_session_frame(self, session: Session, frame: RawFrame, method: Frame | None) -> None:
        if isinstance(method, Channel.Close):
            self._end_session(frame.channel)
            self._send(Channel.CloseOk(), frame.channel)
        elif method is not None:
            session.on_method(method)
        elif frame.kind == frames.HEADER:
            session.on_header(frame.payload)
        elif frame.kind == frames.BODY:
            session.on_body(frame.payload)
        else:
            raise unexpected_frame(f"a frame of kind {frame.kind}")

    def _greet(self) -> None:
        self._send(
            Connection.Start(
                server_properties={"product": "Carillon embedded broker", "capabilities": _CAPABILITIES},
                mechanisms="PLAIN",
                locales="en_US",
            )
        )

    def _on_start_ok(self, method: Frame) -> None:
        if not isinstance(method, Connection.StartOk) or method.mechanism != "PLAIN":
            raise not_logged_in()
        given = str(method.response or "").encode()
        expected = f"\0{self._house.user}\0{self._house.password}".encode()
        if not hmac.compare_digest(given, expected):
            raise not_logged_in()
        capabilities = (method.client_properties or {}).get("capabilities")
        self.wants_cancel_notices = isinstance(capabilities, dict) and bool(capabilities.get("consumer_cancel_notify"))
        self._awaited = self._on_tune_ok
        self._send(Connection.Tune(CHANNEL_MAX, FRAME_MAX_BYTES, HEARTBEAT_S))

    def _on_tune_ok(self, method: Frame) -> None:
        if not isinstance(method, Connection.TuneOk):
            raise unexpected_frame(f"{method.name} instead of Connection.TuneOk")
        self.frame_max_bytes = min(max(method.frame_max or FRAME_MAX_BYTES, 4096), FRAME_MAX_BYTES)
        self._heartbeat_s = float(method.heartbeat or 0)
        self._awaited = self._on_open

    def _on_open(self, method: Frame) -> None:
        if not isinstance(method, Connection.Open):
            raise not_allowed(f"{method.name} before the connection is open")
        self.vhost = self._house.vhost(method.virtual_host or "/")
        self._awaited = None
        if self._timer is not None:
            self._timer.cancel()
        self._send(Connection.OpenOk())
        self._beat()

    def _beat(self) -> None:
        """Twice per heartbeat: show that we live, and look whether the client does."""
        if not self._heartbeat_s or self._transport.is_closing():
            return
        now = self._loop.time()
        if now - self._last_read > 2 * self._heartbeat_s:
            log.warning("missed heartbeats from a client, hanging up")
            self._transport.abort()
            return
        if now - self._last_written >= self._heartbeat_s / 2:
            self.write(frames.HEARTBEAT_BYTES)
        self._timer = self._loop.call_later(self._heartbeat_s / 2, self._beat)

    def _close_channel(self, number: int, refusal: Refused, method: Frame | None) -> None:
        self._sessions[number].flush_confirms()
        self._end_session(number)
        self._closing_channels.add(number)
        index = method.index if method else 0
        self._send(Channel.Close(refusal.code, refusal.text, index >> 16, index & 0xFFFF), number)

    def _close_connection(self, refusal: Refused) -> None:
        if self._is_closing:
            self._transport.abort()
            return
        log.warning("closing a connection: %s", refusal.text)
        self._end()
        self._is_closing = True
        self._send(Connection.Close(refusal.code, refusal.text, 0, 0))
        self._timer = self._loop.call_later(HANDSHAKE_TIMEOUT_S, self._transport.abort)

    def _end_session(self, number: int) -> None:
        session = self._sessions.pop(number)
        session.deliveries.stop()
        session.deliveries.give_back()

    def _end(self) -> None:
        """Give everything back: first every consumer stops, or this connection would get its own again."""
        if self._timer is not None:
            self._timer.cancel()
        for session in self._sessions.values():
            session.deliveries.stop()
        for number in list(self._sessions):
            self._end_session(number)
        if self._awaited is None and not self._has_ended:
            self._has_ended = True
            self.vhost.forget_owner(self)

    def _send(self, method: Frame, channel: int = 0) -> None:
        self.write(method_frame(channel, method))
