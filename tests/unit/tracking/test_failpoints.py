"""Failpoints: named by the environment, fatal at their time, free otherwise."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from domain.errors import Misconfigured
from plumbing.failpoints import Failpoint, arm, hits, parse, reach

ROOT = Path(__file__).parents[3]
PROGRAM = """
from plumbing.failpoints import Failpoint, reach
for n in range(3):
    print(n, flush=True)
    reach(Failpoint.WORKER_AFTER_SEND, ["anybody", f"deadly-{n}"])
"""


def test_names_times_and_words_are_read() -> None:
    armed = parse("worker.after_send, accept.before_commit:3, worker.before_send@deadly")

    assert armed == {
        Failpoint.WORKER_AFTER_SEND: 1,
        Failpoint.ACCEPT_BEFORE_COMMIT: 3,
        Failpoint.WORKER_BEFORE_SEND: "deadly",
    }


@pytest.mark.parametrize("text", ["worker.somewhere", "worker.after_send:soon"])
def test_an_unknown_name_stops_the_process_with_the_known_ones(text: str) -> None:
    with pytest.raises(Misconfigured, match=r"worker\.after_send"):
        parse(text)


def test_without_the_variable_nothing_happens() -> None:
    for failpoint in Failpoint:
        reach(failpoint)


@pytest.mark.parametrize(
    ("armed", "printed"),
    [("worker.after_send", "0"), ("worker.after_send:2", "0\n1"), ("worker.after_send@deadly-2", "0\n1\n2")],
)
def test_the_process_ends_without_clean_up_when_the_time_has_come(armed: str, printed: str) -> None:
    environment = {**os.environ, "CARILLON_FAILPOINTS": armed, "PYTHONPATH": str(ROOT)}

    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout.strip()) == (-signal.SIGKILL, printed)


def test_a_failpoint_that_is_armed_in_a_folder_ends_one_process_and_no_other(tmp_path: Path) -> None:
    environment = {**os.environ, "CARILLON_FAILPOINT_FOLDER": str(tmp_path), "PYTHONPATH": str(ROOT)}
    arm(tmp_path, Failpoint.WORKER_AFTER_SEND)
    before = hits(tmp_path)

    ended = [
        subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, check=False).returncode
        for _ in range(2)
    ]

    assert ended == [-signal.SIGKILL, 0]
    assert (before, hits(tmp_path)) == (set(), {Failpoint.WORKER_AFTER_SEND})
