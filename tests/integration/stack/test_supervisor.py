"""The supervisor and its guardian, with small programs in place of servers."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ops.stack.guardian import is_alive
from ops.stack.parts import NotStarted
from ops.stack.programs import Program
from ops.stack.supervisor import Stage, Supervisor
from ops.stack.unit import Unit
from tests.journey.running import wait_until

ROOT = Path(__file__).resolve().parents[3]
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(99)"
)
FAMILY = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(99)'], start_new_session=True); print('up', flush=True); time.sleep(99)"  # noqa: E501  # one program, one line


def unit(name: str, code: str, folder: Path, *, word: str = "") -> Unit:
    """A Python program that is ready once its log holds `word`."""
    log = folder / f"{name}.log"
    log.touch()
    program = Program(name, (sys.executable, "-c", code), log)
    return Unit(name, (program,), lambda: word in log.read_text())


async def until(condition: Callable[[], bool], within_s: float = 30.0) -> None:
    """Await `condition`."""
    async with asyncio.timeout(within_s):
        while not condition():  # it is other processes that change it
            await asyncio.sleep(0.02)


async def test_what_dies_is_started_again_and_pids_are_kept_current(tmp_path: Path) -> None:
    said: list[str] = []
    changes: list[dict[str, int]] = []
    supervisor = Supervisor(said.append)
    supervisor.on_change = lambda: changes.append(supervisor.pids)
    supervisor.open()
    sleeper = unit("sleeper", "import time; time.sleep(99)", tmp_path)
    try:
        await supervisor.start(sleeper, Stage.ROLES)
        first = supervisor.pids["sleeper"]
        watching = asyncio.create_task(supervisor.watch())

        sleeper.kill()
        await until(lambda: bool(changes))

        assert changes[-1]["sleeper"] != first
        assert "sleeper (exit -9) ended; starting it again in 0.2 s" in said
        watching.cancel()
    finally:
        await supervisor.stop()
        supervisor.close()
    assert not is_alive(changes[-1]["sleeper"])


async def test_what_rests_is_not_started_again_until_it_is_woken(tmp_path: Path) -> None:
    said: list[str] = []
    supervisor = Supervisor(said.append)
    supervisor.open()
    watching = asyncio.create_task(supervisor.watch())
    try:
        await supervisor.start(unit("sleeper", "import time; time.sleep(99)", tmp_path), Stage.ROLES)

        await supervisor.rest("sleeper")
        await asyncio.sleep(0.3)  # longer than the supervisor looks away
        resting = dict(supervisor.pids)
        await supervisor.wake("sleeper")

        assert resting == {}
        assert is_alive(supervisor.pids["sleeper"])
        assert said == []
    finally:
        watching.cancel()
        await supervisor.stop()
        supervisor.close()


async def test_a_unit_that_ends_while_starting_says_how_its_log_ends(tmp_path: Path) -> None:
    supervisor = Supervisor(print)
    supervisor.open()
    try:
        with pytest.raises(NotStarted, match=r"broken ended with code 3 while starting; its log is .*: the reason"):
            await supervisor.start(
                unit("broken", "print('the reason', flush=True); raise SystemExit(3)", tmp_path, word="never"),
                Stage.ROLES,
            )
    finally:
        await supervisor.stop()
        supervisor.close()


async def test_a_unit_that_ignores_its_signal_is_killed_in_time(tmp_path: Path) -> None:
    supervisor = Supervisor(print)
    supervisor.open()
    await supervisor.start(unit("deaf", STUBBORN, tmp_path, word="deaf"), Stage.AROUND)
    pid = supervisor.pids["deaf"]
    began = time.monotonic()

    await supervisor.stop()

    supervisor.close()
    assert not is_alive(pid)
    assert time.monotonic() - began < 6


@pytest.mark.parametrize("code", [STUBBORN, FAMILY], ids=["deaf", "with children"])
def test_when_up_is_killed_the_guardian_ends_whatever_is_left(code: str, tmp_path: Path) -> None:
    guardian = subprocess.Popen(
        [sys.executable, "-I", "-S", str(ROOT / "ops/stack/guardian.py")], stdin=subprocess.PIPE, text=True
    )
    assert guardian.stdin is not None
    child = unit("child", code, tmp_path, word="\n")
    child.start()
    child.await_ready(60)
    pid = child.pids["child"]
    family = [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]

    guardian.stdin.write(f"{pid} {int(signal.SIGTERM)}\n")
    guardian.stdin.close()

    assert guardian.wait(30) == 0
    child.stop()
    wait_until(lambda: not any(is_alive(pid) for pid in family), 30, lambda: f"still alive of {family}")
