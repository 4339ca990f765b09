"""Holding: what waits a moment, what may join it, and when it is due."""

from dataclasses import replace
from datetime import UTC, datetime
from random import Random
from uuid import UUID

import pytest

from channels.base import Outcome, Sent
from domain.errors import Transient
from domain.ids import uuid7
from domain.lanes import Channel, Lane, Priority
from domain.reasons import Reason
from domain.receipts import Receipt, ReceiptKind
from plumbing.broker.envelope import Envelope
from tests.unit.workers.test_endings import claimed
from workers.endings import Attempt, conclude
from workers.holding import ACK_S, MOST_MESSAGES, Ended, Holding
from workers.parcels import Parcel

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
DEVICE = UUID(int=3)


class Message:
    """A message that nobody acknowledges."""

    async def ack(self) -> None:
        raise AssertionError


def ended(outcome: Outcome | None = None, channel: Channel = Channel.PUSH) -> Ended:
    """The end of an attempt: sent, when not said otherwise."""
    one = replace(claimed(), id=uuid7(), address_id=DEVICE, channel=channel)
    attempt = Attempt(one, outcome or Sent("gateway", "north", "", 1.0, 15.0), NOW)
    ending = conclude(attempt, may_repeat=True, now=NOW, rng=Random(3))
    envelope = Envelope(uuid7(), one.tenant_id, Lane(channel, Priority.HIGH), (one.id,))
    return Ended(ending, Parcel(envelope, Message(), 0.0).pieces())


def receipt(one: Ended, kind: ReceiptKind = ReceiptKind.DELIVERED, device: UUID | None = DEVICE) -> Receipt:
    return Receipt("gateway", kind, NOW, one.ending.claimed.id, device_id=device)


def ignore(is_written: bool) -> None:  # nobody listens
    pass


@pytest.mark.parametrize(
    ("outcome", "channel", "may_wait"),
    [
        (None, Channel.PUSH, True),
        (None, Channel.EMAIL, False),
        (None, Channel.SMS, False),
        (Transient(Reason.PROVIDER_UNAVAILABLE), Channel.PUSH, False),
    ],
)
def test_only_a_push_that_was_handed_over_may_wait(outcome: Outcome | None, channel: Channel, may_wait: bool) -> None:
    assert ended(outcome, channel).may_wait is may_wait


def test_a_push_is_due_with_its_acknowledgement_or_when_that_took_too_long() -> None:
    holding, acked, silent = Holding(), ended(), ended()
    holding.add(acked, 0.0)
    holding.add(silent, 0.0)

    assert holding.due(ACK_S / 2) == []
    assert holding.meet(receipt(acked), ignore)
    assert holding.due(ACK_S / 2) == [acked]
    assert holding.due(ACK_S) == [silent]
    assert len(holding) == 0


def test_an_acknowledgement_joins_until_the_write_begins_and_hears_of_it() -> None:
    holding, one = Holding(), ended()
    told: list[bool] = []
    holding.add(one, 0.0)
    [due] = holding.due(1.0)

    assert holding.meet(receipt(one), told.append), "it is due, but nobody writes it yet"
    due.is_begun = True
    assert holding.meet(receipt(one), told.append), "the second one comes after it"
    holding.end(due, is_written=True)

    assert told == [True, False]
    assert not holding.meet(receipt(one), told.append)


@pytest.mark.parametrize("kind", [ReceiptKind.ABSENT, ReceiptKind.SEEN, ReceiptKind.COLLAPSED])
def test_another_receipt_makes_the_end_due_and_comes_after_it(kind: ReceiptKind) -> None:
    holding, one = Holding(), ended()
    told: list[bool] = []
    holding.add(one, 0.0)

    assert holding.meet(receipt(one, kind), told.append)
    assert holding.due(0.0) == [one]
    holding.end(one, is_written=True)

    assert (one.ack, told) == (None, [False])


def test_a_receipt_of_another_device_or_delivery_does_not_join() -> None:
    holding, one = Holding(), ended()
    holding.add(one, 0.0)

    assert not holding.meet(receipt(one, device=UUID(int=4)), ignore)
    assert not holding.meet(receipt(ended()), ignore)
    assert holding.meet(receipt(one, device=None), ignore)


def test_with_many_messages_everything_is_due_at_once() -> None:
    holding = Holding()
    for _ in range(MOST_MESSAGES - 1):
        holding.add(ended(), 0.0)

    assert not holding.is_full
    assert holding.due(0.0) == []
    holding.add(ended(), 0.0)
    assert holding.is_full
    assert len(holding.due(0.0)) == MOST_MESSAGES
    assert not holding.is_full


def test_a_closing_worker_holds_nothing() -> None:
    holding, one = Holding(), ended()
    holding.add(one, 0.0)

    assert holding.due(0.0, is_all=True) == [one]
