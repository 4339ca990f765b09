"""Money, dates and times as readers see them."""

import pytest

from domain.content import SmsContent
from domain.errors import Permanent
from domain.lanes import Channel
from domain.reasons import Reason
from templates.render import Person, render
from tests.unit.templates.conftest import Write


def _say(write: Write, expression: str, value: object, timezone: str | None = None) -> str:
    message = write({"sms.txt": "{{ " + expression + " }}"})
    person = Person(None, timezone, None)
    content = render(message, Channel.SMS, {"x": value}, locale=None, person=person, unsubscribe_url=None)
    assert isinstance(content, SmsContent)
    return content.text


@pytest.mark.parametrize(
    ("value", "currency", "expected"),
    [
        (1234.5, "EUR", "1,234.50 EUR"),
        ("0.005", "USD", "0.01 USD"),
        (-3, "GBP", "-3.00 GBP"),
        (1500, "JPY", "1,500 JPY"),
        ("1.2345", "KWD", "1.235 KWD"),
        (2, "", "2.00"),
    ],
)
def test_money_is_written_as_its_currency_counts(write: Write, value: object, currency: str, expected: str) -> None:
    assert _say(write, f'x|money("{currency}")', value) == expected


@pytest.mark.parametrize(
    ("expression", "value", "timezone", "expected"),
    [
        ("x|date", "2026-03-01T23:30:00Z", "Asia/Tokyo", "2026-03-02"),
        ("x|date", "2026-03-01T23:30:00Z", None, "2026-03-01"),
        ("x|date", "2026-03-01", "UTC", "2026-03-01"),
        ("x|date('%-d %B %Y')", "2026-03-01T00:30:00+02:00", "Europe/Helsinki", "1 March 2026"),
        ("x|time", "2026-07-01T12:00:00Z", "Europe/Paris", "14:00"),
        ("x|time", "2026-07-01T12:00:00Z", "Mars/Olympus", "12:00"),
        ("x|time", "2026-07-01T12:00:00Z", "../../etc/passwd", "12:00"),
        ("x|date", 0, "America/New_York", "1969-12-31"),
    ],
)
def test_a_moment_is_told_in_the_zone_of_the_reader(
    write: Write, expression: str, value: object, timezone: str | None, expected: str
) -> None:
    assert _say(write, expression, value, timezone) == expected


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("x|money", "twelve-481516"),
        ("x|money", "NaN"),
        ("x|money", 1e300),
        ("x|money", True),
        ("x|date", "yesterday-481516"),
        ("x|date", 1e20),
        ("x|date", "0001-01-01T00:00:00+14:00"),
        ("x|date('%9Y')", 0),
        ("x|round(13)", 1.0),
    ],
)
def test_what_does_not_fit_a_filter_is_an_error_that_keeps_the_value_to_itself(
    write: Write, expression: str, value: object
) -> None:
    with pytest.raises(Permanent) as raised:
        _say(write, expression, value)

    assert raised.value.reason is Reason.TEMPLATE_ERROR
    assert "481516" not in raised.value.answer


@pytest.mark.parametrize(("value", "expected"), [("a", "a"), (None, "-"), ("", ""), (0, "0")])
def test_a_default_stands_in_for_what_is_missing_or_null(write: Write, value: object, expected: str) -> None:
    assert _say(write, "'[' ~ x|default('-') ~ ']'", value) == f"[{expected}]"
    assert _say(write, "'[' ~ y|d('-') ~ ']'", value) == "[-]"
