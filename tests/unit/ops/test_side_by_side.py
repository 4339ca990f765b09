"""The suite as processes side by side: their words stay apart, every exit code counts, Ctrl-C reaches each of them."""

import signal
import subprocess
import sys
from pathlib import Path

from tests.house.rooms import ROOT

_RUN = """
import sys
from pathlib import Path
from ops.cli.side_by_side import Stream, run_in_turn

def stream(name, code):
    return Stream(name, (sys.executable, "-c", code))

raise SystemExit(run_in_turn([[stream(*one) for one in turn] for turn in {turns!r}], Path(".")))
"""
_WAIT = """
import pathlib, sys, time
try:
    pathlib.Path("{name}.began").touch()
    time.sleep(60)
except KeyboardInterrupt:
    time.sleep(0.2)
    pathlib.Path("{name}.ended").touch()
    sys.exit(2)
"""

Turns = list[list[tuple[str, str]]]


def start(turns: Turns, folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", _RUN.format(turns=turns)],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_words_stay_apart_and_the_highest_code_is_the_answer(tmp_path: Path) -> None:
    slow = "import time; print('one', flush=True); time.sleep(0.3); print('two')"
    quick = "print('three'); raise SystemExit(1)"

    run = start([[("first", slow), ("second", quick)], [("last", "print('four')")]], tmp_path)
    said, _ = run.communicate(timeout=120)

    lines = [line for line in said.splitlines() if line]
    assert lines[:5] == ["one", "two", "carillon: second:", "three", "four"]
    assert lines[5].startswith("carillon: first passed, second FAILED (1), last passed; ")
    assert run.returncode == 1


def test_they_run_at_the_same_time(tmp_path: Path) -> None:
    met = "import pathlib, time\npathlib.Path('{0}').touch()\nwhile not pathlib.Path('{1}').exists(): time.sleep(0.01)"

    run = start([[("a", met.format("a", "b")), ("b", met.format("b", "a"))]], tmp_path)
    run.communicate(timeout=120)

    assert run.returncode == 0


def test_an_interruption_lets_all_of_them_end_in_order_and_begins_nothing_new(tmp_path: Path) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        folder = tmp_path / number.name
        folder.mkdir()
        turns = [[(name, _WAIT.format(name=name)) for name in ("a", "b")], [("c", _WAIT.format(name="c"))]]
        run = start(turns, folder)
        while not all((folder / f"{name}.began").exists() for name in ("a", "b")):
            assert run.poll() is None

        run.send_signal(number)
        said, _ = run.communicate(timeout=120)

        assert run.returncode == 130, said
        assert sorted(path.name for path in folder.iterdir()) == ["a.began", "a.ended", "b.began", "b.ended"]
