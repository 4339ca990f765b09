"""Draining a mailbox over one connection: pages under a credit, windows, batches, natural wakes."""

import json
from collections.abc import Sequence
from uuid import UUID

from channels.push.gateway.actions import Push, Report
from channels.push.gateway.drain import Read
from channels.push.gateway.session import Session
from domain.receipts import ReceiptKind
from tests.unit.gateway.sessions import DEVICE, a_push, acks, greeted, opened, reads, reports, said, texts


def answer(letters: Sequence[Push], read: Read, forgotten: set[bytes]) -> list[Push]:
    """What a mailbox with these letters answers: greater wakes first, then older ones."""
    ordered = sorted(letters, key=lambda one: (-one.wake, one.delivery))
    return [
        one
        for one in ordered
        if one.delivery not in forgotten
        and one.wake >= read.least_wake
        and (read.after is None or (-one.wake, one.delivery) > (-read.after[0], read.after[1].bytes))
    ][: read.limit]


def drained(session: Session, letters: Sequence[Push], *, is_acking: bool, now: float = 0.0) -> list[bytes]:
    """The ids that went out, in order, when the device acknowledges each page (or does not)."""
    sent: list[bytes] = []
    forgotten: set[bytes] = set()
    waiting = reads(session.announced(now))
    while waiting:
        actions = session.page(answer(letters, waiting.pop(), forgotten), now)
        waiting += reads(actions)
        fresh = [one for text in texts(actions) for one in ids_of(text)]
        sent += fresh
        if is_acking and fresh:
            settled = session.received(acks(*fresh), now)
            forgotten |= set(reports(settled, ReceiptKind.DELIVERED))
            waiting += reads(settled)
    return sent


def ids_of(text: bytes) -> list[bytes]:
    frame = json.loads(text)
    members = frame["notifications"] if frame["type"] == "batch" else [frame]
    return [UUID(one["id"]).bytes for one in members]


def fresh_session() -> Session:
    session, _ = greeted()
    session.admitted(DEVICE, "c1", [], 0.0)
    return session


def test_a_full_mailbox_is_drained_in_order_until_it_is_empty() -> None:
    letters = [a_push(number, wake=5 if number % 3 else 10) for number in range(100)]

    sent = drained(fresh_session(), letters, is_acking=True)

    assert sent == [one.delivery for one in sorted(letters, key=lambda one: (-one.wake, one.delivery))]


def test_without_acknowledgements_no_more_than_the_credit_goes_out() -> None:
    letters = [a_push(number) for number in range(100)]

    assert len(drained(fresh_session(), letters, is_acking=False)) == 50


def test_large_letters_are_bounded_by_bytes_and_none_is_passed_over() -> None:
    letters = [a_push(number, size=4096) for number in range(60)]

    assert len(drained(fresh_session(), letters, is_acking=False)) == 16
    assert drained(fresh_session(), letters, is_acking=True) == [one.delivery for one in letters]


def test_a_letter_in_flight_is_not_sent_again_when_the_mailbox_is_read_again() -> None:
    session, _ = opened()
    letter = a_push()
    (read,) = session.hinted()
    assert texts(session.page([letter], 1.0)) == [letter.text]

    (again,) = session.hinted()

    assert (read, again) == (Read(None, 50, 5), Read(None, 49, 5))
    assert session.page([letter], 2.0) == []


def test_a_letter_whose_receipt_was_lost_is_reported_again_not_sent_again() -> None:
    session, _ = opened()
    letter = a_push()
    session.handed(letter, 1.0)
    session.received(acks(letter.delivery), 1.0)
    session.hinted()

    assert session.page([letter], 2.0) == [Report(ReceiptKind.DELIVERED, letter.delivery, 100)]


def test_hints_that_come_while_a_page_is_read_are_not_forgotten() -> None:
    session, _ = opened()
    assert len(reads(session.hinted())) == 1

    assert reads(session.hinted()) == []
    assert reads(session.page([], 1.0)) == [Read(None, 50, 5)]
    assert reads(session.page([], 1.0)) == []


