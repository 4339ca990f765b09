"""Clocks: leases, expiry and ids trust them to differ by less than a second."""

from collections.abc import Awaitable, Callable
from datetime import datetime

from domain.clock import Clock
from ops.doctor.findings import Finding, graded

SKEW_S, TOO_MUCH_S = 1.0, 5.0


async def judge_clock(
    name: str, clock: Clock, ask: Callable[[], Awaitable[datetime]], *, within_s: float = 0
) -> Finding:
    """How far another clock is from ours; half of the question's own time, and what it rounds, is forgiven."""
    before = clock()
    theirs = await ask()
    after = clock()
    middle = before + (after - before) / 2
    forgiven_s = (after - before).total_seconds() / 2 + within_s
    skew_s = max(0.0, abs((theirs - middle).total_seconds()) - forgiven_s)
    words = f"differs by {skew_s:.1f} s from this machine's"
    return graded(name, skew_s, words, "let NTP set both clocks", warn_over=SKEW_S, fail_over=TOO_MUCH_S)
