"""Statements name this month's partitions when all their ids are of it, and only then."""

from datetime import UTC, datetime

import pytest

from domain.ids import notification_id
from tracking.claim import _CLAIM, _CLAIM_QUICKLY
from tracking.months import of_this_month
from tracking.sent import _ACKED, _SENT

NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)
DECEMBER = datetime(2026, 12, 1, tzinfo=UTC)


def made_at(moment: datetime, later_ms: int = 0) -> int:
    return int(moment.timestamp() * 1000) + later_ms


@pytest.mark.parametrize("statement", [_CLAIM, _CLAIM_QUICKLY, _SENT, _ACKED])
def test_a_statement_on_ids_of_this_month_opens_no_other(statement: str) -> None:
    first, last = notification_id(made_at(NOVEMBER)), notification_id(made_at(DECEMBER, -1))

    named = of_this_month(statement, first, last, now=DECEMBER.replace(month=11, day=30))

    assert "UPDATE deliveries_p202611 d" in named
    assert not any(f"{word} {table} " in named for word in ("UPDATE", "JOIN", "INTO") for table in ("deliveries",))
    assert "events (" not in named


@pytest.mark.parametrize(("low_ms", "high_ms", "now"), [(-1, 0, DECEMBER), (0, 0, NOVEMBER), (-2, -1, DECEMBER)])
def test_other_months_are_left_to_the_planner(low_ms: int, high_ms: int, now: datetime) -> None:
    low, high = notification_id(made_at(DECEMBER, low_ms)), notification_id(made_at(DECEMBER, high_ms))

    assert of_this_month(_CLAIM, low, high, now=now) == _CLAIM
