"""Documents of preferences: read strictly, shown as they were given."""

from datetime import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import RequestRefused
from domain.lanes import OPEN_CHANNELS, Channel
from preferences.model import Preferences, QuietHours, QuietMode, is_timezone

WHOLE: dict[str, Any] = {
    "channels": {"email": True, "sms": False},
    "categories": {"marketing": {"email": False}, "orders": True},
    "quiet_hours": {"start": "22:00", "end": "07:30", "timezone": "Europe/Paris", "mode": "drop"},
    "unsubscribed": True,
}


def test_a_whole_document_is_read() -> None:
    chosen = Preferences.parse(WHOLE)

    assert chosen.channels == {Channel.EMAIL: True, Channel.SMS: False}
    assert chosen.categories == {"marketing": {Channel.EMAIL: False}, "orders": True}
    assert chosen.quiet_hours == QuietHours(time(22), time(7, 30), "Europe/Paris", QuietMode.DROP)
    assert chosen.unsubscribed


def test_an_empty_document_chooses_nothing() -> None:
    assert Preferences.parse({}) == Preferences()


def test_quiet_hours_defer_on_the_users_own_clock_unless_they_say_otherwise() -> None:
    chosen = Preferences.parse({"quiet_hours": {"start": "22:00", "end": "07:00"}})

    assert chosen.quiet_hours == QuietHours(time(22), time(7), None, QuietMode.DEFER)


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        ({"channels": []}, "/channels"),
        ({"channels": {"email": "no"}}, "/channels/email"),
        ({"channels": {"pigeon": False}}, "/channels/pigeon"),
        ({"categories": {"marketing": None}}, "/categories/marketing"),
        ({"categories": {"marketing": {"email": 0}}}, "/categories/marketing/email"),
        ({"categories": {"A/B": True}}, "/categories/A~1B"),
        ({"quiet_hours": {"start": "22:00"}}, "/quiet_hours/end"),
        ({"quiet_hours": {"start": "24:00", "end": "07:00"}}, "/quiet_hours/start"),
        ({"quiet_hours": {"start": "22:00", "end": 7}}, "/quiet_hours/end"),
        ({"quiet_hours": {"start": "22:00", "end": "07:00", "timezone": "Mars/Base"}}, "/quiet_hours/timezone"),
        ({"quiet_hours": {"start": "22:00", "end": "07:00", "timezone": "../../etc"}}, "/quiet_hours/timezone"),
        ({"quiet_hours": {"start": "22:00", "end": "07:00", "mode": "later"}}, "/quiet_hours/mode"),
        ({"quiet_hours": {"start": "22:00", "end": "07:00", "mode": ["defer"]}}, "/quiet_hours/mode"),
        ({"quiet_hours": {"start": "22:00", "end": "07:00", "days": []}}, "/quiet_hours/days"),
        ({"unsubscribed": 1}, "/unsubscribed"),
        ({"chanels": {}}, "/chanels"),
    ],
)
def test_each_fault_is_pointed_at(document: dict[str, Any], pointer: str) -> None:
    with pytest.raises(RequestRefused) as refused:
        Preferences.parse(document)

    assert refused.value.status == 422
    assert [fault.pointer for fault in refused.value.faults] == [pointer]


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(RequestRefused) as refused:
        Preferences.parse({"channels": {"email": 1}, "unsubscribed": 2})

    assert {fault.pointer for fault in refused.value.faults} == {"/channels/email", "/unsubscribed"}


def test_caps_are_not_there_yet_and_say_so() -> None:
    with pytest.raises(RequestRefused) as refused:
        Preferences.parse({"caps": {"per_day": 3}})

    assert refused.value.reason == "not_available_yet"
    assert refused.value.faults[0].pointer == "/caps"


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        ({"channels": {"in_app": False}}, "/channels/in_app"),
        ({"categories": {"orders": {"in_app": True}}, "nonsense": 1}, "/categories/orders/in_app"),
    ],
)
def test_a_channel_that_is_not_there_yet_is_never_taken_and_ignored(document: dict[str, Any], pointer: str) -> None:
    with pytest.raises(RequestRefused) as refused:
        Preferences.parse(document)

    assert refused.value.reason == "not_available_yet"
    assert refused.value.faults[0].pointer == pointer


def test_what_was_kept_is_read_back_though_its_zone_or_channel_is_unknown_now() -> None:
    hours = {"start": "22:00", "end": "07:00", "timezone": "Mars/Base", "mode": "drop"}

    chosen = Preferences.stored({"channels": {"email": False, "in_app": True}, "quiet_hours": hours})

    assert chosen.channels == {Channel.EMAIL: False}
    assert chosen.quiet_hours == QuietHours(time(22), time(7), "Mars/Base", QuietMode.DROP)


def test_folders_of_zones_are_no_zones() -> None:
    assert is_timezone("Europe/Paris")
    assert not any(is_timezone(name) for name in ("Europe", "", "/etc/localtime", "Europe/Paris\0", 3, None))


choices = st.dictionaries(st.sampled_from(OPEN_CHANNELS), st.booleans())
times = st.builds(time, st.integers(0, 23), st.integers(0, 59))
hours = st.builds(QuietHours, times, times, st.sampled_from([None, "UTC", "Asia/Tokyo"]), st.sampled_from(QuietMode))
documents = st.builds(
    Preferences,
    channels=choices,
    categories=st.dictionaries(st.from_regex(r"[a-z0-9][a-z0-9_.-]{0,20}", fullmatch=True), st.booleans() | choices),
    quiet_hours=st.none() | hours,
    unsubscribed=st.booleans(),
)


@given(documents)
def test_a_document_reads_back_to_the_same_preferences(chosen: Preferences) -> None:
    assert Preferences.parse(chosen.document()) == chosen
    assert Preferences.stored(chosen.document()) == chosen


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=10,
)
fields = st.sampled_from(["channels", "categories", "quiet_hours", "unsubscribed", "caps", "more"])


@given(st.dictionaries(fields, anything))
def test_whatever_json_comes_it_is_read_or_refused(document: dict[str, Any]) -> None:
    refusals = []
    try:
        Preferences.parse(document)
    except RequestRefused as refused:
        refusals.append(refused)

    assert all(refused.faults for refused in refusals)
