"""What devices send, parsed strictly and within bounds; and the texts that a gateway makes itself. Pure.

The transport has bounded a message to MAX_MESSAGE_BYTES before it gets here.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from channels.push.gateway.codes import CloseCode

MAX_MESSAGE_BYTES = 65_535
MAX_FRAGMENTS = 64
MAX_IDS = 1000
"""Ids in one `ack` or `seen`."""
MAX_NAP_S = 3600
MAX_DEPTH = 8
"""Brackets within brackets; our frames need three."""
MAX_FIELDS = 16

PING = b"{}"
MAX_BATCH = 50
MAX_BATCH_BYTES = 64 * 1024
_BATCH = b'{"type":"batch","notifications":[%b]}'
_TYPES = ("hello", "ack", "seen")

Word = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]


class Misspoken(Exception):
    """Bytes that are no frame of a client. `code` ends its connection; nothing of the platform has failed."""

    def __init__(self, code: CloseCode, why: str) -> None:
        super().__init__(why)
        self.code = code
        self.why = why


class Hello(msgspec.Struct, forbid_unknown_fields=True, frozen=True, tag_field="type", tag="hello"):
    """Who a device says it is. `nap_s`: it takes less urgent pushes at most so often, in seconds."""

    app_key: Word
    token: Word
    last_seen: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    nap_s: Annotated[int, msgspec.Meta(ge=0, le=MAX_NAP_S)] = 0
    region: Annotated[str, msgspec.Meta(max_length=64)] | None = None


class Acked(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One delivery that the device acknowledges: 100 delivered, 101 could not be decoded, 102 not shown."""

    id: UUID
    code: Literal[100, 101, 102] = 100


class Ack(msgspec.Struct, forbid_unknown_fields=True, frozen=True, tag_field="type", tag="ack"):
    """What became of these deliveries on the device."""

    ids: list[Acked]


class Seen(msgspec.Struct, forbid_unknown_fields=True, frozen=True, tag_field="type", tag="seen"):
    """A person saw these."""

    ids: list[UUID]


ClientFrame = Hello | Ack | Seen | None
"""None is the frame `{}`: I am here."""


class _ServerHello(msgspec.Struct, tag_field="type", tag="hello"):
    device_id: UUID
    connection_id: str
    heartbeat_s: float
    gateways: Sequence[str]


class _Withdraw(msgspec.Struct, tag_field="type", tag="withdraw"):
    ids: Sequence[UUID]


_decode = msgspec.json.Decoder(Hello | Ack | Seen).decode
_encode = msgspec.json.Encoder().encode


def parse(message: bytes) -> ClientFrame:
    """The frame in a text message. Raises Misspoken for everything that is none."""
    if message == PING:
        return None
    if not message.isascii():
        _need_utf8(message)
    try:
        frame: Hello | Ack | Seen = _decode(message)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise _judge(message, error) from None
    if not isinstance(frame, Hello) and len(frame.ids) > MAX_IDS:
        raise Misspoken(CloseCode.TOO_MUCH, f"more than {MAX_IDS} ids in one frame")
    return frame


def hello(device: UUID, connection: str, heartbeat_s: float, gateways: Sequence[str]) -> bytes:
    """The answer to a device that is known."""
    return _encode(_ServerHello(device, connection, heartbeat_s, gateways))


def withdraw(ids: Iterable[bytes]) -> bytes:
    """The wish that the device takes these back."""
    return _encode(_Withdraw([UUID(bytes=one) for one in ids]))


def batches(notifications: Sequence[bytes]) -> list[bytes]:
    """Notifications (texts of frames) as batch frames: each of at most 50 and 64 KiB, in order."""
    parts: list[list[bytes]] = []
    size_bytes = 0
    for text in notifications:
        size_bytes += len(text) + 1
        if not parts or len(parts[-1]) == MAX_BATCH or size_bytes > MAX_BATCH_BYTES - len(_BATCH):
            parts.append([])
            size_bytes = len(text) + 1
        parts[-1].append(text)
    return [_BATCH % b",".join(part) for part in parts]


def _need_utf8(message: bytes) -> None:
    try:
        message.decode()
    except UnicodeDecodeError:
        raise Misspoken(CloseCode.INVALID_TEXT, "not UTF-8") from None


def _judge(message: bytes, error: Exception) -> Misspoken:
    """What is wrong with a message that is no frame: this path may be slow, for it is walked once per connection."""
    if _depth(message) > MAX_DEPTH:
        return Misspoken(CloseCode.POLICY, f"nested deeper than {MAX_DEPTH}")
    try:
        value = msgspec.json.decode(message)
    except (msgspec.MsgspecError, RecursionError):
        return Misspoken(CloseCode.MALFORMED, "not JSON")
    if not isinstance(value, dict):
        return Misspoken(CloseCode.MALFORMED, "not a JSON object")
    if len(value) > MAX_FIELDS:
        return Misspoken(CloseCode.POLICY, f"more than {MAX_FIELDS} fields")
    if value.get("type") not in _TYPES:
        return Misspoken(CloseCode.POLICY, f"the type is none of {', '.join(_TYPES)}")
    return Misspoken(CloseCode.MALFORMED, str(error)[:100])


def _depth(message: bytes) -> int:
    """How deep brackets nest, at most; those in strings count too, which can only make it more."""
    depth = deepest = 0
    for byte in message:
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest
