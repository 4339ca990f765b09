"""The command as people have it: when it is asked to end, it leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from ops.stack.guardian import is_alive
from tests.house.rooms import ROOT

_WITHIN_S = 60.0


def test_a_run_that_is_ended_leaves_no_process_and_no_folder(tmp_path: Path) -> None:
    words = ("latency", "--rate", "20", "--seconds", "300", "--within", "300", "--devices", "10")
    with subprocess.Popen(
        [sys.executable, "-m", "ops.cli.main", "bench", *words],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            said = [process.stderr.readline() for _ in range(2)] if process.stderr is not None else []
            assert said[-1].startswith("carillon: 20/s: 6,000 notifications, at most "), said
            (run,) = tmp_path.glob("carillon-bench-*/platform/run.json")
            pids = list(json.loads(run.read_text())["pids"].values())
        finally:
            process.send_signal(signal.SIGTERM)
        code = process.wait(_WITHIN_S)

    assert code == 128 + signal.SIGTERM
    assert len(pids) > 8
    assert _alive(pids) == []
    assert list(tmp_path.glob("carillon-bench-*")) == []


def _alive(pids: list[int]) -> list[int]:
    deadline = time.monotonic() + 5
    while (left := [pid for pid in pids if is_alive(pid)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left
