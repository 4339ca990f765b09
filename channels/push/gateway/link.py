"""One WebSocket of a device: carries frames to its session, and out what the session wants. Decides nothing."""

from collections.abc import Callable
from time import monotonic
from typing import Protocol
from uuid import UUID

from picows import WSFrame, WSListener, WSMsgType, WSTransport

from channels.push.gateway.actions import Action, Close, LookUp, Report, Signal
from channels.push.gateway.codes import CloseCode
from channels.push.gateway.drain import Read
from channels.push.gateway.frames import MAX_FRAGMENTS, MAX_MESSAGE_BYTES
from channels.push.gateway.session import Session

OUTBOX_BYTES = 128 * 1024
"""What may wait for a slow device, beyond what the kernel holds; then the connection ends, and its pushes wait."""
MAX_REASON_BYTES = 120

_TEXT, _BINARY, _CONTINUATION = WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION
_PING, _PONG, _CLOSE = WSMsgType.PING, WSMsgType.PONG, WSMsgType.CLOSE


class Surroundings(Protocol):
    """Who takes what sessions want and sockets cannot give."""

    def opened(self, link: "Link") -> None:
        """The handshake is over."""

    def look_up(self, link: "Link", wanted: LookUp) -> None:
        """Find out who this is."""

    def read(self, link: "Link", wanted: Read) -> None:
        """Read its mailbox."""

    def report(self, link: "Link", report: Report) -> None:
        """Tell the platform."""

    def ended(self, link: "Link", code: CloseCode | None) -> None:
        """The connection is gone; `code` is ours, if we ended it."""


class Link(WSListener):
    """A connection: the socket on one side, the session on the other."""

    __slots__ = (
        "_fragments",
        "_surroundings",
        "_transport",
        "closed_with",
        "connection",
        "device",
        "origin",
        "refusal",
        "region",
        "session",
        "slot",
    )

    def __init__(self, session: Session, surroundings: Surroundings, connection: str, origin: str | None) -> None:
        self.session = session
        self.connection = connection
        """Its id: a UUIDv7 in hex."""
        self.origin = origin
        self.device: UUID | None = None
        """Whose it is, once that is known."""
        self.region: str | None = None
        self.refusal: str | None = None
        """Set before the handshake is over: it came too soon, and is told so by close code 4503."""
        self.slot = 0
        self.closed_with: CloseCode | None = None
        self._surroundings = surroundings
        self._transport: WSTransport | None = None
        self._fragments: list[bytes] | None = None

    # ---- what picows calls

    def on_ws_connected(self, transport: WSTransport) -> None:
        """The handshake is over; what it said is kept nowhere."""
        self._transport = transport
        transport.request.headers.clear()
        transport.response.headers.clear()
        self._surroundings.opened(self)
        if self.refusal is not None:
            self.close(CloseCode.BUSY, self.refusal)

    def on_ws_frame(self, _transport: WSTransport, frame: WSFrame) -> None:
        """A frame came."""
        kind = frame.msg_type
        if frame.rsv1 or frame.rsv2 or frame.rsv3:
            self.close(CloseCode.PROTOCOL, "no extension was agreed on")
        elif kind == _TEXT and frame.fin and self._fragments is None:
            self.act(self.session.received(frame.get_payload_as_bytes(), monotonic()))
        elif kind in (_TEXT, _CONTINUATION):
            self._gather(frame)
        elif kind == _PING:
            self.session.heard(monotonic())
            self._send(_transport.send_pong, frame.get_payload_as_bytes())
        elif kind == _PONG:
            self.session.heard(monotonic())
        elif kind == _BINARY:
            self.close(CloseCode.UNSUPPORTED, "text frames only")
        elif kind == _CLOSE:
            _transport.send_close()
            _transport.disconnect()

    def on_ws_disconnected(self, _transport: WSTransport) -> None:
        """The connection is gone."""
        self._transport = None
        self._fragments = None
        for action in self.session.lost():
            if isinstance(action, Report):
                self._surroundings.report(self, action)
        self._surroundings.ended(self, self.closed_with)

    def pause_writing(self) -> None:
        """Nothing: what waits is measured whenever something is sent."""

    def resume_writing(self) -> None:
        """Nothing, as above."""

    # ---- what the node calls

    def act(self, actions: list[Action]) -> None:
        """Do what the session wants."""
        transport = self._transport
        has_sent = False
        for action in actions:
            if type(action) is bytes:
                if transport is not None:
                    transport.send(_TEXT, action)
                    has_sent = True
            elif type(action) is Report:
                self._surroundings.report(self, action)
            elif type(action) is Read:
                self._surroundings.read(self, action)
            elif type(action) is LookUp:
                self._surroundings.look_up(self, action)
            elif type(action) is Close:
                self._close(action)
            elif transport is not None:
                self._signal(transport, action)
        if has_sent and transport is not None and self._is_too_slow(transport):
            self.close(CloseCode.TOO_SLOW, "")

    def close(self, code: CloseCode, why: str) -> None:
        """End the connection, unless it is ending already."""
        self.act(self.session.close(code, why, monotonic()))

    # ---- how it does it

    def _gather(self, frame: WSFrame) -> None:
        """A message in pieces, as long as it stays small and has few of them."""
        is_first = frame.msg_type == _TEXT
        if is_first != (self._fragments is None):
            self.close(CloseCode.PROTOCOL, "a fragment out of its place")
            return
        fragments = self._fragments = [] if self._fragments is None else self._fragments
        fragments.append(frame.get_payload_as_bytes())
        if len(fragments) > MAX_FRAGMENTS or sum(map(len, fragments)) > MAX_MESSAGE_BYTES:
            fragments.clear()
            self.close(CloseCode.TOO_BIG, f"more than {MAX_MESSAGE_BYTES} bytes or {MAX_FRAGMENTS} fragments")
        elif frame.fin:
            self._fragments = None
            self.act(self.session.received(b"".join(fragments), monotonic()))

    def _signal(self, transport: WSTransport, action: Action) -> None:
        if action is Signal.PING:
            transport.send_ping(b"")
        else:
            transport.disconnect(False)

    def _close(self, action: Close) -> None:
        self.closed_with = action.code
        if self._transport is not None:
            reason = action.reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore")
            self._transport.send_close(int(action.code), reason)  # type: ignore[arg-type]  # any number will do

    def _send(self, send: Callable[[bytes], None], payload: bytes) -> None:
        send(payload)
        if self._transport is not None and self._is_too_slow(self._transport):
            self.close(CloseCode.TOO_SLOW, "")

    def _is_too_slow(self, transport: WSTransport) -> bool:
        return bool(transport.underlying_transport.get_write_buffer_size() > OUTBOX_BYTES)
