"""Programs that only tests need, where this machine has them: a browser for the web client, promtool for the alerts."""

import os
import shutil
import subprocess
from enum import StrEnum
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / ".data" / "tools"
"""Where what was fetched for this checkout lies; nothing outside of it changes."""


class Tool(StrEnum):
    """A program and, by its name, Debian's package of it."""

    CHROMIUM = "chromium"
    PROMTOOL = "prometheus"

    @property
    def program(self) -> str:
        """What it is called in PATH."""
        return self.name.lower()

    @property
    def variable(self) -> str:
        """The environment variable that names another one."""
        return f"CARILLON_TEST_{self.name}"


def find_tool(tool: Tool, *, folder: Path = FOLDER) -> Path | None:
    """The one that was named in the environment, else that of PATH, else the one fetched; None where there is none."""
    named = os.environ.get(tool.variable)
    found = named or shutil.which(tool.program) or shutil.which(tool.program, path=str(folder))
    return Path(found) if found else None


def fetch(tool: Tool, *, folder: Path = FOLDER) -> str | None:
    """Take only the program out of Debian's package, so that no service of it starts; what went wrong, in words.

    Needs apt-get with lists of packages, and dpkg; no rights beyond those on the folder.
    """
    half = folder / f"{tool.program}.half"
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(parents=True)
    try:
        fault = run_quietly("apt-get", "download", "-qq", tool.value, folder=half)
        if fault is not None:
            return fault
        for package in half.glob("*.deb"):
            fault = run_quietly("dpkg", "-x", str(package), ".", folder=half)
        found = next(half.rglob(f"bin/{tool.program}"), None)
        if found is None:
            return fault or f"the package {tool} holds no {tool.program}"
        found.replace(folder / tool.program)
        return None
    finally:
        shutil.rmtree(half, ignore_errors=True)


def run_quietly(*command: str, folder: Path | None = None) -> str | None:
    """Run a program of Debian's; None when it went well, else the end of what it said."""
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    except OSError as error:
        return f"{command[0]}: {error.strerror}"
    return None if done.returncode == 0 else " ".join(done.stderr.split())[-200:] or f"{command[0]} failed"
