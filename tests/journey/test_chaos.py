"""`carillon chaos`, its short form: everybody is killed, frozen and cut off under load, and all books agree."""

import json
import subprocess
from pathlib import Path

import pytest

from ops.chaos.blows import ROLES
from ops.chaos.checker import Finding
from ops.chaos.everything import SHORT
from plumbing.failpoints import Failpoint
from tests.journey.running import ROOT, carillon, environment

WITHIN_S = 400
"""Three minutes where nothing else runs."""


@pytest.mark.slow
def test_whoever_dies_nothing_is_lost_and_everything_is_explained(tmp_path: Path) -> None:
    done = subprocess.run(
        carillon("chaos", "--seed", "1"),
        cwd=ROOT,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    verdict = json.loads(done.stdout.partition("\n")[0])

    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {str(finding): verdict[finding] for finding in Finding} == dict.fromkeys(map(str, Finding), 0)
    assert verdict["verdict"] == "pass"
    figures = verdict["figures"]
    assert figures["requests"] >= SHORT.at_least
    assert figures["kills"] == sum(SHORT.kills.values()) + len(ROLES) + 1
    assert figures["failpoints_hit"] == len(Failpoint)
    assert figures["pushes_shown"] > 0
    assert figures["duplicates"] == figures["duplicates_explained"]


def test_a_scene_that_does_not_exist_is_refused_with_those_that_do(tmp_path: Path) -> None:
    done = subprocess.run(
        carillon("chaos", "nowhere"), cwd=ROOT, env=environment(tmp_path), capture_output=True, text=True, check=False
    )

    assert done.returncode == 2
    assert "everything" in done.stderr
