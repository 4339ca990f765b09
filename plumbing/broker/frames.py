"""The few AMQP 0-9-1 frames of the hot path, as bytes: publish, deliver, answer, confirm. Everything else is aiormq's.

pamqp builds and reads any frame, by way of an object per frame and a call per field; a message has three frames.
"""

import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from pamqp import encode
from pamqp.header import ContentHeader

METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
END = 0xCE
PREFIX = struct.Struct(">BHI")
OVERHEAD_BYTES = PREFIX.size + 1
HEARTBEAT_FRAME = b"\x08\x00\x00\x00\x00\x00\x00\xce"

TUNE = 10 << 16 | 30
CHANNEL_OPEN_OK, CHANNEL_CLOSE, CHANNEL_CLOSE_OK = 20 << 16 | 11, 20 << 16 | 40, 20 << 16 | 41
RETURN, DELIVER, ACK, REJECT, NACK = 60 << 16 | 50, 60 << 16 | 60, 60 << 16 | 80, 60 << 16 | 90, 60 << 16 | 120
CONSUME_OK, CANCEL, CANCEL_OK = 60 << 16 | 21, 60 << 16 | 30, 60 << 16 | 31
SELECT_OK = 85 << 16 | 11
"""Methods by their class and their number."""

_PUBLISH = 60 << 16 | 40
_CONTENT_TYPE, _HEADERS, _DELIVERY_MODE, _MESSAGE_ID, _TYPE = 0x8000, 0x2000, 0x1000, 0x0080, 0x0020
_TRANSIENT, _PERSISTENT = 1, 2
_MANDATORY, _MULTIPLE, _REQUEUE = 1, 1, 2

_method = struct.Struct(">BHII").pack
_header = struct.Struct(">BHIIQH").pack
_answer = struct.Struct(">BHIIQBB").pack
_prefix = PREFIX.pack
_tag_and_bits = struct.Struct(">QB").unpack_from
_tune = struct.Struct(">HIH").unpack_from


class Kind(NamedTuple):
    """What messages of one kind have in common, as the bytes around the name of each."""

    flags: int
    before: bytes
    after: bytes


class Delivery(NamedTuple):
    """What a broker says before a message."""

    consumer: bytes
    tag: int
    is_redelivered: bool
    routing_key: str


def kind(
    content_type: str, *, is_persistent: bool, name: str = "", headers: Mapping[str, str | int] | None = None
) -> Kind:
    """A kind of messages; `name` becomes their `type`."""
    mode = _PERSISTENT if is_persistent else _TRANSIENT
    flags = _CONTENT_TYPE | _DELIVERY_MODE | _MESSAGE_ID | (_HEADERS if headers else 0) | (_TYPE if name else 0)
    table = encode.field_table(dict(headers)) if headers else b""
    return Kind(flags, _short(content_type) + table + bytes([mode]), _short(name) if name else b"")


@lru_cache(maxsize=1024)
def publish(channel: int, exchange: str, routing_key: str) -> bytes:
    """`basic.publish`, mandatory: a message that no queue takes comes back. ValueError for a key beyond 255 bytes."""
    arguments = b"\x00\x00" + _short(exchange) + _short(routing_key) + bytes([_MANDATORY])
    return _method(METHOD, channel, 4 + len(arguments), _PUBLISH) + arguments + b"\xce"


def content(channel: int, kind: Kind, name: str, body: bytes, frame_max_bytes: int) -> bytes:
    """The header and the body of a message called `name`, cut to the size of frame that was agreed on."""
    said = _short(name)
    size = 14 + len(kind.before) + len(said) + len(kind.after)
    head = _header(HEADER, channel, size, 60 << 16, len(body), kind.flags)
    room = frame_max_bytes - OVERHEAD_BYTES
    if 0 < len(body) <= room:
        return b"".join(
            (head, kind.before, said, kind.after, b"\xce", _prefix(BODY, channel, len(body)), body, b"\xce")
        )
    parts = [head, kind.before, said, kind.after, b"\xce"]
    for start in range(0, len(body), room):
        part = body[start : start + room]
        parts += [_prefix(BODY, channel, len(part)), part, b"\xce"]
    return b"".join(parts)


def ack(channel: int, tag: int, *, multiple: bool) -> bytes:
    """`basic.ack` of this message, or of all up to it that were not answered."""
    return _answer(METHOD, channel, 13, ACK, tag, _MULTIPLE if multiple else 0, END)


def reject(channel: int, tag: int) -> bytes:
    """`basic.reject`: not again to this queue."""
    return _answer(METHOD, channel, 13, REJECT, tag, 0, END)


def nack(channel: int, tag: int) -> bytes:
    """`basic.nack`: back into its queue."""
    return _answer(METHOD, channel, 13, NACK, tag, _REQUEUE, END)


def read_delivery(payload: bytes) -> Delivery:
    """The payload of a `basic.deliver`."""
    at = 5 + payload[4]
    tag, bits = _tag_and_bits(payload, at)
    after_exchange = at + 10 + payload[at + 9]
    key = payload[after_exchange + 1 : after_exchange + 1 + payload[after_exchange]]
    return Delivery(payload[5:at], tag, bool(bits & 1), key.decode("utf-8", "replace"))


def read_consumer(payload: bytes) -> bytes:
    """The tag in a `basic.consume-ok`, `basic.cancel` or `basic.cancel-ok`."""
    return payload[5 : 5 + payload[4]]


def read_confirmation(payload: bytes) -> tuple[int, bool]:
    """Of a `basic.ack` or `basic.nack`: the tag, and whether it stands for all before it too."""
    tag, bits = _tag_and_bits(payload, 4)
    return tag, bool(bits & _MULTIPLE)


def read_frame_max(payload: bytes) -> int:
    """The largest frame in a `connection.tune`; 0 for any."""
    frame_max_bytes: int = _tune(payload, 4)[1]
    return frame_max_bytes


def body_size(header: bytes) -> int:
    """How long a body is to follow, by the payload of a content header."""
    return int.from_bytes(header[4:12], "big")


def read_header(header: bytes) -> Any:
    """The properties in the payload of a content header."""
    read = ContentHeader()
    read.unmarshal(header)
    return read.properties


def _short(text: str) -> bytes:
    said = text.encode()
    if len(said) > 255:
        raise ValueError(f"at most 255 bytes, not {text[:40]!r}…")
    return bytes([len(said)]) + said
