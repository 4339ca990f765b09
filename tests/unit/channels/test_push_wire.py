"""Messages to a gateway node: what goes in comes out, none is too large, and a stranger's bytes are refused."""

import json
from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest

from channels.push import wire
from channels.push.wire import Frame, NodeKind
from domain.ids import delivery_id, notification_id, notification_of, uuid7


def a_frame(size_bytes: int = 300) -> Frame:
    return Frame(uuid7().bytes, uuid7().bytes, 10, "c" * 64, 1.5, b"x" * size_bytes)


def test_frames_travel_in_order_in_messages_that_are_small_enough() -> None:
    frames = [a_frame(4096 + place % 700) for place in range(300)]

    bodies = wire.encode_frames(frames)

    assert len(bodies) > 4
    assert all(len(body) <= wire.MAX_BYTES for body in bodies)
    assert [frame for body in bodies for frame in wire.decode(body).frames] == frames
    assert wire.encode_frames([]) == []


def test_a_frame_that_fits_into_no_message_is_an_error() -> None:
    with pytest.raises(ValueError, match="at most"):
        wire.encode_frames([a_frame(wire.MAX_BYTES)])


def test_hints_and_orders_name_devices_and_deliveries() -> None:
    device, delivery = uuid7(), uuid7()

    drain = wire.decode(wire.encode_drain([device]))
    withdraw = wire.decode(wire.encode_withdraw([(device, [delivery])]))
    close = wire.decode(wire.encode_close([(device, 4409)]))

    assert (drain.kind, drain.devices) == (NodeKind.DRAIN, [device.bytes])
    assert (withdraw.kind, withdraw.withdrawals) == (NodeKind.WITHDRAW, [(device.bytes, [delivery.bytes])])
    assert (close.kind, close.closings) == (NodeKind.CLOSE, [(device.bytes, 4409)])


def test_the_largest_orders_stay_below_the_limit_and_larger_ones_are_errors() -> None:
    devices = [uuid7() for _ in range(wire.MAX_NAMED)]

    assert len(wire.encode_drain(devices)) < wire.MAX_BYTES
    assert len(wire.encode_withdraw([(device, [device]) for device in devices])) < wire.MAX_BYTES
    assert len(wire.encode_close([(device, 4409) for device in devices])) < wire.MAX_BYTES
    with pytest.raises(ValueError, match="names at most"):
        wire.encode_drain([*devices, uuid7()])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"\xff" * 20,
        b"\x91" * 3000,
        b"x" * (wire.MAX_BYTES + 1),
        msgspec.msgpack.encode([2, "drain", 0.0]),
        msgspec.msgpack.encode([1, "dance", 0.0]),
        msgspec.msgpack.encode([1, "drain", 0.0, [], [b"short"]]),
        msgspec.msgpack.encode([1, "frames", 0.0, [[b"d", b"d", 10, None, 0.0, b"text"]]]),
    ],
    ids=["nothing", "json", "noise", "deep", "large", "version", "kind", "device", "frame"],
)
def test_what_is_no_message_is_refused(body: bytes) -> None:
    with pytest.raises(wire.UnreadableFrame):
        wire.decode(body)


def test_the_text_for_a_device_holds_the_payload_as_it_was_given() -> None:
    delivery = delivery_id(notification_id(), 3)
    payload = '{"aps":{"alert":"Grüße \\" ✓"},"data":{"n":1}}'.encode()

    text = wire.notification_frame(
        delivery_id=delivery,
        payload=payload,
        wake=5,
        collapse_id=None,
        topic="news",
        expires_at=datetime(2026, 11, 21, 12, tzinfo=UTC),
        stored=True,
    )

    assert payload in text
    assert json.loads(text) == {
        "type": "notification",
        "id": str(delivery),
        "notification_id": str(UUID(int=notification_of(delivery).int)),
        "payload": {"aps": {"alert": 'Grüße " ✓'}, "data": {"n": 1}},
        "priority": 5,
        "collapse_id": None,
        "topic": "news",
        "expires_at": "2026-11-21T12:00:00.000Z",
        "stored": True,
    }
