"""The arithmetic of the scenarios `lanes` and `email`: waits, rates, shares and goals."""

import json
from datetime import UTC, datetime

import pytest

from domain.ids import uuid7
from ops.bench.email import EmailFigures, EmailPlan
from ops.bench.lanes import LanesFigures, LanesPlan, Way, way_of
from ops.bench.noise import Noise

QUIET = Noise(5.0, 6.0, 7.0, 0.0, 1.0)
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def way(*, p99_ms: float = 50.0, low_per_s: float) -> Way:
    return Way(waiting=10_000, urgent=160, p50_ms=10.0, p99_ms=p99_ms, worst_ms=p99_ms, low_per_s=low_per_s)


def test_a_wait_is_from_acceptance_to_the_provider_and_a_rate_what_it_took_meanwhile() -> None:
    began = NOW.timestamp()
    few = [str(uuid7(int((began + second) * 1000))) for second in range(4)]
    urgent = [(name, began + second + 0.01 * (second + 1), began + 9) for second, name in enumerate(few)]
    low = [(f"low-{number}", began, began - 1 + number * 0.5) for number in range(12)]

    found = way_of([*urgent, *low], few=set(few), waiting=12, began=began, ended=began + 4)

    assert (found.urgent, found.waiting) == (4, 12)
    assert (round(found.p50_ms), round(found.p99_ms), round(found.worst_ms)) == (20, 40, 40)
    assert found.low_per_s == 2.0


@pytest.mark.parametrize(
    ("lanes", "pool", "goals"),
    [
        (way(low_per_s=200), way(low_per_s=380), (True, True, True)),
        (way(low_per_s=200, p99_ms=100), way(low_per_s=380), (False, True, True)),
        (way(low_per_s=99), way(low_per_s=380), (True, False, False)),
        (way(low_per_s=150), way(low_per_s=380), (True, True, False)),
    ],
)
def test_the_goals_of_lanes_are_each_seen(lanes: Way, pool: Way, goals: tuple[bool, ...]) -> None:
    figures = LanesFigures(LanesPlan(slots=8, provider_s=0.02), QUIET, lanes, pool)

    assert tuple(figures.goals().values()) == goals
    assert str(figures).count("MISSED") == goals.count(False)
    assert json.loads(json.dumps(figures.document(), allow_nan=False))["share"] == lanes.low_per_s / 400


def test_the_ratio_of_email_is_the_median_of_its_turns() -> None:
    figures = EmailFigures(EmailPlan(), QUIET, alone_per_s=[100.0, 200.0, 100.0], carillon_per_s=[70.0, 100.0, 65.0])

    assert figures.ratio == 0.65
    assert "reached: 65%" in str(figures)
    assert json.loads(json.dumps(figures.document(), allow_nan=False))["ratios"] == [0.7, 0.5, 0.65]
