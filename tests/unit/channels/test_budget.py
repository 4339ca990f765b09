"""The retry budget: a fifth of the first attempts, a few for the quiet, and turns that lie apart."""

import pytest

from channels.budget import AT_ONCE, LEAST_PER_S, SHARE, RetryBudget
from tests.unit.channels.test_pace_and_blips import Time


def busy(time: Time, *, per_s: int, seconds: int = 10) -> RetryBudget:
    """A budget after so many seconds of first attempts."""
    budget = RetryBudget(clock=time)
    for _ in range(per_s * seconds):
        time.now_s += 1 / per_s
        budget.count_first()
    return budget


def test_a_quiet_providers_retries_go_as_they_wish() -> None:
    time = Time()
    budget = RetryBudget(clock=time)

    waits = []
    for _ in range(100):
        waits.append(budget.turn())
        time.now_s += 1 / LEAST_PER_S

    assert set(waits) == {0.0}


@pytest.mark.parametrize("per_s", [50, 100, 1000])
def test_retries_get_a_fifth_of_the_first_attempts(per_s: int) -> None:
    budget = busy(Time(), per_s=per_s)

    assert budget.rate_per_s == pytest.approx(SHARE * per_s, rel=0.02)


def test_when_all_fail_no_minute_has_more_retries_than_a_fifth_and_the_few_at_once() -> None:
    time = Time()
    budget = busy(time, per_s=100)
    turns = []
    for _ in range(60 * 100):
        time.now_s += 0.01
        budget.count_first()
        turns.append(time.now_s + budget.turn())

    for begin_s in range(0, 200, 5):
        window = [at for at in turns if begin_s <= at - turns[0] < begin_s + 60]
        assert len(window) <= SHARE * 100 * 60 * 1.02 + AT_ONCE
    assert turns == sorted(turns)


def test_turns_that_were_given_stand_also_when_nothing_is_sent_any_more() -> None:
    time = Time()
    budget = busy(time, per_s=100)
    spent_s = [budget.turn() for _ in range(400)][-1]
    time.now_s += spent_s

    assert spent_s == pytest.approx((400 - AT_ONCE) / (SHARE * 100), rel=0.05)
    assert budget.turn() == pytest.approx(1 / LEAST_PER_S)


def test_after_a_while_without_failures_a_few_may_go_at_once_again() -> None:
    time = Time()
    budget = RetryBudget(clock=time)
    while budget.turn() == 0:
        pass
    time.now_s += 2 * AT_ONCE / LEAST_PER_S

    assert [budget.turn() for _ in range(AT_ONCE + 1)] == [*([0.0] * AT_ONCE), 1 / LEAST_PER_S]
