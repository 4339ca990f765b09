"""Bytes to frames and back, without sockets. Content headers and bodies stay as the bytes they came in."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

import pamqp.frame
from pamqp.base import Frame
from pamqp.exceptions import PAMQPException
from pamqp.heartbeat import Heartbeat

from ops.stack.broker.refusals import frame_error

METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
FRAME_MAX_BYTES = 131_072
PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
HEARTBEAT_BYTES = pamqp.frame.marshal(Heartbeat(), 0)

_PREFIX = struct.Struct(">BHI")
_END = 0xCE
_OVERHEAD_BYTES = _PREFIX.size + 1


class RawFrame(NamedTuple):
    """One frame: its kind, its channel number and its payload."""

    kind: int
    channel: int
    payload: bytes


class FrameReader:
    """Collects what a socket brings and yields whole frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._has_greeted = False

    def feed(self, data: bytes) -> Iterator[RawFrame]:
        """The frames that `data` completes. Raises Refused (501) when it is no AMQP."""
        self._buffer += data
        position = self._skip_greeting()
        try:
            while (frame := self._frame_at(position)) is not None:
                position += len(frame.payload) + _OVERHEAD_BYTES
                yield frame
        finally:
            del self._buffer[:position]

    @property
    def has_greeted(self) -> bool:
        """Whether the client's protocol header came."""
        return self._has_greeted

    def _skip_greeting(self) -> int:
        if self._has_greeted or len(self._buffer) < len(PROTOCOL_HEADER):
            return 0
        if not self._buffer.startswith(PROTOCOL_HEADER):
            raise frame_error("only AMQP 0-9-1 is spoken here")
        self._has_greeted = True
        return len(PROTOCOL_HEADER)

    def _frame_at(self, position: int) -> RawFrame | None:
        if not self._has_greeted or len(self._buffer) - position < _OVERHEAD_BYTES:
            return None
        kind, channel, size = _PREFIX.unpack_from(self._buffer, position)
        if size > FRAME_MAX_BYTES:
            raise frame_error(f"a frame of {size} bytes")
        end = position + _PREFIX.size + size
        if len(self._buffer) <= end:
            return None
        if self._buffer[end] != _END:
            raise frame_error("a frame without its end")
        return RawFrame(kind, channel, bytes(self._buffer[position + _PREFIX.size : end]))


def read_method(frame: RawFrame) -> Frame:
    """The method in a frame. Raises Refused (501) when it cannot be read."""
    try:
        _, _, method = pamqp.frame.unmarshal(raw_frame(METHOD, frame.channel, frame.payload))
    except (PAMQPException, ValueError, struct.error, IndexError) as error:
        raise frame_error(f"unreadable method: {error}") from error
    if not isinstance(method, Frame):
        raise frame_error("unreadable method")
    return method


def raw_frame(kind: int, channel: int, payload: bytes) -> bytes:
    """A frame of that kind around `payload`."""
    return b"%b%b\xce" % (_PREFIX.pack(kind, channel, len(payload)), payload)


def method_frame(channel: int, method: Frame) -> bytes:
    """A method as bytes."""
    return pamqp.frame.marshal(method, channel)


def content_frames(channel: int, header: bytes, body: bytes, *, frame_max_bytes: int) -> bytes:
    """A content header and its body, cut to the size the client agreed to."""
    room = frame_max_bytes - _OVERHEAD_BYTES
    parts = [raw_frame(HEADER, channel, header)]
    parts += [raw_frame(BODY, channel, body[start : start + room]) for start in range(0, len(body), room)]
    return b"".join(parts)
