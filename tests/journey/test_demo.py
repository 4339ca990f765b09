"""The demo and the shell's verbs, run as a newcomer runs them: they end well, are short, and leave nothing behind."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.simulated.ledger import LedgerReader
from tests.house.rooms import ROOT

WITHIN_S = 90
SCREEN_LINES = 40
CARILLON = (sys.executable, "-m", "ops.cli.main")
Completed = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def folder(server_folder: Path) -> Path:
    """A data folder of its own, which PostgreSQL's account may enter."""
    return server_folder / "demo"


@pytest.fixture(scope="module")
def environment(folder: Path) -> dict[str, str]:
    """Nothing set but the data folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CARILLON_")}
    return {**kept, "CARILLON_DATA_PATH": str(folder)}


@pytest.fixture(scope="module")
def once(environment: dict[str, str]) -> Completed:
    """One whole performance on the embedded stack, in an empty folder."""
    return _run(environment, "demo", "--once", "--stack", "embedded")


@pytest.fixture
def stays_up(environment: dict[str, str], once: Completed) -> "Iterator[subprocess.Popen[str]]":
    """A demo that has shown its scenes and waits for Ctrl-C."""
    command = [*CARILLON, "demo", "--stack", "embedded"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as demo:
        overdue = threading.Timer(WITHIN_S, demo.kill)
        overdue.start()
        assert demo.stdout is not None
        shown = []
        for line in demo.stdout:
            shown.append(line)
            if "It stays up" in line:
                break
        else:
            pytest.fail("the demo ended: " + "".join(shown))
        yield demo
        overdue.cancel()
        demo.kill()


def test_the_demo_ends_well_and_its_ledger_agrees(once: Completed, folder: Path) -> None:
    taken = LedgerReader.read(folder / "ledger.jsonl").taken()

    assert once.returncode == 0, once.stdout + once.stderr
    assert "the providers' own book agrees: 4 taken, 1 put off, 1 refused" in once.stdout
    assert sorted(taken.values()) == [1, 1, 1, 1]
    assert "its own log agrees: 3 shown; none missing, none twice" in once.stdout


def test_the_demo_fits_a_screen_and_says_what_is_not_there(once: Completed) -> None:
    lines = (once.stdout + once.stderr).splitlines()

    assert len(lines) <= SCREEN_LINES, once.stdout + once.stderr
    assert "channel_opt_out" in once.stdout
    assert "superseded" in once.stdout
    assert "Not yet" in once.stdout


def test_nothing_runs_once_the_demo_has_ended(once: Completed, folder: Path) -> None:
    assert once.returncode == 0
    assert _running_in(folder) == []
    assert not (folder / "run.json").exists()


def test_while_it_stays_up_the_shell_sends_shows_and_explains(
    stays_up: "subprocess.Popen[str]", environment: dict[str, str], folder: Path
) -> None:
    sent = _run(environment, "send", "--to", "user-42", "--template", "order_shipped", "--data", "order=A-7", "--watch")
    identifier = re.findall(r"notification ([0-9a-f-]{36})", sent.stdout)[0]
    status = _run(environment, "status", identifier)
    explained = _run(environment, "explain", identifier)
    foretold = _run(environment, "explain", "--user", "user-42", "--template", "order_shipped")
    refused = _run(environment, "send", "--to", "nobody-here", "--title", "Hi", "--body", "You")

    stays_up.send_signal(signal.SIGINT)
    stays_up.communicate(timeout=WITHIN_S)

    assert f"notification {identifier} completed" in sent.stdout
    assert re.search(r"sms\s+delivered", status.stdout)
    assert re.search(r"consent\s+email\s+pass", explained.stdout)
    assert re.search(r"consent\s+sms\s+pass", foretold.stdout), foretold.stderr
    assert refused.returncode == 2
    assert "unknown_recipient" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert stays_up.returncode == 0
    assert _running_in(folder) == []


def _run(environment: dict[str, str], *arguments: str) -> Completed:
    return subprocess.run(
        [*CARILLON, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )


def _running_in(folder: Path) -> list[str]:
    """The processes that were told to keep their data in `folder`."""
    told = f"CARILLON_DATA_PATH={folder}".encode()
    return [path.parent.name for path in Path("/proc").glob("[0-9]*/environ") if told in _read(path)]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
