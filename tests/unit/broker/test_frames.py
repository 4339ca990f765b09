"""Frames built by hand are those that pamqp builds, and are read as pamqp reads them."""

import pamqp.frame
import pytest
from pamqp.body import ContentBody
from pamqp.commands import Basic, Connection
from pamqp.header import ContentHeader

from plumbing.broker import frames

FRAME_MAX_BYTES = 4096


def by_pamqp(properties: Basic.Properties, body: bytes) -> bytes:
    room = FRAME_MAX_BYTES - 8
    parts = [body[start : start + room] for start in range(0, len(body), room)]
    header = pamqp.frame.marshal(ContentHeader(body_size=len(body), properties=properties), 3)
    return header + b"".join(pamqp.frame.marshal(ContentBody(part), 3) for part in parts)


@pytest.mark.parametrize("size", [0, 1, FRAME_MAX_BYTES - 8, FRAME_MAX_BYTES - 7, 20_000])
def test_a_message_is_cut_as_pamqp_would_cut_it(size: int) -> None:
    kind = frames.kind("application/json", is_persistent=True, name="work.v1", headers={"x-reason": "ü", "n": 7})
    properties = Basic.Properties(
        content_type="application/json",
        headers={"x-reason": "ü", "n": 7},
        delivery_mode=2,
        message_id="name.1",
        message_type="work.v1",
    )

    assert frames.content(3, kind, "name.1", b"x" * size, FRAME_MAX_BYTES) == by_pamqp(properties, b"x" * size)


def test_a_message_without_name_and_headers() -> None:
    kind = frames.kind("application/msgpack", is_persistent=False)
    properties = Basic.Properties(content_type="application/msgpack", delivery_mode=1, message_id="frames.7")

    assert frames.content(3, kind, "frames.7", b"body", FRAME_MAX_BYTES) == by_pamqp(properties, b"body")


def test_methods_are_those_of_pamqp() -> None:
    assert frames.publish(9, "carillon.work", "push.high") == pamqp.frame.marshal(
        Basic.Publish(exchange="carillon.work", routing_key="push.high", mandatory=True), 9
    )
    for is_multiple in (True, False):
        assert frames.ack(9, 2**40, multiple=is_multiple) == pamqp.frame.marshal(Basic.Ack(2**40, is_multiple), 9)
    assert frames.reject(9, 5) == pamqp.frame.marshal(Basic.Reject(5, requeue=False), 9)
    assert frames.nack(9, 5) == pamqp.frame.marshal(Basic.Nack(5, multiple=False, requeue=True), 9)


def test_a_key_beyond_its_bounds_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="at most 255 bytes"):
        frames.publish(1, "", "k" * 256)


def test_what_pamqp_writes_is_read() -> None:
    delivery = pamqp.frame.marshal(Basic.Deliver("consumer", 2**33, True, "carillon.work", "push.high"), 1)[7:-1]
    properties = Basic.Properties(content_type="text/plain", headers={"x-delivery-count": 3})
    header = pamqp.frame.marshal(ContentHeader(body_size=70_000, properties=properties), 1)[7:-1]
    tune = pamqp.frame.marshal(Connection.Tune(2047, 131_072, 60), 0)[7:-1]

    assert frames.read_delivery(delivery) == (b"consumer", 2**33, True, "push.high")
    assert (frames.body_size(header), frames.read_header(header).headers) == (70_000, {"x-delivery-count": 3})
    assert frames.read_confirmation(pamqp.frame.marshal(Basic.Ack(8, True), 1)[7:-1]) == (8, True)
    assert frames.read_frame_max(tune) == 131_072
