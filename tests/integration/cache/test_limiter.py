"""Limits in Redis, against a model that counts, under concurrency, and without Redis."""

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plumbing.cache import Cache
from plumbing.limiter import Limit, Limiter

SLOW = 1e-6
"""Units a second: within a test nothing grows back, and what is left can be counted."""


@pytest.fixture(scope="module")
async def away() -> AsyncIterator[Cache]:
    """A cache whose Redis nobody started."""
    cache = Cache.open("redis://127.0.0.1:1/0")
    yield cache
    await cache.close()


@pytest.fixture(params=["redis", "alone"])
def limiter(request: pytest.FixtureRequest, cache: Cache, away: Cache) -> Limiter:
    """A limiter with Redis, and one that must count for itself."""
    return Limiter(cache if request.param == "redis" else away)


def fresh(burst: int, cost: int = 1, per_s: float = SLOW) -> Limit:
    return Limit(f"{{t:test}}:limit:{uuid4()}", per_s, burst, cost)


def again(limit: Limit, cost: int) -> Limit:
    return Limit(limit.key, limit.per_s, limit.burst, cost)


async def test_a_burst_passes_and_then_no_more(limiter: Limiter) -> None:
    limit = fresh(3)

    answers = [await limiter.ask(limit) for _ in range(4)]

    assert [answer.allowed for answer in answers] == [True, True, True, False]
    assert [answer.remaining for answer in answers] == [2, 1, 0, 0]
    assert {answer.limit for answer in answers} == {3}
    assert answers[-1].retry_after_s > 0
    assert [answer.retry_after_s for answer in answers[:3]] == [0, 0, 0]


async def test_a_cost_that_does_not_fit_spends_nothing(limiter: Limiter) -> None:
    limit = fresh(3)

    assert not (await limiter.ask(again(limit, 4))).allowed
    assert (await limiter.ask(again(limit, 3))).allowed


async def test_a_look_spends_nothing_and_tells_whether_one_would_pass(limiter: Limiter) -> None:
    limit = fresh(1)

    looks = [(await limiter.ask(again(limit, 0))).allowed for _ in range(3)]
    await limiter.ask(limit)
    look_after = await limiter.ask(again(limit, 0))

    assert looks == [True, True, True]
    assert (look_after.allowed, look_after.remaining) == (False, 0)


async def test_what_is_given_back_can_be_spent_again_and_never_grows_past_the_burst(limiter: Limiter) -> None:
    limit = fresh(2)
    await limiter.ask(again(limit, 2))

    back = await limiter.ask(again(limit, -1))
    more = await limiter.ask(again(limit, -5))

    assert (back.allowed, back.remaining, more.remaining) == (True, 1, 2)
    assert [(await limiter.ask(limit)).allowed for _ in range(3)] == [True, True, False]


async def test_equal_keys_in_one_call_see_each_other(limiter: Limiter) -> None:
    limit, other = fresh(2), fresh(1)

    _, answers = await limiter.look_up([], [limit, other, limit, limit, other])

    assert [answer.allowed for answer in answers] == [True, True, True, False, False]


async def test_of_many_times_in_a_row_as_many_pass_as_there_is_room_for(limiter: Limiter) -> None:
    limit = fresh(5)
    often = Limit(limit.key, limit.per_s, limit.burst, times=3)

    answers = [await limiter.ask(often) for _ in range(3)]

    assert [(answer.allowed, answer.passed, answer.remaining) for answer in answers] == [
        (True, 3, 2),
        (False, 2, 0),
        (False, 0, 0),
    ]
    assert answers[1].retry_after_s > 0
    looks = await limiter.ask(Limit(limit.key, limit.per_s, limit.burst, 0, 7))
    assert (looks.allowed, looks.passed) == (False, 0)


async def test_what_was_spent_grows_back_at_its_rate(limiter: Limiter) -> None:
    limit = fresh(1, per_s=20)
    await limiter.ask(limit)
    begun_s = time.monotonic()

    async with asyncio.timeout(20):
        while not (await limiter.ask(limit)).allowed:
            await asyncio.sleep(0.002)

    assert time.monotonic() - begun_s > 0.03  # one unit takes 50 ms


@pytest.mark.parametrize("burst", [1, 7, 20])
async def test_callers_at_the_same_moment_get_exactly_the_burst(limiter: Limiter, burst: int) -> None:
    limit = fresh(burst)

    async def caller() -> int:
        return sum([(await limiter.ask(limit)).allowed for _ in range(6)])

    assert sum(await asyncio.gather(*(caller() for _ in range(5)))) == burst


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 12), st.lists(st.lists(st.integers(-4, 6), min_size=1, max_size=5), max_size=8))
async def test_any_calls_agree_with_a_model_that_counts(limiter: Limiter, burst: int, calls: list[list[int]]) -> None:
    limit, left = fresh(burst), burst

    for costs in calls:
        _, answers = await limiter.look_up([], [again(limit, cost) for cost in costs])
        for cost, answer in zip(costs, answers, strict=True):
            allowed = cost < 0 or max(cost, 1) <= left
            left = min(burst, left - cost) if allowed else left
            assert (answer.allowed, answer.remaining) == (allowed, left)


async def test_values_come_with_the_limits_in_one_round_trip(cache: Cache) -> None:
    limiter = Limiter(cache)
    await cache.delete(["{t:test}:kept"])
    limit = fresh(1)

    values, [answer] = await limiter.look_up(["{t:test}:absent", limit.key, "{t:test}:kept"], [limit])
    values_after, _ = await limiter.look_up([limit.key, "{t:test}:absent"], [])

    assert (values, answer.allowed) == ([None, None, None], True)
    assert values_after[0] is not None
    assert values_after[1] is None


async def test_without_redis_values_are_unknown_and_limits_are_counted_here(away: Cache) -> None:
    limit = fresh(1)
    limiter = Limiter(away)

    values, [first] = await limiter.look_up(["{t:test}:a"], [limit])
    _, [second] = await limiter.look_up(["{t:test}:a"], [limit])

    assert values == [None]
    assert (first.allowed, second.allowed) == (True, False)
