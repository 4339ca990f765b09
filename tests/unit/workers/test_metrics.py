"""Metrics: units in every name, present from zero, labels from closed sets."""

import re

from plumbing import metrics

UNITS = (
    "_total",
    "_seconds",
    "_deliveries",
    "_notifications",
    "_busy",
    "_state",
    "_is_leader",
    "_is_open",
    "_messages",
    "_webhooks",
)


def families() -> dict[str, str]:
    """Each metric's name and kind, as rendered."""
    return dict(re.findall(r"^# TYPE (\S+) (\S+)$", metrics.render().decode(), re.MULTILINE))


def test_every_name_is_ours_and_says_its_unit() -> None:
    names = [name for name in families() if not name.endswith("_created")]

    assert names
    for name in names:
        assert name.startswith(("carillon_", "apns_"))
        assert name.startswith("apns_") or name.endswith(UNITS), name  # those have their names from elsewhere


def test_every_counter_is_present_from_zero() -> None:
    text = metrics.render().decode()

    for name, kind in families().items():
        if kind == "counter":
            assert re.search(rf"^{name}(\{{[^}}]+\}})? \d", text, re.MULTILINE), name


def test_a_lane_without_traffic_has_its_line() -> None:
    assert b'carillon_retries_total{lane="sms.low"} ' in metrics.render()
