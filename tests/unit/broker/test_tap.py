"""What the tap takes from the wire, what it leaves to aiormq, and what it answers, frame by frame."""

import asyncio
from typing import cast

import pamqp.frame
import pytest
from pamqp.base import Frame
from pamqp.body import ContentBody
from pamqp.commands import Basic, Channel, Confirm
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat

from plumbing.broker import frames
from plumbing.broker.frames import Delivery
from plumbing.broker.tap import Take, Wire
from plumbing.broker.unanswered import Unanswered
from plumbing.broker.unconfirmed import MAX_UNCONFIRMED, Call, Outgoing, Unconfirmed

KIND = frames.kind("application/json", is_persistent=True)


class Socket:
    """A writer that keeps what is written; as frames of pamqp's."""

    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data

    async def drain(self) -> None:
        await asyncio.sleep(0)

    def said(self) -> list[tuple[str, int, bool]]:
        """Answers since the last look: name, tag, multiple."""
        said = []
        while self.written:
            size, _, frame = pamqp.frame.unmarshal(self.written)
            assert isinstance(frame, Basic.Ack | Basic.Nack | Basic.Reject)
            said.append((frame.name, frame.delivery_tag or 0, getattr(frame, "multiple", False)))
            self.written = self.written[size:]
        return said


class Bench:
    """A wire whose socket and whose reader are in our hand."""

    def __init__(self, prefetch: int = 100) -> None:
        self.socket = Socket()
        self.reader = asyncio.StreamReader()
        self.taken: list[tuple[Delivery, bytes, Unanswered]] = []
        takers: dict[bytes, tuple[Take, int]] = {b"ours": (self._take, prefetch), b"also": (self._take, prefetch)}
        self.wire = Wire(self.reader, takers)
        self.wire.writer = cast("asyncio.StreamWriter", self.socket)

    def _take(self, delivery: Delivery, _header: bytes, body: bytes, unanswered: Unanswered) -> None:
        self.taken.append((delivery, body, unanswered))

    def hear(self, *heard: bytes) -> None:
        self.wire.data_received(b"".join(heard))

    async def left(self) -> bytes:
        """What was left to aiormq."""
        self.reader.feed_eof()
        return await self.reader.read()


def method(frame: Frame, channel: int = 1) -> bytes:
    return pamqp.frame.marshal(frame, channel)


def message(tag: int, body: bytes, *, channel: int = 1, consumer: str = "ours", cut: int = 100_000) -> list[bytes]:
    header = ContentHeader(body_size=len(body), properties=Basic.Properties(content_type="text/plain"))
    parts = [body[start : start + cut] for start in range(0, len(body), cut)]
    return [
        method(Basic.Deliver(consumer, tag, False, "carillon.work", "push.high"), channel),
        pamqp.frame.marshal(header, channel),
        *(pamqp.frame.marshal(ContentBody(part), channel) for part in parts),
    ]


async def test_messages_are_whole_wherever_the_socket_cuts_them() -> None:
    stream = b"".join([*message(1, b"one"), method(Channel.Flow(True)), *message(2, b""), *message(3, b"three", cut=2)])
    for step in (1, 2, 7, 50, len(stream)):
        bench = Bench()
        for start in range(0, len(stream), step):
            bench.hear(stream[start : start + step])

        assert [(one.tag, body) for one, body, _ in bench.taken] == [(1, b"one"), (2, b""), (3, b"three")]
        assert (await bench.left()).replace(frames.HEARTBEAT_FRAME, b"") == method(Channel.Flow(True))


async def test_messages_of_two_channels_may_come_in_turns() -> None:
    bench = Bench()
    here, there = message(1, b"abcdef", cut=2), message(1, b"ABCDEF", channel=2, consumer="also", cut=2)

    bench.hear(*(frame for pair in zip(here, there, strict=True) for frame in pair))

    assert [(one.consumer, body) for one, body, _ in bench.taken] == [(b"ours", b"abcdef"), (b"also", b"ABCDEF")]


async def test_what_nobody_takes_is_left_and_is_not_acknowledged_with_others() -> None:
    bench = Bench(prefetch=1)
    strange = message(2, b"?", consumer="theirs")

    bench.hear(*message(1, b"a"), *strange, *message(3, b"c"))
    for _, _, unanswered in bench.taken:
        unanswered.ack(3)
        unanswered.ack(1)

    assert bench.socket.said() == [("Basic.Ack", 3, False), ("Basic.Ack", 1, True)]
    assert await bench.left() == b"".join(strange)


async def test_aiormq_hears_a_heartbeat_when_only_hot_frames_come() -> None:
    bench = Bench()

    bench.hear(*message(1, b"a"))
    bench.hear(*message(2, b"b"))

    assert await bench.left() == pamqp.frame.marshal(Heartbeat(), 0)


@pytest.mark.parametrize("noise", [b"AMQP\x00\x00\x09\x01", b"\x01\x00\x01\x00\x00\x00\x01xx"])
async def test_what_is_no_amqp_is_left_to_aiormq_to_complain_about(noise: bytes) -> None:
    bench = Bench()

    bench.hear(noise)
    bench.hear(b"more")

    assert await bench.left() == noise + b"more"


