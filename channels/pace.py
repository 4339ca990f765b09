"""The pace of one provider in this process: a token bucket that halves when the provider asks for less, and recovers.

Nothing is refused here: who would have to wait too long is NotSent and parked.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from channels.base import Outcome, Sent
from domain.errors import NotSent, Throttled
from domain.reasons import Reason

MAX_WAIT_S = 0.2
"""Short, because a claim's look at preferences grows old meanwhile."""

BURST_S = 0.2
"""After a pause so many seconds' sends may go at once: in no second more than 1.2 times the rate."""

MAX_HOLD_S = 60.0
_MIN_RATE_PER_S = 5.0
_LOWER_AT_MOST_EVERY_S = 1.0
_RECOVERY_PER_S = 0.05  # of the full rate, for each second of good answers


class Pace:
    """At most `max_per_s` sends a second, fewer after Throttled (AIMD); `clock` counts seconds and never goes back."""

    def __init__(
        self, provider: str, *, max_per_s: float = 1000.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.provider = provider
        self._max_per_s = max_per_s
        self._rate_per_s = max_per_s
        self._clock = clock
        self._tokens = _burst(max_per_s)
        self._counted_at_s = clock()
        self._held_until_s = 0.0
        self._lowered_at_s = float("-inf")
        self._raised_at_s = clock()
        self._sent_since_s = clock()
        self._sent = 0

    @property
    def rate_per_s(self) -> float:
        """The rate allowed now."""
        return self._rate_per_s

    @property
    def room(self) -> int:
        """How many sends could begin within 0.2 s: to take up more would be in vain."""
        now_s = self._clock()
        self._fill(now_s)
        return (
            0 if self._held_until_s - now_s > MAX_WAIT_S else max(0, int(self._tokens + self._rate_per_s * MAX_WAIT_S))
        )

    async def call(self, send: Callable[[], Awaitable[Outcome]]) -> Outcome:
        """Await `send` when its turn has come; NotSent when that is more than 0.2 s away."""
        wait_s = self.reserve()
        if wait_s > MAX_WAIT_S:
            return NotSent(Reason.PROVIDER_THROTTLED, f"pace of {self.provider}: {self._rate_per_s:.1f} per second")
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        outcome = await send()
        if isinstance(outcome, Throttled):
            self._lower(outcome.retry_after_s)
        elif isinstance(outcome, Sent):
            self._recover()
        return outcome

    def reserve(self) -> float:
        """Take a token, perhaps one of the near future: seconds until it is there. Above 0.2 none was taken."""
        now_s = self._clock()
        self._fill(now_s)
        wait_s = max(0.0, (1.0 - self._tokens) / self._rate_per_s, self._held_until_s - now_s)
        if wait_s <= MAX_WAIT_S:
            self._tokens -= 1.0
            self._count(now_s)
        return wait_s

    def _fill(self, now_s: float) -> None:
        gained = (now_s - self._counted_at_s) * self._rate_per_s
        self._tokens = min(_burst(self._rate_per_s), self._tokens + gained)
        self._counted_at_s = now_s

    def _count(self, now_s: float) -> None:
        if now_s - self._sent_since_s > 1.0:
            self._sent_since_s, self._sent = now_s, 0
        self._sent += 1

    def _lower(self, retry_after_s: float | None) -> None:
        now_s = self._clock()
        if retry_after_s is not None:
            self._held_until_s = max(self._held_until_s, now_s + min(retry_after_s, MAX_HOLD_S))
        if now_s - self._lowered_at_s < _LOWER_AT_MOST_EVERY_S:
            return  # those in flight together complain together
        used_per_s = self._sent / max(now_s - self._sent_since_s, 1.0)
        self._rate_per_s = max(_MIN_RATE_PER_S, min(self._rate_per_s, max(used_per_s, _MIN_RATE_PER_S)) / 2)
        self._tokens = min(self._tokens, 1.0)
        self._lowered_at_s = self._raised_at_s = now_s

    def _recover(self) -> None:
        now_s = self._clock()
        gain = self._max_per_s * _RECOVERY_PER_S * (now_s - self._raised_at_s)
        self._rate_per_s = min(self._max_per_s, self._rate_per_s + gain)
        self._raised_at_s = now_s


def _burst(rate_per_s: float) -> float:
    return max(1.0, rate_per_s * BURST_S)
