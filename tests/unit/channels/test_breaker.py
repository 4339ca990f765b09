"""The breaker: each of pybreaker's five traps closed, and its own clock."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

import pytest

from channels.base import Outcome, Sent
from channels.breaker import FIRST_OPEN_S, LONGEST_OPEN_S, MIN_CALLS, WINDOW_S, Breaker, BreakerState
from domain.errors import Ambiguous, CircuitOpen, NotSent, Permanent, RecipientGone, Throttled, Transient
from domain.reasons import Reason

SENT = Sent("fake", "1", "ok", 1.0)
DOWN = Transient(Reason.PROVIDER_UNAVAILABLE)


class Time:
    """A clock that stands still until told."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def breaker(time: Time) -> Breaker:
    return Breaker("fake", clock=time, jitter=lambda low, _high: low)


def answering(outcome: Outcome) -> Callable[[], Awaitable[Outcome]]:
    async def send() -> Outcome:
        return outcome

    return send


def state_of(breaker: Breaker) -> BreakerState:
    return breaker.state  # by a function, so that the type checker takes no state for lasting


async def opened(breaker: Breaker) -> None:
    for _ in range(5):
        await breaker.call(answering(DOWN))
    assert state_of(breaker) is BreakerState.OPEN


async def test_failing_coroutines_are_counted_and_open_it(breaker: Breaker) -> None:
    for _ in range(4):
        await breaker.call(answering(DOWN))
    assert state_of(breaker) is BreakerState.CLOSED

    await breaker.call(answering(DOWN))

    assert state_of(breaker) is BreakerState.OPEN
    assert breaker.opened_at is not None


async def test_the_tripping_call_keeps_its_own_outcome(breaker: Breaker) -> None:
    outcomes = [await breaker.call(answering(DOWN)) for _ in range(5)]

    assert outcomes == [DOWN] * 5


async def test_while_open_nothing_is_sent_and_the_answer_says_when_to_come_again(breaker: Breaker, time: Time) -> None:
    await opened(breaker)
    time.now_s += 2
    called = []

    async def send() -> Outcome:
        called.append(1)
        return SENT

    outcome = await breaker.call(send)

    assert isinstance(outcome, CircuitOpen)
    assert isinstance(outcome, NotSent)
    assert outcome.retry_after_s == pytest.approx(FIRST_OPEN_S - 2)
    assert called == []


async def test_four_failures_of_five_open_it_though_never_five_in_a_row(breaker: Breaker) -> None:
    calls = 0
    while breaker.state is BreakerState.CLOSED and calls < 200:
        await breaker.call(answering(SENT if calls % 5 == 4 else DOWN))
        calls += 1

    assert calls == 10


async def test_a_few_failures_among_many_successes_do_not_open_it(breaker: Breaker, time: Time) -> None:
    for number in range(300):
        time.now_s += 0.01
        await breaker.call(answering(DOWN if number % 3 == 0 else SENT))

    assert state_of(breaker) is BreakerState.CLOSED


@pytest.mark.parametrize("seed", range(100))
async def test_it_opens_when_half_of_the_last_ten_seconds_failed_or_five_in_a_row(seed: int) -> None:
    rng = Random(seed)
    calls = [(rng.choice((0.1, 0.5, 0.9, 6.0)), rng.random() < 0.35) for _ in range(100)]
    time = Time()
    breaker = Breaker("fake", clock=time, jitter=lambda low, _high: low)
    seen: list[tuple[float, bool]] = []
    for pause_s, is_down in calls:
        time.now_s += pause_s
        await breaker.call(answering(DOWN if is_down else SENT))
        seen.append((time.now_s, is_down))

        lately = [was_down for at, was_down in seen if at >= time.now_s - WINDOW_S]
        in_a_row = len(seen) >= 5 and all(was_down for _, was_down in seen[-5:])
        is_bad = in_a_row or (len(lately) >= MIN_CALLS and sum(lately) * 2 >= len(lately))
        assert (breaker.state is BreakerState.CLOSED) is not is_bad
        if is_bad:
            break


async def test_failures_of_long_ago_are_forgotten(breaker: Breaker, time: Time) -> None:
    for number in range(40):
        time.now_s += 1.2
        await breaker.call(answering(SENT if number % 5 == 4 else DOWN))

    assert state_of(breaker) is BreakerState.CLOSED