async def test_acknowledgements_gather_and_go_in_one_frame() -> None:
    bench = Bench()
    bench.hear(*(frame for tag in range(1, 6) for frame in message(tag, b"x")))
    unanswered = bench.taken[0][2]

    for tag in (2, 1, 3, 5):
        unanswered.ack(tag)
    assert bench.socket.said() == []
    while not bench.socket.written:
        await asyncio.sleep(0.001)

    assert bench.socket.said() == [("Basic.Ack", 5, False), ("Basic.Ack", 3, True)]
    unanswered.ack(4)
    unanswered.ack(4)
    unanswered.flush()
    assert bench.socket.said() == [("Basic.Ack", 4, True)]


async def test_half_of_what_was_lent_is_given_back_at_once() -> None:
    bench = Bench(prefetch=4)
    bench.hear(*(frame for tag in range(1, 5) for frame in message(tag, b"x")))
    unanswered = bench.taken[0][2]

    unanswered.ack(1)
    assert bench.socket.said() == []
    unanswered.ack(2)
    assert bench.socket.said() == [("Basic.Ack", 2, True)]
    unanswered.reject(4)
    unanswered.requeue(3)
    assert bench.socket.said() == [("Basic.Reject", 4, False), ("Basic.Nack", 3, False)]


@pytest.mark.parametrize("end", [Channel.Close(404, "gone", 0, 0), Channel.CloseOk(), Channel.OpenOk(), None])
async def test_an_answer_to_a_channel_that_is_over_is_not_written(end: Frame | None) -> None:
    bench = Bench(prefetch=1)
    bench.hear(*message(1, b"a"))

    if end is None:
        bench.wire.connection_lost(None)
    else:
        bench.hear(method(end))
    bench.taken[0][2].ack(1)

    assert bench.socket.said() == []


def confirming(bench: Bench) -> Unconfirmed:
    bench.hear(method(Confirm.SelectOk()))
    return bench.wire.unconfirmed[1]


def outgoing(count: int) -> list[Outgoing]:
    return [Outgoing("push.high", KIND, "name", b"body") for _ in range(count)]


async def test_each_message_is_confirmed_refused_or_returned_by_itself() -> None:
    bench = Bench()
    call = Call(5)
    await confirming(bench).publish("carillon.work", outgoing(5), call)
    header = ContentHeader(body_size=4, properties=Basic.Properties(message_id="name.4"))

    bench.hear(
        method(Basic.Return(312, "NO_ROUTE", "carillon.work", "push.high")),
        pamqp.frame.marshal(header, 1),
        pamqp.frame.marshal(ContentBody(b"body"), 1),
        method(Basic.Nack(1)),
        method(Basic.Ack(4, True)),
    )
    assert call.answers == [False, True, True, False, False]
    bench.hear(method(Basic.Ack(5)))
    await call.end()

    assert call.answers == [False, True, True, False, True]


async def test_no_more_are_in_flight_than_may_be() -> None:
    bench = Bench()
    open_ones = confirming(bench)
    most, wanted = MAX_UNCONFIRMED, 2 * MAX_UNCONFIRMED + 50
    call = Call(wanted)
    publishing = asyncio.create_task(open_ones.publish("carillon.work", outgoing(wanted), call))

    for confirmed in (most, 2 * most, wanted):
        while bench.socket.written.count(b"name.") < confirmed:
            await asyncio.sleep(0)
        assert (bench.socket.written.count(b"name."), len(open_ones)) == (confirmed, most if confirmed < wanted else 50)
        bench.hear(method(Basic.Ack(confirmed, True)))
    await publishing
    await call.end()

    assert all(call.answers)


async def test_who_stopped_waiting_makes_room_and_a_late_confirmation_changes_nothing() -> None:
    bench = Bench()
    open_ones = confirming(bench)
    call, other = Call(2), Call(1)
    await open_ones.publish("carillon.work", outgoing(2), call)
    await open_ones.publish("carillon.work", outgoing(1), other)

    open_ones.forget(call)
    bench.hear(method(Basic.Ack(2, True)))

    assert (call.answers, len(open_ones)) == ([False, False], 1)
    bench.hear(method(Basic.Ack(3)))
    assert other.answers == [True]


async def test_a_lost_channel_is_an_answer_to_all() -> None:
    bench = Bench()
    open_ones = confirming(bench)
    call, late = Call(2), Call(1)
    await open_ones.publish("carillon.work", outgoing(2), call)

    bench.hear(method(Channel.Close(404, "gone", 0, 0)))
    await call.end()
    await open_ones.publish("carillon.work", outgoing(1), late)
    await late.end()

    assert call.answers + late.answers == [False, False, False]


async def test_what_was_published_past_us_is_confirmed_past_us() -> None:
    bench = Bench()
    confirming(bench)
    strange = method(Basic.Ack(1)), *message(1, b"back", consumer="theirs")

    bench.hear(*strange)

    assert await bench.left() == method(Confirm.SelectOk()) + b"".join(strange)
