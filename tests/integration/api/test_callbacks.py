"""Reports of the SMS provider: signed ones become receipts, and nothing else does."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import msgspec
import pytest

from channels.sms.callbacks import sign
from domain.receipts import Receipt, ReceiptKind
from plumbing.settings import Settings
from tests.integration.api.doors import Answer, Door, FakeBatcher, KeyRing, make_house, open_door

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SIGNING = "a callback secret of 24 bytes"


class Exchange:
    """Takes receipts as RabbitMQ would, or confirms nothing."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.is_up = True

    async def publish(self, bodies: Sequence[bytes]) -> int:
        """Keep them."""
        self.bodies += bodies if self.is_up else ()
        return len(bodies) if self.is_up else 0


@pytest.fixture(scope="module")
def callback_door() -> Iterator[tuple[Door, Exchange]]:
    exchange, batcher, ring = Exchange(), FakeBatcher(), KeyRing()
    settings = Settings(_env_file=None, sms_callback_secret=SIGNING)
    house = make_house(batcher, ring, settings=settings, publish_receipts=exchange.publish, clock=lambda: NOW)
    with open_door(house, batcher, ring) as door:
        yield door, exchange


@pytest.fixture
def desk(callback_door: tuple[Door, Exchange]) -> tuple[Door, Exchange]:
    callback_door[1].bodies.clear()
    callback_door[1].is_up = True
    return callback_door


def report(door: Door, body: object, *, secret: str = SIGNING, at: datetime = NOW) -> Answer:
    """One signed report."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    signature = sign(raw, secret, message_id="msg_1", now=at)
    return door.request("POST", "/callbacks/sms", raw, secret=None, **signature)


def test_a_signed_report_becomes_a_receipt(desk: tuple[Door, Exchange]) -> None:
    door, exchange = desk
    reference = uuid4()

    answer = report(door, {"message_id": "m-1", "reference": str(reference), "status": "delivered"})

    assert answer.status == 202
    receipt = msgspec.json.decode(exchange.bodies[0], type=Receipt)
    assert (receipt.kind, receipt.delivery_id, receipt.provider_id) == (ReceiptKind.DELIVERED, reference, "m-1")


def test_88_what_a_provider_says_of_people_is_left_out(desk: tuple[Door, Exchange]) -> None:
    door, exchange = desk

    answer = report(door, {"message_id": "m-1", "status": "failed", "error": "21211: +14155550100 is no mobile"})

    assert answer.status == 202
    assert msgspec.json.decode(exchange.bodies[0], type=Receipt).detail == "21211: [hidden] is no mobile"


def test_a_state_on_the_way_is_taken_and_forgotten(desk: tuple[Door, Exchange]) -> None:
    door, exchange = desk

    assert report(door, {"message_id": "m-1", "status": "sent"}).status == 202
    assert exchange.bodies == []


def test_74_a_signed_report_of_a_message_nobody_knows_is_left_to_the_worker(desk: tuple[Door, Exchange]) -> None:
    """It may be early: a worker keeps it until its delivery is there, and buries it when none comes."""
    door, exchange = desk
    foreign = {"message_id": "somebody-else's", "reference": str(uuid4()), "status": "failed"}

    answers = [report(door, foreign), report(door, foreign), report(door, {"message_id": "m-9", "status": "failed"})]

    assert [(answer.status, answer.body) for answer in answers] == [(202, b"")] * 3
    receipts = [msgspec.json.decode(body, type=Receipt) for body in exchange.bodies]
    assert [str(receipt.delivery_id) for receipt in receipts] == [foreign["reference"], foreign["reference"], "None"]


@pytest.mark.parametrize(
    ("secret", "age"), [("another secret of 24 bytes!", timedelta()), (SIGNING, timedelta(minutes=6))]
)
def test_74_a_forged_or_old_report_is_refused(desk: tuple[Door, Exchange], secret: str, age: timedelta) -> None:
    door, exchange = desk

    answer = report(door, {"message_id": "m-1", "status": "delivered"}, secret=secret, at=NOW - age)

    assert answer.status == 401
    assert exchange.bodies == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b'{"message_id":"m","status":"delivered","error":"\\ud800"}', 422),
        ({"status": "delivered"}, 422),
        ({"message_id": "m", "status": "nonsense"}, 422),
        ({"message_id": "m", "status": ["delivered"]}, 422),
        ({"message_id": "m", "status": "failed", "reference": "x"}, 422),
        ([], 422),
    ],
)
def test_a_signed_report_that_cannot_be_read_is_refused(desk: tuple[Door, Exchange], body: object, status: int) -> None:
    door, exchange = desk

    assert report(door, body).status == status
    assert exchange.bodies == []


def test_without_rabbitmq_the_provider_is_asked_to_come_again(desk: tuple[Door, Exchange]) -> None:
    door, exchange = desk
    exchange.is_up = False

    answer = report(door, {"message_id": "m-1", "status": "delivered"})

    assert answer.status == 503
    assert int(answer.headers["retry-after"]) > 0


def test_without_a_secret_there_is_no_such_door(door: Door) -> None:
    assert report(door, {"message_id": "m-1", "status": "delivered"}).status == 404
