"""The scenario `door` measures what it says: on a whole platform, with the client that it needs."""

import json
import shutil
from pathlib import Path

import pytest

from ops.bench.platform_peer import PlatformPeer
from ops.bench.pushes import DoorPlan, measure_door

pytestmark = pytest.mark.skipif(shutil.which("h2load") is None, reason="needs h2load (Debian: nghttp2-client)")


async def test_every_push_that_the_client_counts_as_taken_is_kept_and_at_rest(
    peer: PlatformPeer, tmp_path: Path
) -> None:
    figures = await measure_door(peer.side, peer.side.run, DoorPlan(pushes=300, devices=20), tmp_path)

    assert (figures.taken, figures.refused, figures.kept) == (300, 0, 300)
    assert figures.statuses == {"stored": 300}
    assert figures.per_s > 0
    assert json.loads(json.dumps(figures.document()))["taken"] == 300
