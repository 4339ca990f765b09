"""The state machine of a connection: greetings, live pushes, acknowledgements, heartbeats, limits, goodbyes."""

import json
from uuid import UUID, uuid4

import pytest

from channels.push.gateway.actions import Close, Report, Signal
from channels.push.gateway.codes import CloseCode
from channels.push.gateway.flight import MAX_LIVE
from channels.push.gateway.session import Session, State
from channels.push.gateway.tally import Tally
from domain.receipts import ReceiptKind
from tests.unit.gateway.sessions import (
    DEVICE,
    HELLO,
    a_push,
    acks,
    closing,
    greeted,
    opened,
    reads,
    reports,
    said,
    texts,
)


def test_who_says_nothing_for_five_seconds_is_closed_with_4401() -> None:
    session = Session(0.0, 15.0, Tally())

    assert session.due_at == 5.0
    assert closing(session.tick(5.0)) == 4401
    assert session.tick(session.due_at) == [Signal.ABORT]


@pytest.mark.parametrize("frame", [b"{}", acks(uuid4().bytes), said(type="seen", ids=[str(uuid4())])])
def test_the_first_frame_is_a_hello(frame: bytes) -> None:
    assert closing(Session(0.0, 15.0, Tally()).received(frame, 0.0)) == 4401


def test_a_second_hello_is_malformed() -> None:
    session, _ = opened()

    assert closing(session.received(said(**HELLO), 1.0)) == 4400


def test_a_look_up_that_takes_too_long_tells_when_to_come_again() -> None:
    session, _ = greeted()

    (close,) = session.tick(session.due_at)

    assert isinstance(close, Close)
    assert close.code == 4503
    assert json.loads(close.reason)["retry_after_s"] > 0


def test_the_answer_to_hello_names_device_connection_heartbeat_and_gateways() -> None:
    session, _ = greeted()

    (text,) = session.admitted(DEVICE, "c1", ["ws://a", "ws://b"], 0.0)

    assert json.loads(text) == {  # type: ignore[arg-type]  # an action that is text
        "type": "hello",
        "device_id": str(DEVICE),
        "connection_id": "c1",
        "heartbeat_s": 15.0,
        "gateways": ["ws://a", "ws://b"],
    }


def test_the_mailbox_is_read_only_after_the_device_was_announced() -> None:
    session, _ = greeted()
    session.admitted(DEVICE, "c1", [], 0.0)

    assert reads(session.hinted()) == []
    assert len(reads(session.announced(0.1))) == 1


def test_a_live_push_is_sent_and_its_acknowledgement_reported_once() -> None:
    session, tally = opened()
    push = a_push()

    assert session.handed(push, 1.0) == [push.text]
    assert session.received(acks(push.delivery), 2.0) == [
        Report(ReceiptKind.DELIVERED, push.delivery, 100, live_wake=10)
    ]
    assert session.received(acks(push.delivery), 3.0) == []
    assert (tally.online, tally.acked, tally.strays) == (1, 1, 1)
    assert tally.delivered == {10: 1}


def test_a_late_acknowledgement_counts_as_delivered_but_not_as_in_time() -> None:
    session, tally = opened()
    push = a_push()
    session.handed(push, 1.0)

    assert reports(session.received(acks(push.delivery), 20.0), ReceiptKind.DELIVERED) == [push.delivery]
    assert (tally.online, tally.acked) == (1, 0)


def test_what_was_not_acknowledged_is_absent_at_the_end_and_only_that() -> None:
    session, _ = opened()
    first, second = a_push(1), a_push(2)
    session.handed(first, 1.0)
    session.handed(second, 1.0)
    session.received(acks(first.delivery), 1.0)

    assert session.lost() == [Report(ReceiptKind.ABSENT, second.delivery)]
    assert session.lost() == []


def test_a_push_for_a_connection_that_is_closing_is_absent_and_acknowledgements_still_count() -> None:
    session, _ = opened()
    before, after = a_push(1), a_push(2)
    session.handed(before, 1.0)
    session.close(CloseCode.LEAVING, "", 1.0)

    assert session.handed(after, 1.0) == [Report(ReceiptKind.ABSENT, after.delivery)]
    assert reports(session.received(acks(before.delivery), 1.1), ReceiptKind.DELIVERED) == [before.delivery]
    assert session.lost() == []


def test_no_id_goes_out_twice_while_it_is_in_flight_nor_after() -> None:
    session, tally = opened()
    push, newer = a_push(1), a_push(2)
    session.handed(push, 1.0)
    session.handed(newer, 1.0)

    assert session.handed(push, 2.0) == []
    session.received(acks(push.delivery), 3.0)
    assert session.handed(push, 4.0) == [Report(ReceiptKind.DELIVERED, push.delivery, 100)]
    assert tally.duplicates == 2


