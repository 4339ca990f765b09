"""The scenarios `lanes` and `email` measure what they say: on a whole platform, with small counts."""

from pathlib import Path

import pytest

from ops.bench.email import EmailPlan, measure_email
from ops.bench.lanes import LanesPlan, a_scarce_platform, measure_lanes
from ops.bench.mails import a_mail_platform
from plumbing.settings import Settings

pytestmark = pytest.mark.slow


async def test_what_waits_is_low_and_urgent_ones_overtake_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CARILLON_WORKER_SLOTS", "CARILLON_SMTP_CONNECTIONS"):
        monkeypatch.setenv(name, "1")  # so that what the scenario sets is gone afterwards
    plan = LanesPlan(waiting=300, per_s=10, for_s=1, provider_s=0.05, slots=4)

    async with a_scarce_platform(Settings(_env_file=None), tmp_path / "data", plan) as (run, sink):
        figures = await measure_lanes(run, sink, plan)

    assert figures.lanes.urgent == figures.pool.urgent == 10
    assert min(figures.lanes.waiting, figures.pool.waiting) >= 200
    assert figures.lanes.p99_ms < figures.pool.p50_ms
    assert 0 < figures.lanes.low_per_s <= plan.capacity_per_s


async def test_every_email_of_a_turn_is_in_the_ledger_once(tmp_path: Path) -> None:
    async with a_mail_platform(Settings(_env_file=None), tmp_path / "data") as run:
        figures = await measure_email(run, EmailPlan(emails=60, connections=8, turns=2))

    assert len(figures.alone_per_s) == len(figures.carillon_per_s) == 2
    assert figures.ratio > 0
