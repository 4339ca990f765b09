"""When it is quiet on a reader's clock. Pure: `now` is an argument, and all answers are in UTC.

A wall time that the clock shows twice begins quiet hours at its first and ends them at its second showing; one that
it skips is moved on by what was skipped (spring forward: 02:30 becomes 03:30).
"""

from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from preferences.model import QuietHours

_DAY = timedelta(days=1)


def zone_of(hours: QuietHours, user_timezone: str | None) -> tzinfo:
    """The reader's zone: that of the quiet hours, else the user's, else UTC."""
    return _zone(hours.timezone or user_timezone or "UTC")


def quiet_until(hours: QuietHours, zone: tzinfo, *, now: datetime) -> datetime | None:
    """The end of the quiet hours in which `now` lies (their end itself is outside), in UTC; None outside."""
    until = None
    at = now.astimezone(UTC)
    for begin, end in _windows(hours, zone, around=at):
        if begin <= at < end:
            until = at = end  # where the clock went back, the next window may begin before this one ends
    return until


def next_start(hours: QuietHours, zone: tzinfo, *, now: datetime) -> datetime | None:
    """When quiet hours begin the next time after `now`, in UTC; None when there are none."""
    at = now.astimezone(UTC)
    return next((begin for begin, _ in _windows(hours, zone, around=at) if begin > at), None)


def _windows(hours: QuietHours, zone: tzinfo, *, around: datetime) -> list[tuple[datetime, datetime]]:
    """The windows that begin from the day before to two days after `around`, oldest first; none when start is end."""
    if hours.start == hours.end:
        return []
    today = around.astimezone(zone).date()
    overnight = _DAY if hours.end < hours.start else timedelta()
    windows = []
    for offset in (-1, 0, 1, 2):
        try:
            day = today + offset * _DAY
            begin, end = _moment(day, hours.start, zone, fold=0), _moment(day + overnight, hours.end, zone, fold=1)
        except OverflowError:  # the calendar ends
            continue
        if begin < end:
            windows.append((begin, end))
    return windows


def _moment(day: date, wall: time, zone: tzinfo, *, fold: int) -> datetime:
    at = datetime.combine(day, wall, zone)
    doubled = at.replace(fold=1).utcoffset() != at.utcoffset() and _exists(at)
    return at.replace(fold=fold if doubled else 0).astimezone(UTC)


def _exists(at: datetime) -> bool:
    """Whether the clock ever shows this wall time: it comes back unchanged from UTC."""
    return at.astimezone(UTC).astimezone(at.tzinfo).replace(tzinfo=None) == at.replace(tzinfo=None)


@lru_cache(maxsize=1024)
def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # stored before the name was dropped from the tables
        return UTC
