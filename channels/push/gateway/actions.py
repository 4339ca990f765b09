"""What a session wants done: the words between it and whoever holds the socket. Text to be sent is bytes."""

from enum import Enum
from typing import NamedTuple
from uuid import UUID

from channels.push.gateway.codes import CloseCode
from channels.push.gateway.drain import Read
from channels.push.gateway.frames import Hello
from domain.receipts import ReceiptKind


class Report(NamedTuple):
    """Tell the platform what became of a push; `code` is the device's (100, 101, 102), 0 without one."""

    kind: ReceiptKind
    delivery: bytes
    code: int = 0
    successor: bytes | None = None
    """Of a collapsed one: what replaced it."""
    live_wake: int = 0
    """Of a live push that was acknowledged: its wake."""


class LookUp(NamedTuple):
    """Find out who says hello; answer by `admitted`, `refused` or `unanswered`."""

    hello: Hello


class Close(NamedTuple):
    """Send a close frame; nothing goes out after it."""

    code: CloseCode
    reason: str


class Signal(Enum):
    """What needs no words."""

    PING = "ping"
    """Send a WebSocket ping, which every client answers by itself."""
    ABORT = "abort"
    """The peer had time to say goodbye: cut the connection."""


Action = bytes | Report | LookUp | Read | Close | Signal


class Push(NamedTuple):
    """A push from the mailbox, as the text of its frame."""

    delivery: bytes
    wake: int
    collapse_id: str | None
    text: bytes

    @property
    def place(self) -> tuple[int, UUID]:
        """Where it lies in the mailbox."""
        return self.wake, UUID(bytes=self.delivery)
