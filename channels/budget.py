"""The retry budget of one provider in this process: a provider in trouble is not asked for much more than before.

Retries get a fifth of what first attempts get, and one a second in any case. Who finds the budget spent is told how
much longer to rest: turns lie one behind the other, so what failed together comes back apart.
"""

import math
import time
from collections.abc import Callable

from domain.values import value

SHARE = 0.2
"""Retries for each first attempt."""

LEAST_PER_S = 1.0
"""For a provider that is seldom asked."""

AT_ONCE = 20
"""So many retries may follow each other closely before the first of them has to wait."""

MEMORY_S = 2.0
"""The rate of first attempts is that of the last moments: what it was before an outage, say, is of no use."""


@value(frozen=True, slots=True)
class Grace:
    """What a provider's trouble means for somebody who failed with it.

    `put_off_s`: rest so much longer than the ladder says, 0 while there is budget. `is_patient`: the ladder's end is
    no reason to give up, for it is the provider that fails, not this delivery.
    """

    put_off_s: float = 0.0
    is_patient: bool = False


class RetryBudget:
    """Counts first attempts and gives turns to retries; `clock` counts seconds and never goes back."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._firsts = 0.0
        """Those of the last seconds, faded."""
        self._counted_at_s = clock()
        self._spent_until_s = float("-inf")

    @property
    def rate_per_s(self) -> float:
        """Retries a second that there is budget for now."""
        self._fade()
        return max(LEAST_PER_S, SHARE * self._firsts / MEMORY_S)

    def count_first(self) -> None:
        """The provider was asked for the first time about a delivery."""
        self._fade()
        self._firsts += 1.0

    def turn(self) -> float:
        """Take a retry out of the budget: seconds by which it must be put off, 0 while there is some left."""
        now_s, rate_per_s = self._clock(), self.rate_per_s
        self._spent_until_s = max(self._spent_until_s, now_s - AT_ONCE / rate_per_s) + 1.0 / rate_per_s
        return max(0.0, self._spent_until_s - now_s)

    def _fade(self) -> None:
        now_s = self._clock()
        if now_s > self._counted_at_s:
            self._firsts *= math.exp((self._counted_at_s - now_s) / MEMORY_S)
            self._counted_at_s = now_s