def test_a_newer_push_of_the_same_collapse_id_replaces_the_one_in_flight() -> None:
    session, _ = opened()
    old, new, other = a_push(1, collapse_id="score"), a_push(2, collapse_id="score"), a_push(3, collapse_id="news")
    session.handed(old, 1.0)

    assert session.handed(new, 1.0) == [
        Report(ReceiptKind.COLLAPSED, old.delivery, successor=new.delivery),
        new.text,
    ]
    assert session.handed(other, 1.0) == [other.text]
    assert sorted(reports(session.lost())) == [new.delivery, other.delivery]


def test_an_older_push_never_replaces_a_newer_one_of_its_collapse_id() -> None:
    session, _ = opened()
    old, new = a_push(1, collapse_id="score"), a_push(2, collapse_id="score")
    session.handed(new, 1.0)

    assert session.handed(old, 1.0) == [Report(ReceiptKind.COLLAPSED, old.delivery, successor=new.delivery)]
    session.received(acks(new.delivery), 1.0)
    assert reports(session.handed(old, 2.0), ReceiptKind.COLLAPSED) == [old.delivery]


def test_more_live_pushes_than_a_device_takes_go_by_way_of_its_mailbox() -> None:
    session, _ = opened()
    pushes = [a_push(number) for number in range(MAX_LIVE + 2)]

    answers = [action for push in pushes for action in session.handed(push, 1.0)]

    assert len(texts(answers)) == MAX_LIVE
    assert reports(answers, ReceiptKind.ABSENT) == [push.delivery for push in pushes[MAX_LIVE:]]


def test_withdrawn_pushes_are_named_to_the_device_and_not_waited_for() -> None:
    session, _ = opened()
    push = a_push()
    session.handed(push, 1.0)

    (text,) = session.withdrawn([push.delivery], 2.0)

    assert json.loads(text) == {"type": "withdraw", "ids": [str(UUID(bytes=push.delivery))]}  # type: ignore[arg-type]  # an action that is text
    assert session.lost() == []


def test_seen_is_reported_whenever_it_comes() -> None:
    session, _ = opened()
    one = uuid4()

    assert reports(session.received(said(type="seen", ids=[str(one)]), 1.0), ReceiptKind.SEEN) == [one.bytes]


def test_a_silent_device_is_probed_after_one_heartbeat_and_closed_after_two() -> None:
    session, _ = opened()
    now, pinged_at, closed_at = 0.0, None, None
    while closed_at is None and now < 60:
        now += 1.0
        if session.due_at <= now:
            actions = session.tick(now)
            pinged_at = pinged_at or (now if Signal.PING in actions else None)
            closed_at = now if closing(actions) == 4408 else None

    assert pinged_at == 15.0
    assert closed_at == 30.0


def test_both_sides_speak_once_per_heartbeat_and_pongs_count() -> None:
    session, _ = opened()
    spoken = []
    for second in range(1, 121):
        now = float(second)
        if second % 14 == 0:
            session.heard(now)
        if session.due_at <= now:
            actions = session.tick(now)
            assert closing(actions) is None
            spoken += [now for action in actions if action == b"{}"]

    assert session.state is State.OPEN
    assert len(spoken) == 8


def test_a_ping_is_answered_but_two_who_echo_do_not_flood_each_other() -> None:
    session, _ = opened()

    answers = [session.received(b"{}", 2.0 + number / 100) for number in range(50)]

    assert answers[0] == [b"{}"]
    assert texts([action for answer in answers[1:] for action in answer]) == []


def test_a_device_that_says_too_much_is_closed_with_4413() -> None:
    session, _ = opened()
    codes = [closing(session.received(b"{}", 1.0)) for _ in range(101)]

    assert codes[:100] == [None] * 100
    assert codes[100] == 4413


def test_twenty_messages_a_second_are_allowed_for_ever() -> None:
    session, _ = opened()

    assert all(closing(session.received(b"{}", number / 20)) is None for number in range(2000))


def test_acknowledging_what_was_sent_is_free_and_what_was_not_sent_is_not() -> None:
    session, tally = opened()
    for number in range(500):
        push = a_push(number)
        session.handed(push, 1.0)
        assert closing(session.received(acks(push.delivery), 1.0)) is None

    codes = [closing(session.received(acks(uuid4().bytes), 1.0)) for _ in range(101)]
    assert codes[-1] == 4413
    assert tally.strays == 101


def test_a_thousand_foreign_ids_in_one_frame_cost_more_than_one_message() -> None:
    session, _ = opened()
    flood = acks(*(uuid4().bytes for _ in range(1000)))

    codes = [closing(session.received(flood, 1.0)) for _ in range(6)]

    assert codes[:4] == [None] * 4
    assert 4413 in codes
