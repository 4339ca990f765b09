"""Messages to a gateway node, and the text of the frame that a device gets; MessagePack, versioned, no secrets.

A worker makes the whole WebSocket text, so that a gateway copies bytes and parses nothing. A message is a hint, never a
store: whatever is not acknowledged by its device comes again, by way of the mailbox.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from time import time
from typing import TypeVar
from uuid import UUID

import msgspec

from domain.clock import rfc3339
from domain.errors import CarillonError
from domain.ids import notification_of

VERSION = 1
MAX_BYTES = 256 * 1024
MAX_NAMED = 5000
"""Devices (or withdrawn deliveries) that one message names at most: it stays far below MAX_BYTES."""

T = TypeVar("T")
_ALLOWANCE_BYTES = 160
"""What a frame's fields beside its text may take, its collapse id of 64 bytes included."""


class NodeKind(StrEnum):
    """What a gateway is told to do."""

    FRAMES = "frames"
    """Hand these texts to their devices."""
    DRAIN = "drain"
    """These devices have something in their mailbox."""
    WITHDRAW = "withdraw"
    """Take these deliveries back from their devices, as far as that is possible."""
    CLOSE = "close"
    """End the connections of these devices."""


class UnreadableFrame(CarillonError):
    """The bytes are no message to a node of a known version."""


class Frame(msgspec.Struct, array_like=True, frozen=True):
    """One push for one device: `body` is the whole WebSocket text, `expires_at` in seconds since 1970."""

    device: bytes
    delivery: bytes
    wake: int
    collapse_id: str | None
    expires_at: float
    body: bytes


class NodeMessage(msgspec.Struct, array_like=True, frozen=True):
    """What a node is told; `sent_at` in seconds since 1970. Devices and deliveries are the 16 bytes of their ids.

    `withdrawals` are (device, its deliveries), `closings` (device, close code).
    """

    v: int
    kind: NodeKind
    sent_at: float
    frames: list[Frame] = []
    devices: list[bytes] = []
    withdrawals: list[tuple[bytes, list[bytes]]] = []
    closings: list[tuple[bytes, int]] = []


class _Notification(msgspec.Struct, tag_field="type", tag="notification"):
    id: UUID
    notification_id: UUID
    payload: msgspec.Raw
    priority: int
    collapse_id: str | None
    topic: str | None
    expires_at: str
    stored: bool


_json_encode = msgspec.json.Encoder().encode
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(NodeMessage).decode


def notification_frame(
    *,
    delivery_id: UUID,
    payload: bytes,
    wake: int,
    collapse_id: str | None,
    topic: str | None,
    expires_at: datetime,
    stored: bool,
    notification_id: UUID | None = None,
) -> bytes:
    """The frame that carries one push to its device, as JSON text; `payload` is JSON and goes in as it is."""
    frame = _Notification(
        delivery_id,
        notification_id or notification_of(delivery_id),
        msgspec.Raw(payload),
        int(wake),
        collapse_id,
        topic,
        rfc3339(expires_at),
        stored,
    )
    return _json_encode(frame)


def bundles(frames: Iterable[Frame]) -> list[list[Frame]]:
    """The frames in their order, cut so that each part fits into one message of 256 KiB."""
    parts: list[list[Frame]] = []
    room_bytes = 0
    for frame in frames:
        size_bytes = len(frame.body) + _ALLOWANCE_BYTES
        if size_bytes > room_bytes:
            parts.append([])
            room_bytes = MAX_BYTES - _ALLOWANCE_BYTES
        parts[-1].append(frame)
        room_bytes -= size_bytes
    return parts


def encode_frames(frames: Iterable[Frame]) -> list[bytes]:
    """Frames as messages of at most 256 KiB each, in order. ValueError for a frame that is larger by itself."""
    bodies = [_encode(NodeMessage(VERSION, NodeKind.FRAMES, time(), frames=part)) for part in bundles(frames)]
    if any(len(body) > MAX_BYTES for body in bodies):
        raise ValueError(f"a frame to a gateway has at most {MAX_BYTES} bytes")
    return bodies


def encode_drain(devices: Sequence[UUID]) -> bytes:
    """The hint that these devices (at most 5,000) have something in their mailbox."""
    named = [device.bytes for device in _few(devices)]
    return _encode(NodeMessage(VERSION, NodeKind.DRAIN, time(), devices=named))


def encode_withdraw(withdrawals: Sequence[tuple[UUID, Sequence[UUID]]]) -> bytes:
    """The wish to take deliveries back: `(device, its deliveries)`, at most 5,000 deliveries in all."""
    _few([delivery for _, deliveries in withdrawals for delivery in deliveries])
    named = [(device.bytes, [one.bytes for one in deliveries]) for device, deliveries in withdrawals]
    return _encode(NodeMessage(VERSION, NodeKind.WITHDRAW, time(), withdrawals=named))


def encode_close(closings: Sequence[tuple[UUID, int]]) -> bytes:
    """The order to end connections: `(device, close code)`, at most 5,000."""
    named = [(device.bytes, code) for device, code in _few(closings)]
    return _encode(NodeMessage(VERSION, NodeKind.CLOSE, time(), closings=named))


def decode(body: bytes) -> NodeMessage:
    """The message in `body`, whoever wrote it; UnreadableFrame for everything else."""
    if len(body) > MAX_BYTES:
        raise UnreadableFrame(f"{len(body)} bytes are more than a node is ever sent")
    try:
        message = _decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise UnreadableFrame(str(error)[:200]) from error
    if message.v != VERSION:
        raise UnreadableFrame(f"version {message.v} is not known here")
    _need_ids(message)
    return message


def _need_ids(message: NodeMessage) -> None:
    ids = [
        *message.devices,
        *(one.device for one in message.frames),
        *(one.delivery for one in message.frames),
        *(device for device, _ in message.withdrawals),
        *(one for _, deliveries in message.withdrawals for one in deliveries),
        *(device for device, _ in message.closings),
    ]
    if any(len(one) != 16 for one in ids):
        raise UnreadableFrame("an id has 16 bytes")


def _few(named: Sequence[T]) -> Sequence[T]:
    if len(named) > MAX_NAMED:
        raise ValueError(f"one message names at most {MAX_NAMED}, not {len(named)}")
    return named
