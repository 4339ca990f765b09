"""The scenario `gateway` measures what it says, on the yardstick and on the platform: a small crowd on each."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from ops.bench.gateway import Figures, Plan, measure
from ops.bench.platform_peer import PlatformPeer
from ops.bench.report import show
from ops.bench.sides import a_relay

SMALL = Plan(devices=60, frames=3000, idle_s=0.5, per_s=200, sends_s=0.5, live_per_s=100, live_s=0.5)


@pytest.fixture(scope="module", params=[True, False], ids=["compressed", "plain"])
async def figures(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Figures:
    """Everything, measured once on each kind of relay."""
    async with a_relay(tmp_path_factory.mktemp("relay"), deflate=request.param) as side:
        return await measure(side, SMALL)


async def test_every_device_is_connected_and_everything_sent_is_heard_once(figures: Figures) -> None:
    assert (figures.devices, figures.storm_back) == (60, 60)
    assert (figures.sent, figures.arrived, figures.twice) == (100, 100, 0)
    assert figures.frames == 3000
    assert 0 < figures.latency_p50_ms <= figures.latency_p99_ms


async def test_a_storm_shows_what_a_relay_without_memory_forgets(figures: Figures) -> None:
    assert figures.storm_sent == 50
    assert 0 <= figures.storm_arrived <= 50


async def test_on_the_platform_nothing_is_lost_not_even_in_a_storm(peer: PlatformPeer) -> None:
    figures = await measure(peer.side, SMALL)

    assert (figures.devices, figures.storm_back) == (60, 60)
    assert (figures.sent, figures.arrived) == (100, 100)
    assert (figures.storm_sent, figures.storm_arrived) == (50, 50)
    assert figures.frames == 3000


async def test_the_figures_can_be_read_by_people_and_machines(figures: Figures, tmp_path: Path) -> None:
    page = Console(file=(tmp_path / "page.txt").open("w"), width=120)

    show(page, SMALL, [figures])
    page.file.close()

    assert "memory per idle connection" in (tmp_path / "page.txt").read_text()
    assert json.loads(json.dumps(figures.document()))["noise"]["best_ms"] > 0