def test_a_mailbox_that_could_not_be_read_is_read_when_somebody_asks_again() -> None:
    session, _ = opened()
    session.hinted()

    session.unread()

    assert reads(session.waiting(1, 10, 0.0)) == [Read(None, 50, 5)]


def test_a_stored_letter_is_not_reported_absent_at_the_end_for_it_still_lies_there() -> None:
    session, _ = opened()
    session.hinted()
    session.page([a_push()], 1.0)

    assert session.lost() == []


def test_an_older_letter_does_not_follow_a_newer_live_push_of_its_collapse_id() -> None:
    session, _ = opened()
    old, new = a_push(1, collapse_id="score"), a_push(2, collapse_id="score")
    session.handed(new, 1.0)
    session.hinted()

    assert session.page([old], 1.0) == [Report(ReceiptKind.COLLAPSED, old.delivery, successor=new.delivery)]


def test_a_napping_device_gets_wake_five_at_its_window_and_not_before() -> None:
    session, _ = opened(nap_s=60)

    assert reads(session.hinted()) == [Read(None, 50, 10)]
    assert session.page([], 1.0) == []
    assert reads(session.waiting(3, 5, 2.0)) == []
    assert session.due_at <= 60.0
    windows = [second for second in range(1, 130) if windowed(session, float(second))]
    assert windows == [60, 120]


def windowed(session: Session, now: float) -> bool:
    session.heard(now)
    actions = session.tick(now) if session.due_at <= now else []
    if reads(actions):
        assert reads(actions) == [Read(None, 50, 1)]
        session.page([], now)
    return bool(reads(actions))


def test_a_live_wake_five_push_to_a_napping_device_goes_by_way_of_its_mailbox() -> None:
    session, _ = opened(nap_s=60)
    push = a_push(wake=5)

    assert session.handed(push, 1.0) == [Report(ReceiptKind.ABSENT, push.delivery)]


def test_an_urgent_push_wakes_a_napping_device_for_the_rest_too() -> None:
    session, _ = opened(nap_s=60)
    push = a_push(wake=10)

    assert session.handed(push, 10.0) == [push.text, Read(None, 50, 1)]
    session.page([], 10.0)
    assert reads(session.handed(a_push(wake=10), 12.0)) == []


def test_what_a_napping_device_says_by_itself_is_a_natural_wake_but_acks_and_pings_are_not() -> None:
    session, _ = opened(nap_s=60)
    push = a_push()

    assert reads(session.received(b"{}", 10.0)) == []
    assert reads(session.received(acks(push.delivery), 10.0)) == []
    assert reads(session.received(said(type="seen", ids=[]), 10.0)) == [Read(None, 50, 1)]


def test_pushes_of_wake_one_leave_together_in_one_frame() -> None:
    session, _ = opened()
    letters = [a_push(number, wake=1) for number in range(30)]

    assert reads(session.waiting(19, 1, 59.0)) == []
    assert reads(session.waiting(20, 1, 0.0)) == [Read(None, 50, 1)]
    (frame,) = texts(session.page(letters, 1.0))

    assert json.loads(frame)["type"] == "batch"
    assert ids_of(frame) == [one.delivery for one in letters]
    assert session.in_flight == 30


def test_a_single_push_of_wake_one_leaves_after_a_minute() -> None:
    session, _ = opened()

    assert reads(session.waiting(1, 1, 60.0)) == [Read(None, 50, 1)]


def test_an_urgent_push_takes_along_what_waits_for_a_batch() -> None:
    session, _ = opened()
    session.waiting(2, 1, 5.0)

    assert reads(session.handed(a_push(), 10.0)) == [Read(None, 50, 1)]


def test_a_letter_that_was_withdrawn_does_not_go_out_again() -> None:
    session, _ = opened()
    letter = a_push()
    session.hinted()
    session.page([letter], 1.0)
    session.withdrawn([letter.delivery], 2.0)
    session.hinted()

    assert session.page([letter], 3.0) == []
