"""The checker finds each kind of fault in a history that has it, and nothing in one that is whole."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from domain.delivery import DeliveryStatus
from domain.lanes import Channel
from ops.chaos.chain import faults_of
from ops.chaos.checker import Finding, check, duplicates
from ops.chaos.history import Event, Heard, History, Kept, Noted, Promise, Taken
from tracking.events import EventKind

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
MAIL, PUSH = UUID(int=0x10000), UUID(int=0x20000)
DEVICE = UUID(int=7)
_S, _K = DeliveryStatus, EventKind


def event(
    kind: EventKind, attempt: int, status: DeliveryStatus, after_s: float = 1, begun_s: float | None = None
) -> Event:
    begun_at = None if begun_s is None else NOW + timedelta(seconds=begun_s)
    return Event(NOW + timedelta(seconds=after_s), kind, attempt, status, begun_at)


SENT = event(_K.ATTEMPT_SENT, 1, _S.SENT, begun_s=0.5)
LOST = event(_K.ATTEMPT_UNKNOWN, 1, _S.QUEUED, after_s=30)
SENT_AFTER = event(_K.ATTEMPT_SENT, 2, _S.SENT, after_s=31, begun_s=30.5)


def whole() -> History:
    """An email to a user who would be told twice, and a push to a device: both went well."""
    mail = Kept(MAIL, MAIL, Channel.EMAIL, _S.SENT, 1, 0, None, NOW + timedelta(seconds=60), (SENT,))
    acked = event(_K.DELIVERED, 1, _S.DELIVERED, after_s=2)
    push = Kept(PUSH, PUSH, Channel.PUSH, _S.DELIVERED, 1, 0, DEVICE, NOW + timedelta(seconds=60), (SENT, acked))
    return History(
        promises=[
            Promise("m", Channel.EMAIL, NOW, user="ada", dedupe_key="news", notification_id=MAIL, is_answered=True),
            Promise("p", Channel.PUSH, NOW, notification_id=PUSH, is_answered=True),
        ],
        notifications=[Noted(MAIL, "m"), Noted(PUSH, "p")],
        deliveries=[mail, push],
        taken=[Taken(str(MAIL), NOW + timedelta(seconds=1))],
        heard=[Heard(str(PUSH), DEVICE, is_shown=True, is_acked=True)],
    )


def with_mail(history: History, **changes: object) -> History:
    mail, push = history.deliveries
    history.deliveries = [replace(mail, **changes), push]  # type: ignore[arg-type]  # the fields of Kept
    return history


def kinds(history: History) -> set[Finding]:
    return set(check(history))


def test_a_history_that_is_whole_has_no_fault() -> None:
    assert check(whole()) == {}
    assert duplicates(whole()) == (0, 0)


def test_what_was_promised_and_is_not_there_is_lost() -> None:
    history = whole()
    history.notifications, history.deliveries, history.taken = history.notifications[1:], history.deliveries[1:], []

    assert kinds(history) == {Finding.LOST}


def test_a_broadcast_that_missed_a_device_has_lost_one() -> None:
    history = whole()
    history.broadcasts = {UUID(int=9): 1}

    assert kinds(history) == {Finding.LOST}


@pytest.mark.parametrize("refusal", [None, "422 no"])
def test_a_client_without_a_promise_is_told_of(refusal: str | None) -> None:
    history = whole()
    history.promises = [*history.promises, Promise("q", Channel.SMS, NOW, refusal=refusal)]

    assert kinds(history) == {Finding.UNANSWERED}


@pytest.mark.parametrize("status", [_S.QUEUED, _S.RESTING])
def test_what_is_under_way_is_open(status: DeliveryStatus) -> None:
    outcome = event(_K.ATTEMPT_UNKNOWN, 1, status, after_s=30)

    assert kinds(with_mail(whole(), status=status, events=(outcome,))) == {Finding.OPEN}


def test_a_push_without_its_acknowledgement_is_open() -> None:
    history = whole()
    mail, push = history.deliveries
    history.deliveries = [mail, replace(push, status=_S.SENT, events=(SENT,))]

    assert kinds(history) == {Finding.OPEN}


def test_what_nobody_asked_for_is_a_phantom() -> None:
    taken, heard, kept = whole(), whole(), whole()
    taken.taken = [*taken.taken, Taken("somebody", NOW)]
    heard.heard = [*heard.heard, Heard(str(MAIL), DEVICE, is_shown=False, is_acked=True)]
    kept.notifications = [*kept.notifications, Noted(UUID(int=0x30000), None)]

    assert (kinds(taken), kinds(heard), kinds(kept)) == ({Finding.PHANTOM},) * 3


def test_two_notifications_for_one_key_are_twins() -> None:
    history = whole()
    history.notifications = [*history.notifications, Noted(UUID(int=0x30000), "m")]

    assert kinds(history) == {Finding.TWIN}


def test_news_that_were_told_twice_are_twins() -> None:
    history, other = whole(), UUID(int=0x30000)
    history.promises = [*history.promises, replace(history.promises[0], mark="n", notification_id=other)]
    history.notifications = [*history.notifications, Noted(other, "n")]
    history.deliveries = [*history.deliveries, replace(history.deliveries[0], id=other, notification_id=other)]
    history.taken = [*history.taken, Taken(str(other), NOW + timedelta(seconds=1))]

    assert kinds(history) == {Finding.TWIN}


def test_what_was_sent_without_a_ledger_line_is_unfounded() -> None:
    history = whole()
    history.taken = []

    assert kinds(history) == {Finding.UNFOUNDED}


def test_what_was_delivered_without_an_acknowledgement_is_unfounded() -> None:
    history = whole()
    history.heard = [replace(history.heard[0], is_acked=False)]

    assert kinds(history) == {Finding.UNFOUNDED}


def test_a_copy_that_no_attempt_explains_is_unexplained_and_one_of_a_lost_worker_is_not() -> None:
    bare, lost = whole(), with_mail(whole(), attempt=2, crashes=1, events=(LOST, SENT_AFTER))
    for history in (bare, lost):
        history.taken = [*history.taken, Taken(str(MAIL), NOW + timedelta(seconds=31))]

    assert (kinds(bare), kinds(lost)) == ({Finding.UNEXPLAINED}, set())
    assert (duplicates(bare), duplicates(lost)) == ((1, 0), (1, 1))


def test_a_report_stands_for_the_attempt_whose_worker_died_meanwhile_and_for_no_other() -> None:
    reported = with_mail(whole(), status=_S.DELIVERED, events=(event(_K.DELIVERED, 1, _S.DELIVERED),))
    once = kinds(reported)
    reported.taken = [*reported.taken, *reported.taken]

    assert (once, kinds(reported)) == (set(), {Finding.UNEXPLAINED})


def test_a_category_that_holds_explains_no_second_copy() -> None:
    history = with_mail(whole(), attempt=2, crashes=1, events=(LOST, SENT_AFTER))
    history.taken = [*history.taken, Taken(str(MAIL), NOW + timedelta(seconds=31))]
    history.promises = [replace(history.promises[0], is_held=True), history.promises[1]]

    assert kinds(history) == {Finding.HELD_TWICE}


def test_a_push_that_one_person_saw_twice_was_shown_twice() -> None:
    history = whole()
    history.heard = [*history.heard, *history.heard]

    assert kinds(history) == {Finding.SHOWN_TWICE}


@pytest.mark.parametrize(
    ("attempt", "status", "events"),
    [
        (2, _S.SENT, (SENT_AFTER,)),
        (1, _S.DELIVERED, (SENT,)),
        (2, _S.SENT, (SENT,)),
        (2, _S.SENT, (SENT, SENT_AFTER)),
        (1, _S.SENT, (SENT, SENT)),
        (0, _S.SENT, ()),
        (1, _S.SENT, (event(_K.CANCELLED, 0, _S.CANCELLED, 0), SENT)),
    ],
    ids=[
        "first attempt missing",
        "receipt missing",
        "attempt missing",
        "sent twice",
        "ended twice",
        "nothing",
        "risen",
    ],
)
def test_a_life_with_a_gap_or_an_illegal_move_is_illegal(
    attempt: int, status: DeliveryStatus, events: tuple[Event, ...]
) -> None:
    history = with_mail(whole(), attempt=attempt, status=status, events=events)

    assert Finding.ILLEGAL in check(history)


@pytest.mark.parametrize(
    ("attempt", "status", "events"),
    [
        (0, _S.SUPPRESSED, ()),
        (1, _S.SENDING, ()),
        (2, _S.SENDING, (LOST,)),
        (1, _S.DELIVERED, (event(_K.DELIVERED, 1, _S.DELIVERED, 1), event(_K.ATTEMPT_SENT, 1, _S.SENT, 2))),
        (1, _S.SENT, (event(_K.NOT_SENT, 1, _S.QUEUED, 0), SENT)),
        (0, _S.EXPIRED, (event(_K.EXPIRED, 0, _S.EXPIRED),)),
        (2, _S.SENT, (SENT, event(_K.REQUEUED, 1, _S.QUEUED, 16), SENT_AFTER)),
    ],
    ids=["suppressed", "begun", "begun again", "receipt first", "given back", "expired", "overdue"],
)
def test_a_life_as_the_platform_writes_it_is_legal(
    attempt: int, status: DeliveryStatus, events: tuple[Event, ...]
) -> None:
    mail = replace(whole().deliveries[0], attempt=attempt, status=status, events=events)

    assert faults_of(mail) == []


@pytest.mark.parametrize(("begun_s", "found"), [(10.9, set()), (11.1, {Finding.AFTER_OPT_OUT})])
def test_what_began_later_than_a_second_after_an_opt_out_is_found(begun_s: float, found: set[Finding]) -> None:
    history = with_mail(whole(), events=(event(_K.ATTEMPT_SENT, 1, _S.SENT, 20, begun_s),))
    history.taken = [Taken(str(MAIL), NOW + timedelta(seconds=20))]
    history.opted_out = {"ada": NOW + timedelta(seconds=10)}

    assert kinds(history) == found


@pytest.mark.parametrize(("begun_s", "found"), [(60.9, set()), (61.1, {Finding.AFTER_EXPIRY})])
def test_what_began_after_its_expiry_is_found(begun_s: float, found: set[Finding]) -> None:
    history = with_mail(whole(), events=(event(_K.ATTEMPT_SENT, 1, _S.SENT, 70, begun_s),))
    history.taken = [Taken(str(MAIL), NOW + timedelta(seconds=70))]

    assert kinds(history) == found


def test_a_copy_of_a_lost_worker_is_late_when_even_its_longest_call_began_late() -> None:
    history = with_mail(whole(), status=_S.AMBIGUOUS, events=(event(_K.ATTEMPT_UNKNOWN, 1, _S.AMBIGUOUS, 120),))
    history.taken = [Taken(str(MAIL), NOW + timedelta(seconds=90))]

    assert kinds(history) == {Finding.AFTER_EXPIRY}
