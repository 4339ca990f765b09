"""Backoff: ladders per lane, two neighbouring levels, the provider's wish, and never past expiry."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.budget import Grace
from domain.lanes import DECLARED_LANES, Channel, Lane, Priority
from plumbing.broker.topology import RETRY_LEVELS_S
from workers.backoff import LONGEST_WISH_S, Rest, ladder, max_attempts, rest_after, rest_for

LANES = st.sampled_from(DECLARED_LANES)
A_DAY_S = 86_400.0
LONGEST_S = max(RETRY_LEVELS_S.values())


def test_each_lane_climbs_its_own_ladder() -> None:
    assert ladder(Lane(Channel.EMAIL, Priority.CRITICAL)) == ("2s", "10s", "1m")
    assert ladder(Lane(Channel.EMAIL, Priority.NORMAL)) == ("10s", "1m", "5m", "30m", "2h", "2h", "2h")
    assert ladder(Lane(Channel.SMS, Priority.LOW)) == ("2s", "10s", "1m", "5m")


@given(LANES, st.integers(1, 20), st.integers())
def test_a_rest_is_one_of_two_neighbouring_levels_until_the_ladder_ends(lane: Lane, attempt: int, seed: int) -> None:
    rest = rest_after(lane, attempt, left_s=A_DAY_S, rng=Random(seed))

    if attempt >= max_attempts(lane):
        assert rest is None
    else:
        assert rest is not None
        assert rest.level in ladder(lane)[attempt - 1 : attempt + 1]
        assert rest.wait_s == RETRY_LEVELS_S[rest.level]


@given(LANES, st.integers(1, 3), st.floats(-10, 1e9), st.floats(0, A_DAY_S), st.integers())
def test_a_rest_is_never_shorter_than_the_providers_wish_nor_longer_than_what_is_left(
    lane: Lane, attempt: int, wish_s: float, left_s: float, seed: int
) -> None:
    rest = rest_after(lane, attempt, left_s=left_s, retry_after_s=wish_s, rng=Random(seed))

    if rest is None:
        assert left_s <= max(RETRY_LEVELS_S[ladder(lane)[attempt - 1]], rest_for(min(wish_s, LONGEST_WISH_S)).wait_s)
    else:
        assert min(wish_s, LONGEST_WISH_S) <= rest.wait_s < left_s
        assert (rest.level is None) == (rest.wait_s > LONGEST_S)


def test_both_levels_are_taken_so_that_what_failed_together_comes_back_apart() -> None:
    rng = Random(1)

    taken = {rest_after(Lane(Channel.SMS, Priority.HIGH), 1, left_s=A_DAY_S, rng=rng) for _ in range(50)}

    assert taken == {Rest(2, "2s"), Rest(10, "10s")}


@given(LANES, st.integers(1, 50), st.floats(20_000, 1e6), st.integers())
def test_while_the_provider_fails_everybody_the_last_step_is_taken_again(
    lane: Lane, attempt: int, left_s: float, seed: int
) -> None:
    rest = rest_after(lane, attempt, left_s=left_s, grace=Grace(is_patient=True), rng=Random(seed))

    assert rest is not None
    assert rest.level in ladder(lane)[min(attempt, len(ladder(lane))) - 1 :]


@given(LANES, st.integers(1, 3), st.floats(0.01, 1e6), st.floats(1, A_DAY_S), st.integers())
def test_who_is_put_off_rests_longer_in_postgresql_and_is_tried_once_more_before_expiry(
    lane: Lane, attempt: int, put_off_s: float, left_s: float, seed: int
) -> None:
    usual = rest_after(lane, attempt, left_s=left_s, rng=Random(seed))
    rest = rest_after(lane, attempt, left_s=left_s, grace=Grace(put_off_s), rng=Random(seed))

    if usual is None:
        assert rest is None
    else:
        assert rest is not None
        assert rest.level is None
        assert usual.wait_s <= rest.wait_s < left_s
        assert rest.wait_s <= usual.wait_s + put_off_s


@pytest.mark.parametrize(
    ("wait_s", "rest"),
    [
        (-1, Rest(2, "2s")),
        (2, Rest(2, "2s")),
        (2.01, Rest(10, "10s")),
        (61, Rest(300, "5m")),
        (7200, Rest(7200, "2h")),
        (7201, Rest(7201, None)),
    ],
)
def test_a_wait_takes_the_smallest_level_that_holds_it(wait_s: float, rest: Rest) -> None:
    assert rest_for(wait_s) == rest
