"""The scenario `door` measures what it says: on a whole platform, with the client that it needs."""

import json
import shutil
from pathlib import Path

import pytest

from ops.bench.platform_side import a_platform
from ops.bench.pushes import DoorPlan, measure_door
from plumbing.settings import Settings

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("h2load") is None, reason="needs h2load (Debian: nghttp2-client)"),
]


async def test_every_push_that_the_client_counts_as_taken_is_kept(tmp_path: Path) -> None:
    async with a_platform(Settings(_env_file=None), tmp_path / "data") as platform:
        figures = await measure_door(platform, platform.run, DoorPlan(pushes=300, devices=20), tmp_path)

    assert (figures.taken, figures.refused, figures.kept) == (300, 0, 300)
    assert figures.per_s > 0
    assert json.loads(json.dumps(figures.document()))["taken"] == 300
