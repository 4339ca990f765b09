"""`carillon up` and its verbs, run as a person runs them, for journeys that need the whole platform."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Up:
    """One `carillon up`, with its data in `folder`."""

    folder: Path
    process: "subprocess.Popen[str]"
    output: Path

    @classmethod
    def start(cls, folder: Path, output: Path, *, stack: str, more: Mapping[str, str] | None = None) -> "Up":
        """Start it; its output goes to a file."""
        with output.open("w") as file:
            process = subprocess.Popen(
                carillon("up", "--stack", stack),
                cwd=ROOT,
                env=environment(folder, more),
                stdout=file,
                stderr=subprocess.STDOUT,
                text=True,
            )
        return cls(folder, process, output)

    @property
    def run(self) -> dict[str, Any]:
        """What run.json says now."""
        found: dict[str, Any] = json.loads((self.folder / "run.json").read_text())
        return found

    def await_healthy(self) -> dict[str, Any]:
        """Block until run.json is there; its content."""
        wait_until(lambda: (self.folder / "run.json").exists() or self.process.poll() is not None, 120, self.said)
        assert self.process.poll() is None, self.said()
        return self.run

    def said(self) -> str:
        """Everything it printed."""
        return self.output.read_text()

    def stop(self) -> None:
        """End it as Ctrl-C does."""
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(60)


def carillon(*args: str) -> list[str]:
    """The console script of this environment, wherever the working directory is."""
    return [sys.executable, "-m", "ops.cli.main", *args]


def environment(folder: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a fresh terminal: nothing of ours is set in it but the data folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CARILLON_")}
    return {**kept, "PYTHONPATH": str(ROOT), "CARILLON_DATA_PATH": str(folder), **(more or {})}


def ask(
    *args: str, folder: Path, cwd: Path = ROOT, more: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run a verb to its end."""
    return subprocess.run(
        carillon(*args),
        cwd=cwd,
        env=environment(folder, more),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def wait_until(condition: Callable[[], bool], within_s: float, tell: Callable[[], str]) -> None:
    """Await `condition`; fail with what `tell` says when the time is over."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, tell()
        time.sleep(0.05)
