"""What the embedded broker tells a publisher: every message gets one verdict, in order, and a return comes first."""

import asyncio

import pytest
from pamqp.base import Frame
from pamqp.commands import Basic, Confirm
from pamqp.header import ContentHeader

from ops.stack.broker.frames import FRAME_MAX_BYTES, METHOD, PROTOCOL_HEADER, FrameReader, read_method
from ops.stack.broker.queues import Declaration
from ops.stack.broker.refusals import Refused
from ops.stack.broker.session import Session
from ops.stack.broker.vhost import VirtualHost


class FakeWire:
    """A connection that only remembers what was written."""

    def __init__(self, vhost: VirtualHost) -> None:
        self.vhost = vhost
        self.frame_max_bytes = FRAME_MAX_BYTES
        self.wants_cancel_notices = True
        self.is_full = False
        self._reader = FrameReader()
        list(self._reader.feed(PROTOCOL_HEADER))
        self.methods: list[Frame] = []

    def write(self, data: bytes) -> None:
        self.methods += [read_method(frame) for frame in self._reader.feed(data) if frame.kind == METHOD]


@pytest.fixture
async def wire() -> FakeWire:
    """A wire to a virtual host with a queue that holds 100 bytes."""
    host = VirtualHost("/", asyncio.get_running_loop())
    arguments = {"x-max-length-bytes": 100, "x-overflow": "reject-publish"}
    host.declare_queue(Declaration("small", True, False, False, arguments), object())
    return FakeWire(host)


@pytest.fixture
async def session(wire: FakeWire) -> Session:
    session = Session(1, wire)
    session.on_method(Confirm.Select())
    wire.methods.clear()
    return session


def publish(session: Session, size_bytes: int, *, to: str = "small") -> None:
    session.on_method(Basic.Publish(routing_key=to, mandatory=True))
    session.on_header(ContentHeader(body_size=size_bytes, properties=Basic.Properties(message_id="m")).marshal())
    if size_bytes:
        session.on_body(bytes(size_bytes))


def verdicts(wire: FakeWire) -> list[tuple[str, int | None, bool]]:
    confirms = [method for method in wire.methods if isinstance(method, Basic.Ack | Basic.Nack)]
    return [(method.name, method.delivery_tag, bool(method.multiple)) for method in confirms]


async def test_one_message_gets_one_confirm(wire: FakeWire, session: Session) -> None:
    publish(session, 10)
    session.flush_confirms()
    session.flush_confirms()

    assert verdicts(wire) == [("Basic.Ack", 1, False)]


async def test_several_messages_are_confirmed_together(wire: FakeWire, session: Session) -> None:
    for _ in range(3):
        publish(session, 0)
    session.flush_confirms()

    assert verdicts(wire) == [("Basic.Ack", 3, True)]


async def test_a_refused_message_takes_no_neighbour_with_it(wire: FakeWire, session: Session) -> None:
    for size_bytes in (30, 30, 90, 30):
        publish(session, size_bytes)
    session.flush_confirms()

    assert verdicts(wire) == [("Basic.Ack", 2, True), ("Basic.Nack", 3, False), ("Basic.Ack", 4, False)]


async def test_a_return_comes_before_the_confirm_of_the_same_message(wire: FakeWire, session: Session) -> None:
    publish(session, 10, to="nobody")
    session.flush_confirms()

    assert [method.name for method in wire.methods] == ["Basic.Return", "Basic.Ack"]


async def test_content_out_of_turn_ends_the_connection(session: Session) -> None:
    with pytest.raises(Refused, match="UNEXPECTED_FRAME"):
        session.on_body(b"unannounced")
    session.on_method(Basic.Publish(routing_key="small"))
    with pytest.raises(Refused, match="UNEXPECTED_FRAME"):
        session.on_method(Basic.Publish(routing_key="small"))
    with pytest.raises(Refused, match="UNEXPECTED_FRAME"):
        session.on_header(b"short")


async def test_a_message_beyond_16_mib_is_refused_before_its_body_comes(session: Session) -> None:
    session.on_method(Basic.Publish(routing_key="small"))

    with pytest.raises(Refused, match="larger than allowed"):
        session.on_header(ContentHeader(body_size=17 * 1024 * 1024).marshal())
