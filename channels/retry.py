"""Blips inside one attempt: a connection that failed before anything had left may be tried again, for 2 s in all.

Everything longer rests in a queue. What may have arrived is never tried again here.
"""

from collections.abc import Awaitable, Callable

from tenacity import AsyncRetrying, RetryCallState, retry_if_result, stop_after_attempt, stop_before_delay
from tenacity import wait_random_exponential as jittered

from channels.base import Blip, Outcome

MAX_TRIES = 3
MAX_TOTAL_S = 2.0


async def past_blips(send: Callable[[], Awaitable[Outcome]]) -> Outcome:
    """Await `send`, again while it answers Blip: at most 3 times, none begun later than 2 s after the first."""
    retrying = AsyncRetrying(
        retry=retry_if_result(lambda outcome: isinstance(outcome, Blip)),
        stop=stop_after_attempt(MAX_TRIES) | stop_before_delay(MAX_TOTAL_S),
        wait=jittered(multiplier=0.05, max=0.5),
        retry_error_callback=_last_outcome,
    )
    outcome: Outcome = await retrying(send)
    return outcome


def _last_outcome(state: RetryCallState) -> Outcome:
    if state.outcome is None:
        raise RuntimeError("tenacity stopped before the first try")
    outcome: Outcome = state.outcome.result()
    return outcome
