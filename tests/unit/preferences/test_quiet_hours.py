"""Quiet hours on clocks that run, jump and go back."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.decision import Verdict
from domain.lanes import Channel, Priority
from domain.reasons import Reason
from preferences import rules
from preferences.categories import SHIPPED
from preferences.model import KnownRecipient, Preferences, QuietHours, QuietMode
from preferences.quiet_hours import next_start, quiet_until, zone_of

PARIS = "Europe/Paris"
NIGHT = QuietHours(time(22), time(7), PARIS)
ORDERS, SECURITY = SHIPPED["orders"], SHIPPED["security"]
FAR = datetime(2027, 6, 1, tzinfo=UTC)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def recipient(hours: QuietHours | None, timezone: str | None = None) -> KnownRecipient:
    chosen = Preferences(quiet_hours=hours)
    return KnownRecipient(UUID(int=3), "user-42", 7, None, timezone, None, {Channel.EMAIL: UUID(int=1)}, chosen)


def until(hours: QuietHours, now: str) -> datetime | None:
    return quiet_until(hours, zone_of(hours, None), now=utc(now))


@pytest.mark.parametrize(
    ("now", "end"),
    [
        ("2026-11-20T20:59:59", None),  # 21:59:59 in Paris
        ("2026-11-20T21:00:00", "2026-11-21T06:00:00"),
        ("2026-11-21T00:30:00", "2026-11-21T06:00:00"),
        ("2026-11-21T05:59:59", "2026-11-21T06:00:00"),
        ("2026-11-21T06:00:00", None),
        ("2026-07-20T20:00:00", "2026-07-21T05:00:00"),  # summer time
    ],
)
def test_a_night_spans_midnight_and_its_end_is_outside(now: str, end: str | None) -> None:
    assert until(NIGHT, now) == (utc(end) if end else None)


@pytest.mark.parametrize(
    ("now", "end"), [("2026-11-20T11:59:00", None), ("2026-11-20T12:00:00", "2026-11-20T14:00:00")]
)
def test_a_siesta_stays_within_its_day(now: str, end: str | None) -> None:
    assert until(QuietHours(time(12), time(14), "UTC"), now) == (utc(end) if end else None)


def test_hours_that_end_when_they_start_are_none() -> None:
    hours = QuietHours(time(8), time(8), PARIS)

    assert until(hours, "2026-11-20T07:00:00") is None
    assert next_start(hours, ZoneInfo(PARIS), now=utc("2026-11-20T07:00:00")) is None


def test_a_night_in_which_the_clock_jumps_ends_at_the_same_wall_time() -> None:
    assert until(NIGHT, "2026-03-28T23:00:00") == utc("2026-03-29T05:00:00")  # 07:00 in summer time


def test_a_night_in_which_the_clock_goes_back_ends_at_the_same_wall_time() -> None:
    assert until(NIGHT, "2026-10-24T22:00:00") == utc("2026-10-25T06:00:00")  # 07:00 in winter time


def test_an_end_that_the_clock_skips_is_moved_on() -> None:
    assert until(QuietHours(time(22), time(2, 30), PARIS), "2026-03-29T00:45:00") == utc("2026-03-29T01:30:00")


def test_a_start_that_the_clock_skips_is_moved_on() -> None:
    hours = QuietHours(time(2, 30), time(7), PARIS)

    assert next_start(hours, ZoneInfo(PARIS), now=utc("2026-03-29T00:45:00")) == utc("2026-03-29T01:30:00")
    assert until(hours, "2026-03-29T01:15:00") is None
    assert until(hours, "2026-03-29T01:30:00") == utc("2026-03-29T05:00:00")


def test_an_end_that_the_clock_shows_twice_is_its_second_showing() -> None:
    hours = QuietHours(time(22), time(2, 30), PARIS)

    assert until(hours, "2026-10-25T00:45:00") == utc("2026-10-25T01:30:00")


def test_a_start_that_the_clock_shows_twice_is_its_first_showing() -> None:
    hours = QuietHours(time(2, 30), time(7), PARIS)

    assert next_start(hours, ZoneInfo(PARIS), now=utc("2026-10-25T00:00:00")) == utc("2026-10-25T00:30:00")
    assert until(hours, "2026-10-25T01:00:00") == utc("2026-10-25T06:00:00")


@pytest.mark.parametrize(
    ("hours_zone", "user_zone", "expected"),
    [(PARIS, "Asia/Tokyo", PARIS), (None, "Asia/Tokyo", "Asia/Tokyo"), (None, None, "UTC")],
)
def test_the_zone_is_that_of_the_hours_then_the_users_then_utc(
    hours_zone: str | None, user_zone: str | None, expected: str
) -> None:
    assert str(zone_of(QuietHours(time(22), time(7), hours_zone), user_zone)) == expected


def test_a_zone_that_no_table_knows_any_more_counts_as_utc() -> None:
    assert zone_of(QuietHours(time(22), time(7), "Mars/Base"), None).utcoffset(utc("2026-01-01")) == timedelta()


def test_at_night_a_message_is_deferred_to_the_end_and_says_why() -> None:
    now = utc("2026-11-20T21:30:00")

    decision = rules.quiet(ORDERS, recipient(NIGHT), Channel.EMAIL, Priority.NORMAL, now=now, expires_at=FAR)

    assert (decision.verdict, decision.reason) == (Verdict.DEFER, Reason.QUIET_HOURS)
    assert decision.until == utc("2026-11-21T06:00:00")
    assert decision.inputs["local_time"] == "22:30"
    assert decision.inputs["timezone"] == PARIS


def test_what_expires_before_the_end_is_suppressed_and_says_so() -> None:
    now = utc("2026-11-20T21:30:00")

    decision = rules.quiet(
        ORDERS, recipient(NIGHT), Channel.EMAIL, Priority.NORMAL, now=now, expires_at=now + timedelta(hours=1)
    )

    assert (decision.verdict, decision.reason) == (Verdict.SUPPRESS, Reason.QUIET_HOURS)
    assert decision.inputs["expires_before_end"] is True


def test_who_wants_quiet_hours_to_drop_gets_nothing_later() -> None:
    hours = replace(NIGHT, mode=QuietMode.DROP)
    now = utc("2026-11-20T21:30:00")

    decision = rules.quiet(ORDERS, recipient(hours), Channel.EMAIL, Priority.NORMAL, now=now, expires_at=FAR)

    assert (decision.verdict, decision.reason) == (Verdict.SUPPRESS, Reason.QUIET_HOURS)


def test_critical_messages_may_disturb_at_night_and_are_never_looked_at_again() -> None:
    now = utc("2026-11-20T21:30:00")

    by_priority = rules.quiet(ORDERS, recipient(NIGHT), Channel.EMAIL, Priority.CRITICAL, now=now, expires_at=FAR)
    by_kind = rules.quiet(SECURITY, recipient(NIGHT), Channel.EMAIL, Priority.LOW, now=now, expires_at=FAR)

    assert by_priority.verdict is by_kind.verdict is Verdict.PASS
    assert rules.recheck_at(ORDERS, recipient(NIGHT), Priority.CRITICAL, now=now) is None
    assert rules.recheck_at(SECURITY, recipient(NIGHT), Priority.LOW, now=now) is None


def test_a_judgement_is_looked_at_again_when_the_next_night_begins() -> None:
    assert rules.recheck_at(ORDERS, recipient(NIGHT), Priority.NORMAL, now=utc("2026-11-20T12:00:00")) == utc(
        "2026-11-20T21:00:00"
    )
    assert rules.recheck_at(ORDERS, recipient(None), Priority.NORMAL, now=utc("2026-11-20T12:00:00")) is None


zones = st.sampled_from(["UTC", PARIS, "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia"])
walls = st.builds(time, st.integers(0, 23), st.integers(0, 59))
moments = st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))


@given(walls, walls, zones, moments)
def test_at_the_end_it_is_quiet_no_more_and_the_end_is_near(
    start: time, end: time, zone_name: str, now: datetime
) -> None:
    hours, zone = QuietHours(start, end), ZoneInfo(zone_name)

    ends_at = quiet_until(hours, zone, now=now)

    if ends_at is not None:
        assert now < ends_at <= now + timedelta(hours=50)
        assert quiet_until(hours, zone, now=ends_at) is None


@given(walls, walls, zones, moments)
def test_it_is_quiet_from_the_next_start_on_and_never_between_now_and_then_unless_now(
    start: time, end: time, zone_name: str, now: datetime
) -> None:
    hours, zone = QuietHours(start, end), ZoneInfo(zone_name)

    begins_at = next_start(hours, zone, now=now)

    if begins_at is None:
        assert start == end or quiet_until(hours, zone, now=now) is None
        return
    assert now < begins_at <= now + timedelta(hours=50)
    assert quiet_until(hours, zone, now=begins_at) is not None
    if quiet_until(hours, zone, now=now) is None:
        assert quiet_until(hours, zone, now=begins_at - timedelta(microseconds=1)) is None


@given(walls, walls, zones, moments)
def test_away_from_clock_changes_quiet_is_what_the_wall_clock_says(
    start: time, end: time, zone_name: str, now: datetime
) -> None:
    zone = ZoneInfo(zone_name)
    days = [now + timedelta(days=offset) for offset in (-2, -1, 0, 1, 2)]
    if len({day.astimezone(zone).utcoffset() for day in days}) > 1:
        return
    wall = now.astimezone(zone).time()
    by_the_wall = start <= wall < end if start <= end else wall >= start or wall < end

    assert (quiet_until(QuietHours(start, end), zone, now=now) is not None) == by_the_wall
