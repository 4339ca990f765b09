"""What an answer means for a message and its webhook: the whole table."""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from domain.delivery import ENDED, DeliveryStatus
from domain.webhooks import DISABLED_AFTER, EVENTS, TOLD, WAITS_S, Disabled, TellingOutcome, Verdict, judge

NOW = datetime(2027, 1, 31, 9, tzinfo=UTC)


def judged(
    status_code: int | None, attempts: int = 1, *, retry_after_s: float | None = None, failing: timedelta | None = None
) -> Verdict:
    return judge(
        status_code,
        attempts=attempts,
        retry_after_s=retry_after_s,
        failing_since=None if failing is None else NOW - failing,
        now=NOW,
        rng=Random(7),
    )


@pytest.mark.parametrize("status_code", [200, 201, 202, 204, 299])
def test_two_hundred_is_success_whatever_was_before(status_code: int) -> None:
    assert judged(status_code, 8, failing=timedelta(days=9)) == Verdict(TellingOutcome.DELIVERED)


@pytest.mark.parametrize("attempts", range(1, 8))
@pytest.mark.parametrize("status_code", [None, 100, 301, 308, 400, 404, 429, 500])
def test_a_failure_waits_by_the_schedule_with_at_most_a_tenth_more(status_code: int | None, attempts: int) -> None:
    verdict = judged(status_code, attempts)

    assert verdict.outcome is TellingOutcome.RETRIED
    assert verdict.next_attempt_at is not None
    wait_s = (verdict.next_attempt_at - NOW).total_seconds()
    assert WAITS_S[attempts - 1] <= wait_s <= WAITS_S[attempts - 1] * 1.1


def test_the_eighth_failure_is_the_last() -> None:
    assert judged(500, 8) == Verdict(TellingOutcome.FAILED)


def test_the_schedule_is_that_of_the_specification() -> None:
    assert WAITS_S == (5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 10 * 3600)


def test_a_named_time_is_honoured_when_it_is_later_and_within_six_hours() -> None:
    for named_s, waited_s in ((1.0, WAITS_S[0]), (600.0, 600.0), (1e9, 21_600.0)):
        verdict = judged(429, retry_after_s=named_s)
        assert verdict.next_attempt_at is not None
        assert waited_s <= (verdict.next_attempt_at - NOW).total_seconds() <= waited_s * 1.1


def test_gone_disables_at_once_and_days_of_failure_do_in_the_end() -> None:
    assert judged(410).disabled is Disabled.GONE
    assert judged(None, failing=DISABLED_AFTER).disabled is Disabled.FAILING
    assert judged(500, failing=DISABLED_AFTER - timedelta(seconds=1)).disabled is None


def test_every_end_of_a_delivery_is_told_and_no_step() -> None:
    assert set(TOLD) == set(ENDED) | {DeliveryStatus.AMBIGUOUS}
    assert list(EVENTS) == [f"notification.delivery.{status}" for status in TOLD]
