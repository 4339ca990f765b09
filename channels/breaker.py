"""A circuit breaker per provider: pybreaker's states and counter, with an asyncio adapter that closes its traps.

1. `call` and the decorator count nothing for coroutines: here the send is awaited outside, and only its verdict is
   told to pybreaker, synchronously.
2. A cancellation counts as a failure, or as a success when excluded: here it is no verdict at all.
3. Half-open admits everybody: here one trial at a time; a cancelled trial leaves the place to the next caller.
4. The tripping call would lose its own error: outcomes are values here, so nothing replaces them.
5. It counts consecutive failures only: a sliding window of the error rate opens it as well.
Its clock is the wall's, too: here a monotonic one says when the next trial is due. State is kept per process.
"""

import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from enum import StrEnum

import pybreaker

from channels.base import Outcome, Sent
from domain.errors import Ambiguous, CircuitOpen, NotSent, Throttled, Transient
from domain.reasons import Reason

WINDOW_S = 10.0
MIN_CALLS = 10
FAILURE_SHARE = 0.5
CONSECUTIVE_FAILURES = 5
FIRST_OPEN_S = 5.0
LONGEST_OPEN_S = 60.0
_JITTER = 0.2
_NEVER_S = 10**9  # pybreaker's own wall clock shall decide nothing

_SPEAKS_OF_PROVIDER = frozenset({Reason.PROVIDER_UNAVAILABLE, Reason.PROVIDER_CREDENTIALS, Reason.PROVIDER_SILENT})


class BreakerState(StrEnum):
    """What a breaker lets through: all, nothing, or one trial."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """The breaker of one provider in this process; `clock` counts seconds and never goes back.

    It opens for `first_open_s`, then for twice that and so on, a minute at most.
    """

    def __init__(
        self,
        provider: str,
        *,
        first_open_s: float = FIRST_OPEN_S,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.provider = provider
        self._first_open_s = first_open_s
        self._clock = clock
        self._jitter = jitter
        self._circuit = pybreaker.CircuitBreaker(
            fail_max=CONSECUTIVE_FAILURES, reset_timeout=_NEVER_S, throw_new_error_on_trip=False, name=provider
        )
        self._window: deque[tuple[float, bool]] = deque()
        self._failures = 0
        """In the window."""
        self._open_s = self._first_open_s
        self._trial_due_s = 0.0
        self._trial_runs = False
        self._epoch = 0
        self.is_forced = False
        self.is_kept_closed = False
        self.opened_at: float | None = None

    @property
    def state(self) -> BreakerState:
        """The state now: an open breaker whose trial is due is half-open."""
        if self._circuit.current_state == pybreaker.STATE_CLOSED:
            return BreakerState.CLOSED
        if self.is_forced or self._clock() < self._trial_due_s:
            return BreakerState.OPEN
        return BreakerState.HALF_OPEN

    @property
    def retry_after_s(self) -> float:
        """Seconds until the next trial is due; 0 when it is."""
        return max(0.0, self._trial_due_s - self._clock())

    async def call(self, send: Callable[[], Awaitable[Outcome]]) -> Outcome:
        """Await `send` if the state allows it, else answer CircuitOpen. A cancellation passes through, uncounted."""
        state = self.state
        if state is BreakerState.OPEN or (state is BreakerState.HALF_OPEN and self._trial_runs):
            return CircuitOpen(self.provider, retry_after_s=self.retry_after_s or 1.0)
        is_trial = state is BreakerState.HALF_OPEN
        epoch = self._epoch
        self._trial_runs = self._trial_runs or is_trial
        try:
            outcome = await send()
        finally:
            if is_trial and epoch == self._epoch:
                self._trial_runs = False
        if epoch == self._epoch:  # who began before the state changed speaks of the past
            self._judge(failed(outcome), is_trial=is_trial)
        return outcome

    def force_open(self) -> None:
        """Hold everything back until `force_close` or `let_judge`: an operator's wish."""
        self.is_forced, self.is_kept_closed = True, False
        self._open()

    def keep_closed(self) -> None:
        """Let everything through, whatever fails, until another wish: an operator's."""
        self.force_close()
        self.is_kept_closed = True

    def let_judge(self) -> None:
        """Judge by oneself again: after `force_open` with a trial at once."""
        self.is_kept_closed = False
        if self.is_forced:
            self.is_forced = False
            self._open_s = self._first_open_s
            self._trial_due_s = self._clock()

    def force_close(self) -> None:
        """Let everything through and forget what was counted: an operator's wish."""
        self.is_forced = self.is_kept_closed = False
        self._close()

    def _judge(self, has_failed: bool | None, *, is_trial: bool) -> None:
        if has_failed is None or self.is_kept_closed:
            return
        if is_trial:
            self._end_trial(has_failed)
            return
        now_s = self._clock()
        self._window.append((now_s, has_failed))
        self._failures += has_failed
        while self._window[0][0] < now_s - WINDOW_S:
            self._failures -= self._window.popleft()[1]
        self._tell(has_failed)
        if self._circuit.current_state != pybreaker.STATE_CLOSED or self._share_is_bad():
            self._open()

    def _end_trial(self, has_failed: bool) -> None:
        self._circuit.half_open()
        self._tell(has_failed)
        if has_failed:
            self._open_s = min(self._open_s * 2, LONGEST_OPEN_S)
            self._open()
        else:
            self._close()

    def _tell(self, has_failed: bool) -> None:
        """Give pybreaker the verdict, through the one door of it that counts."""
        try:
            with self._circuit.calling():
                if has_failed:
                    raise _Failed
        except _Failed:
            return

    def _share_is_bad(self) -> bool:
        return len(self._window) >= MIN_CALLS and self._failures >= FAILURE_SHARE * len(self._window)

    def _open(self) -> None:
        self._circuit.open()
        self._new_epoch()
        self.opened_at = time.time()
        self._trial_due_s = self._clock() + min(self._open_s * self._jitter(1.0, 1.0 + _JITTER), LONGEST_OPEN_S)

    def _close(self) -> None:
        self._circuit.close()
        self._new_epoch()
        self.opened_at = None
        self._open_s = self._first_open_s
        self._trial_due_s = 0.0

    def _new_epoch(self) -> None:
        self._epoch += 1
        self._trial_runs = False
        self._window.clear()
        self._failures = 0


class _Failed(Exception):  # never leaves this file: it only carries a verdict into pybreaker
    pass


def failed(outcome: Outcome) -> bool | None:
    """What an outcome says about the provider: it failed, it works, or nothing.

    A refused recipient or message shows that it works, and so does a 429: the pace answers that.
    """
    match outcome:
        case Sent() | Throttled():
            return False
        case NotSent():
            return None
        case Transient() | Ambiguous():
            return outcome.reason in _SPEAKS_OF_PROVIDER
        case _:
            return False