async def test_cancelled_calls_count_as_nothing(breaker: Breaker) -> None:
    tasks = [asyncio.create_task(breaker.call(_forever)) for _ in range(10)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()

    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert all(isinstance(result, asyncio.CancelledError) for result in results)
    assert state_of(breaker) is BreakerState.CLOSED
    for _ in range(4):
        await breaker.call(answering(DOWN))
    assert state_of(breaker) is BreakerState.CLOSED


async def test_half_open_lets_one_trial_through_and_it_closes_the_breaker(breaker: Breaker, time: Time) -> None:
    await opened(breaker)
    time.now_s += FIRST_OPEN_S
    gate = asyncio.Event()
    begun = []

    async def send() -> Outcome:
        begun.append(1)
        await gate.wait()
        return SENT

    tasks = [asyncio.create_task(breaker.call(send)) for _ in range(20)]
    await asyncio.sleep(0)
    assert state_of(breaker) is BreakerState.HALF_OPEN
    gate.set()
    outcomes = await asyncio.gather(*tasks)

    assert len(begun) == 1
    assert sum(isinstance(outcome, CircuitOpen) for outcome in outcomes) == 19
    assert state_of(breaker) is BreakerState.CLOSED
    assert breaker.opened_at is None


async def test_a_cancelled_trial_gives_no_verdict_and_the_next_caller_may_try(breaker: Breaker, time: Time) -> None:
    await opened(breaker)
    time.now_s += FIRST_OPEN_S
    trial = asyncio.create_task(breaker.call(_forever))
    await asyncio.sleep(0)

    trial.cancel()
    with pytest.raises(asyncio.CancelledError):
        await trial

    assert state_of(breaker) is BreakerState.HALF_OPEN
    assert await breaker.call(answering(SENT)) is SENT
    assert state_of(breaker) is BreakerState.CLOSED


async def test_a_trial_that_was_not_sent_gives_no_verdict(breaker: Breaker, time: Time) -> None:
    await opened(breaker)
    time.now_s += FIRST_OPEN_S

    await breaker.call(answering(NotSent(Reason.PROVIDER_THROTTLED)))

    assert state_of(breaker) is BreakerState.HALF_OPEN


async def test_failed_trials_double_the_wait_up_to_a_minute_and_success_resets_it(breaker: Breaker, time: Time) -> None:
    await opened(breaker)
    waits = []
    for _ in range(6):
        waits.append(breaker.retry_after_s)
        time.now_s += breaker.retry_after_s
        await breaker.call(answering(DOWN))

    assert waits == pytest.approx([5, 10, 20, 40, LONGEST_OPEN_S, LONGEST_OPEN_S])
    time.now_s += breaker.retry_after_s
    await breaker.call(answering(SENT))
    await opened(breaker)
    assert breaker.retry_after_s == pytest.approx(FIRST_OPEN_S)


async def test_answers_of_calls_begun_before_it_opened_do_not_disturb_it(breaker: Breaker, time: Time) -> None:
    gate = asyncio.Event()

    async def late() -> Outcome:
        await gate.wait()
        return SENT

    task = asyncio.create_task(breaker.call(late))
    await asyncio.sleep(0)
    await opened(breaker)
    gate.set()

    assert await task is SENT
    assert state_of(breaker) is BreakerState.OPEN


@pytest.mark.parametrize(
    "outcome",
    [
        Permanent(Reason.CONTENT_REJECTED),
        RecipientGone(Reason.ADDRESS_REJECTED),
        Throttled(Reason.PROVIDER_THROTTLED),
        Transient(Reason.ADDRESS_DEFERRED),
        NotSent(Reason.SHUTDOWN),
    ],
)
async def test_failures_that_do_not_speak_of_the_provider_never_open_it(breaker: Breaker, outcome: Outcome) -> None:
    for _ in range(30):
        await breaker.call(answering(outcome))

    assert state_of(breaker) is BreakerState.CLOSED


@pytest.mark.parametrize("outcome", [Ambiguous(Reason.PROVIDER_SILENT), Transient(Reason.PROVIDER_CREDENTIALS)])
async def test_silence_and_wrong_credentials_open_it(breaker: Breaker, outcome: Outcome) -> None:
    for _ in range(5):
        await breaker.call(answering(outcome))

    assert state_of(breaker) is BreakerState.OPEN


async def test_an_operator_may_hold_it_open_and_close_it(breaker: Breaker, time: Time) -> None:
    breaker.force_open()
    time.now_s += 1000
    assert state_of(breaker) is BreakerState.OPEN
    assert isinstance(await breaker.call(answering(SENT)), CircuitOpen)

    breaker.force_close()

    assert await breaker.call(answering(SENT)) is SENT
    assert state_of(breaker) is BreakerState.CLOSED


async def _forever() -> Outcome:
    await asyncio.get_running_loop().create_future()
    return SENT
