"""The embedded broker's decisions that need no socket: topic patterns, frames, and what it refuses to declare."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pamqp.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from ops.stack.broker.exchanges import Exchange, matches
from ops.stack.broker.frames import HEADER, PROTOCOL_HEADER, FrameReader, RawFrame, method_frame, raw_frame, read_method
from ops.stack.broker.messages import Message
from ops.stack.broker.queues import Declaration
from ops.stack.broker.refusals import ConnectionRefused, Refused
from ops.stack.broker.vhost import VirtualHost

WORDS = st.lists(st.sampled_from(["a", "b", ""]), min_size=1, max_size=6)
PATTERNS = st.lists(st.sampled_from(["a", "b", "", "*", "#"]), min_size=1, max_size=6)


def by_definition(pattern: Sequence[str], words: Sequence[str]) -> bool:
    """The rule as the specification tells it, without a thought for speed."""
    if not pattern:
        return not words
    if pattern[0] == "#":
        return any(by_definition(pattern[1:], words[skipped:]) for skipped in range(len(words) + 1))
    return bool(words) and pattern[0] in ("*", words[0]) and by_definition(pattern[1:], words[1:])


@given(PATTERNS, WORDS)
def test_a_topic_pattern_fits_as_the_specification_says(pattern: list[str], words: list[str]) -> None:
    assert matches(pattern, words) == by_definition(pattern, words)


def test_a_pattern_of_many_hashes_is_judged_quickly() -> None:
    assert not matches(["#", "a"] * 60 + ["b"], ["a"] * 120)


def test_an_exchange_forgets_a_deleted_queue() -> None:
    exchange = Exchange("work", "topic", is_durable=True)
    exchange.bind("gone", "email.*")
    exchange.bind("kept", "email.*")

    exchange.forget("gone")

    assert exchange.route("email.high") == ["kept"]


@given(st.lists(st.integers(1, 40), max_size=40))
def test_frames_are_found_wherever_the_bytes_were_cut(cuts: list[int]) -> None:
    publish = Basic.Publish(exchange="carillon.work", routing_key="email.high", mandatory=True)
    header = ContentHeader(body_size=3, properties=Basic.Properties(message_id="m")).marshal()
    stream = PROTOCOL_HEADER + method_frame(1, publish) + raw_frame(HEADER, 1, header) + raw_frame(3, 1, b"abc")
    reader, frames, position = FrameReader(), list[RawFrame](), 0

    for cut in [*cuts, len(stream)]:
        frames += reader.feed(stream[position : position + cut])
        position += cut

    assert [(frame.kind, frame.channel) for frame in frames] == [(1, 1), (2, 1), (3, 1)]
    assert read_method(frames[0]).name == "Basic.Publish"
    assert (frames[1].payload, frames[2].payload) == (header, b"abc")


@given(st.binary(min_size=8, max_size=200))
def test_what_is_no_amqp_is_refused(data: bytes) -> None:
    with pytest.raises(Refused):
        list(FrameReader().feed(b"X" + data))


@given(st.binary(max_size=60))
def test_a_method_is_readable_or_refused(payload: bytes) -> None:
    with suppress(ConnectionRefused):  # any other exception would end the broker's reading
        assert read_method(RawFrame(1, 0, payload)).name


@pytest.mark.parametrize("end", [b"\x00", b"\xcd"])
def test_a_frame_without_its_end_is_refused(end: bytes) -> None:
    frame = pamqp.frame.marshal(Basic.Ack(1), 1)

    with pytest.raises(Refused):
        list(FrameReader().feed(PROTOCOL_HEADER + frame[:-1] + end))


@pytest.mark.parametrize(
    ("declaration", "why"),
    [
        (Declaration("q", False, False, False), "transient non-exclusive"),
        (Declaration("q", True, False, False, {"x-queue-mode": "lazy"}), "x-queue-mode"),
        (Declaration("q", True, False, False, {"x-max-priority": 5}), "x-max-priority"),
        (Declaration("q", True, False, False, {"x-delivery-limit": -1}), "x-delivery-limit"),
        (Declaration("q", True, False, False, {"x-message-ttl": "soon"}), "x-message-ttl"),
        (Declaration("q", True, False, False, {"x-queue-type": "stream"}), "stream"),
        (Declaration("q", False, True, False, {"x-queue-type": "quorum"}), "quorum"),
        (Declaration("q", True, False, False, {"x-max-length-bytes": 10}), "reject-publish"),
        (Declaration("amq.mine", True, False, False), "reserved"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_queue_that_rabbitmq_4_3_or_we_do_not_know_is_refused(declaration: Declaration, why: str) -> None:
    host = VirtualHost("/", asyncio.get_running_loop())

    with pytest.raises(Refused, match=why):
        host.declare_queue(declaration, owner=object())


class Taker:
    """A consumer that takes everything."""

    is_exclusive = False
    is_free = True

    def __init__(self) -> None:
        self.taken: list[Any] = []
        self.has_ended = False

    def take(self, stored: Any) -> None:
        self.taken.append(stored)

    def end(self) -> None:
        self.has_ended = True


async def test_messages_keep_their_order_when_some_are_put_back() -> None:
    queue = VirtualHost("/", asyncio.get_running_loop()).declare_queue(Declaration("q", True, False, False), object())
    for number in range(5):
        queue.offer(Message("", "q", b"", str(number).encode()))
    held = [queue.pop(), queue.pop(), queue.pop()]

    queue.requeue([held[2], held[0]])

    assert [queue.pop().message.body for _ in range(4)] == [b"0", b"2", b"3", b"4"]


async def test_a_deleted_queue_tells_its_consumers_and_takes_its_bindings_along() -> None:
    host, taker = VirtualHost("/", asyncio.get_running_loop()), Taker()
    queue = host.declare_queue(Declaration("q", True, False, False), object())
    queue.consumers.append(taker)
    host.exchange("amq.fanout").bind("q", "")

    host.delete_queue("q", object())

    assert taker.has_ended
    assert host.publish(Message("amq.fanout", "", b"", b"")) == (0, True)
