"""Blips inside one attempt: a connection that failed before anything had left may be tried again, for 0.2 s in all.

Everything longer rests in a queue. What may have arrived is never tried again here.
"""

import time
from collections.abc import Awaitable, Callable

from tenacity import AsyncRetrying, RetryCallState, retry_if_result, stop_after_attempt, stop_before_delay
from tenacity import wait_random_exponential as jittered

from channels.base import Blip, Outcome

MAX_TRIES = 3
MAX_TOTAL_S = 0.2
"""A claim's look at preferences counts for 0.8 s: with this, no call begins later than 1 s after an opt-out."""


async def past_blips(send: Callable[[], Awaitable[Outcome]]) -> Outcome:
    """Await `send`, again while it answers Blip: at most 3 times, none begun later than 0.2 s after the first."""
    begun_s = time.monotonic()
    first = await send()
    return first if not isinstance(first, Blip) else await _again(first, send, time.monotonic() - begun_s)


async def _again(first: Outcome, send: Callable[[], Awaitable[Outcome]], spent_s: float) -> Outcome:
    """The tries after the first one, which took so long: tenacity is dearer than many a send, and seldom needed."""
    known = [first]

    async def attempt() -> Outcome:
        return known.pop() if known else await send()

    retrying = AsyncRetrying(
        retry=retry_if_result(lambda outcome: isinstance(outcome, Blip)),
        stop=stop_after_attempt(MAX_TRIES) | stop_before_delay(MAX_TOTAL_S - spent_s),
        wait=jittered(multiplier=0.05, max=0.5),
        retry_error_callback=_last_outcome,
    )
    outcome: Outcome = await retrying(attempt)
    return outcome


def _last_outcome(state: RetryCallState) -> Outcome:
    if state.outcome is None:
        raise RuntimeError("tenacity stopped before the first try")
    outcome: Outcome = state.outcome.result()
    return outcome
