"""When a failed delivery is tried again: tables and one choice, with no clock and no queue.

Retry queues are shared ladders of fixed waits, so an exact wait is not to be had; spreading at random over two
neighbouring levels keeps what failed together from coming back together.
"""

from dataclasses import dataclass
from random import Random

from channels.budget import Grace
from domain.lanes import Channel, Lane, Priority
from plumbing.broker.topology import RETRY_LEVELS_S

LONGEST_WISH_S = 6 * 3600.0
"""A provider's Retry-After beyond this is taken for this much."""

LAST_TRY_AT = 0.9
"""Of what is left until it expires: no turn in the retry budget is later."""

NO_GRACE = Grace()

PARKING_LEVEL = "10s"
"""Where deliveries wait that were not sent and lost no attempt."""

_CRITICAL = ("2s", "10s", "1m")
_LADDERS = {
    Channel.EMAIL: ("10s", "1m", "5m", "30m", "2h", "2h", "2h"),
    Channel.SMS: ("2s", "10s", "1m", "5m"),
    Channel.PUSH: ("2s", "10s", "1m", "5m"),
}


@dataclass(frozen=True, slots=True)
class Rest:
    """How long to rest: at a level of the retry queues, or (`level` None) in PostgreSQL, beyond 2 h or put off."""

    wait_s: float
    level: str | None


def ladder(lane: Lane) -> tuple[str, ...]:
    """The levels a lane climbs, one per failed attempt; critical ones expire soon and climb fast."""
    return _CRITICAL if lane.priority is Priority.CRITICAL else _LADDERS[lane.channel]


def max_attempts(lane: Lane) -> int:
    """How many attempts a delivery of the lane has: one, and one per level of its ladder."""
    return len(ladder(lane)) + 1


def rest_after(
    lane: Lane,
    attempt: int,
    *,
    left_s: float,
    retry_after_s: float | None = None,
    grace: Grace = NO_GRACE,
    rng: Random,
) -> Rest | None:
    """How long to rest after the `attempt`-th attempt (from 1) failed, `left_s` seconds before the delivery expires.

    One of two neighbouring levels at random; a provider's own wish is respected: the smallest level that is not
    shorter, beyond the longest one exactly. None when it was the last attempt, or expiry comes first.
    With a grace the last level is taken again and again, and what is put off rests in PostgreSQL.
    """
    levels = ladder(lane)
    if grace.is_patient:
        attempt = min(attempt, len(levels))
    if attempt > len(levels):
        return None
    wish_s = min(retry_after_s or 0.0, LONGEST_WISH_S)
    choices = [rest_for(max(RETRY_LEVELS_S[level], wish_s)) for level in levels[attempt - 1 : attempt + 1]]
    in_time = [rest for rest in choices if rest.wait_s < left_s]
    if not in_time:
        return None
    rest = rng.choice(in_time)
    return rest if grace.put_off_s <= 0 else _put_off(rest, grace.put_off_s, left_s)


def _put_off(rest: Rest, put_off_s: float, left_s: float) -> Rest:
    """Rest longer, in PostgreSQL; but not so long that it would expire without another try."""
    latest_s = max(rest.wait_s, LAST_TRY_AT * left_s)
    return Rest(min(rest.wait_s + put_off_s, latest_s), None)


def rest_for(wait_s: float) -> Rest:
    """The smallest level of at least `wait_s` seconds; beyond the longest exactly that long, in PostgreSQL."""
    for level, level_s in RETRY_LEVELS_S.items():
        if level_s >= wait_s:
            return Rest(level_s, level)
    return Rest(wait_s, None)
