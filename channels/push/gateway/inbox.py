"""What workers and other nodes send to this node, handed to the connections it is for; who is not here is reported."""

import time
from collections.abc import Callable
from uuid import UUID

import structlog

from channels.push.gateway.actions import Push, Report
from channels.push.gateway.codes import CloseCode
from channels.push.gateway.connections import Connections
from channels.push.gateway.link import Link
from channels.push.wire import Frame, NodeKind, NodeMessage, UnreadableFrame, decode
from domain.receipts import ReceiptKind

log = structlog.get_logger(__name__)

TellAbsent = Callable[[UUID, Report], None]
"""Reports a push of a device that is not here."""


class Inbox:
    """Takes the bodies of messages. `ghosts` takes connections that another node declares ghosts."""

    def __init__(self, connections: Connections, report: TellAbsent, ghosts: Callable[[Link], None]) -> None:
        self._connections = connections
        self._report = report
        self._ghosts = ghosts

    def take(self, body: bytes) -> None:
        """Do what a message says; one that cannot be read is passed over, for it is a hint."""
        try:
            message = decode(body)
        except UnreadableFrame as error:
            log.warning("gateway.message_unreadable", error=str(error), size_bytes=len(body))
            return
        now = time.monotonic()
        if message.kind is NodeKind.FRAMES:
            now_at = time.time()
            for frame in message.frames:
                self._hand(frame, now, is_over=frame.expires_at <= now_at)
        elif message.kind is NodeKind.CLOSE:
            self._close(message)
        else:
            self._tell(message, now)

    def _hand(self, frame: Frame, now: float, *, is_over: bool) -> None:
        link = self._connections.of(frame.device)
        if link is None or is_over:
            self._report(UUID(bytes=frame.device), Report(ReceiptKind.ABSENT, frame.delivery))
        else:
            push = Push(frame.delivery, frame.wake, frame.collapse_id, frame.body)
            link.act(link.session.handed(push, now))

    def _tell(self, message: NodeMessage, now: float) -> None:
        for device in message.devices:
            link = self._connections.of(device)
            if link is not None:
                link.act(link.session.hinted())
        for device, deliveries in message.withdrawals:
            link = self._connections.of(device)
            if link is not None:
                link.act(link.session.withdrawn(deliveries, now))

    def _close(self, message: NodeMessage) -> None:
        for device, number in message.closings:
            link = self._connections.of(device)
            if link is None:
                continue
            if number == CloseCode.GHOSTED:
                self._ghosts(link)  # it may be about a connection before this one
            else:
                known = number if number in CloseCode.__members__.values() else CloseCode.GONE
                link.close(CloseCode(known), "")
