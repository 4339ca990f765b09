"""Endings: each outcome of a provider call leads to one ending, as the table says."""

from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

import pytest

from channels.base import Outcome, Sent
from channels.budget import Grace
from domain.delivery import DeliveryStatus
from domain.errors import Ambiguous, CircuitOpen, NotSent, Permanent, RecipientGone, Throttled, Transient
from domain.lanes import Channel, Priority
from domain.notification import Mode
from domain.reasons import Reason
from tracking.claim import Claimed
from tracking.events import EventKind
from workers.backoff import NO_GRACE
from workers.endings import Attempt, Ending, conclude

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def claimed(*, attempt: int = 1, left_s: float = 86_400) -> Claimed:
    """A claimed e-mail of normal priority."""
    return Claimed(
        id=UUID(int=0x10001),
        notification_id=UUID(int=0x10000),
        tenant_id=UUID(int=1),
        user_id=UUID(int=2),
        external_id="u",
        address_id=UUID(int=3),
        address="a@example.org",
        name=None,
        timezone=None,
        user_locale=None,
        channel=Channel.EMAIL,
        priority=Priority.NORMAL,
        mode=Mode.LIVE,
        template="t",
        template_version=1,
        locale=None,
        category="orders",
        data=b"{}",
        attempt=attempt,
        crashes=0,
        expires_at=NOW + timedelta(seconds=left_s),
        envelope_id=UUID(int=4),
        lease_token=UUID(int=5),
        lease_until=NOW + timedelta(seconds=20),
    )


def ending(
    outcome: Outcome, *, may_repeat: bool = False, attempt: int = 1, left_s: float = 86_400, grace: Grace = NO_GRACE
) -> Ending:
    one = Attempt(claimed(attempt=attempt, left_s=left_s), outcome, NOW, 12.5)
    return conclude(one, may_repeat=may_repeat, grace=grace, now=NOW, rng=Random(3))


DOWN = Transient(Reason.PROVIDER_UNAVAILABLE, "451")
SILENT = Ambiguous(Reason.PROVIDER_SILENT, "no answer")


@pytest.mark.parametrize(
    ("outcome", "may_repeat", "status", "reason"),
    [
        (Sent("smtp", "q1", "250", 3.0), False, DeliveryStatus.SENT, None),
        (DOWN, False, DeliveryStatus.RESTING, Reason.PROVIDER_UNAVAILABLE),
        (Permanent(Reason.CONTENT_REJECTED), False, DeliveryStatus.FAILED, Reason.CONTENT_REJECTED),
        (RecipientGone(Reason.ADDRESS_REJECTED), False, DeliveryStatus.FAILED, Reason.ADDRESS_REJECTED),
        (SILENT, False, DeliveryStatus.AMBIGUOUS, Reason.PROVIDER_SILENT),
        (SILENT, True, DeliveryStatus.RESTING, Reason.PROVIDER_SILENT),
    ],
)
def test_each_outcome_has_its_status(
    outcome: Outcome, may_repeat: bool, status: DeliveryStatus, reason: Reason | None
) -> None:
    finished = ending(outcome, may_repeat=may_repeat).finished

    assert finished is not None
    assert (finished.status, finished.reason, finished.attempt) == (status, reason, 1)


@pytest.mark.parametrize("outcome", [NotSent(Reason.TOO_LATE), CircuitOpen("smtp", retry_after_s=5)])
def test_what_was_not_sent_is_given_back_and_nothing_is_written(outcome: NotSent) -> None:
    given_back = ending(outcome)

    assert given_back.finished is None
    assert given_back.reason is outcome.reason


@pytest.mark.parametrize(("attempt", "left_s"), [(8, 86_400), (1, 9)])
def test_the_last_step_of_the_ladder_and_an_early_expiry_exhaust_the_retries(attempt: int, left_s: float) -> None:
    exhausted = ending(DOWN, attempt=attempt, left_s=left_s)

    assert exhausted.finished is not None
    assert exhausted.finished.reason is Reason.RETRIES_EXHAUSTED
    assert exhausted.finished.answer == "provider_unavailable: 451"
    assert exhausted.is_dead_letter


def test_who_may_still_wait_is_no_dead_letter_while_the_provider_fails_everybody() -> None:
    patient = ending(DOWN, attempt=30, grace=Grace(is_patient=True))
    expiring = ending(DOWN, attempt=30, left_s=9, grace=Grace(is_patient=True))

    assert patient.finished is not None
    assert patient.finished.status is DeliveryStatus.RESTING
    assert expiring.is_dead_letter


def test_who_is_put_off_is_kept_in_postgresql() -> None:
    kept, usual = ending(DOWN, grace=Grace(put_off_s=33.0)), ending(DOWN)

    assert kept.finished is not None
    assert kept.rest is not None
    assert (kept.rest.level, kept.finished.is_kept_here) == (None, True)
    assert kept.finished.next_attempt_at == NOW + timedelta(seconds=kept.rest.wait_s)
    assert usual.finished is not None
    assert not usual.finished.is_kept_here


def test_an_ambiguous_outcome_that_may_be_repeated_is_told_as_such_and_is_never_called_failed() -> None:
    resting, last = (ending(SILENT, may_repeat=True, attempt=attempt).finished for attempt in (1, 8))

    assert resting is not None
    assert (resting.status, resting.outcome) == (DeliveryStatus.RESTING, EventKind.ATTEMPT_AMBIGUOUS)
    assert last is not None
    assert (last.status, last.reason, last.letter) == (DeliveryStatus.AMBIGUOUS, Reason.PROVIDER_SILENT, None)


def test_a_rest_ends_when_its_level_does() -> None:
    resting = ending(DOWN)

    assert resting.finished is not None
    assert resting.rest is not None
    assert resting.finished.next_attempt_at == NOW + timedelta(seconds=resting.rest.wait_s)


def test_a_provider_that_wants_three_hours_gets_them_from_postgresql() -> None:
    resting = ending(Throttled(Reason.PROVIDER_THROTTLED, retry_after_s=3 * 3600))

    assert resting.rest is not None
    assert (resting.rest.level, resting.rest.wait_s) == (None, 3 * 3600)


def test_only_what_an_operator_may_repair_is_a_dead_letter_and_only_a_dead_address_is_gone() -> None:
    repairable, gone = ending(Permanent(Reason.TEMPLATE_ERROR)), ending(RecipientGone(Reason.ADDRESS_REJECTED))

    assert (repairable.is_dead_letter, repairable.is_gone) == (True, False)
    assert (gone.is_dead_letter, gone.is_gone) == (False, True)
