"""The environment that the peers' programs run in: made on demand from `locks/bench.txt`, and beside our own."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from domain.errors import Misconfigured

ROOT = Path(__file__).resolve().parents[3]
LOCK = ROOT / "locks" / "bench.txt"
FOLDER = ROOT / ".data" / "bench-venv"
_STAMP = "carillon-stamp.json"
_WITHIN_S = 900.0


def environment(say: Callable[[str], None], *, folder: Path = FOLDER, lock: Path = LOCK) -> Path:
    """The Python of an environment that equals the lock, blocking; Misconfigured when it cannot be had.

    pip installs it, for pip has been told where packages come from (index, mirror, certificates).
    """
    python = folder / "bin" / "python"
    stamp = {"folder": str(folder), "python": sys.version, "hash": sha256(lock.read_bytes()).hexdigest()}
    if not _is_made(folder / _STAMP, stamp):
        say(f"installing what is compared ({lock.name}) into {_shown(folder)}: a minute or two, once")
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _run(sys.executable, "-m", "venv", "--without-pip", str(folder))
        quiet = ("--quiet", "--disable-pip-version-check", "--no-input", "--retries", "1")
        pip = (sys.executable, "-m", "pip", "--python", str(python))  # ours, for theirs
        _run(*pip, "install", *quiet, "--require-hashes", "-r", str(lock))
        (folder / _STAMP).write_text(json.dumps(stamp))
    return python


def _is_made(path: Path, stamp: dict[str, str]) -> bool:
    try:
        return bool(json.loads(path.read_text()) == stamp)
    except (OSError, ValueError):
        return False


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_WITHIN_S)
    except subprocess.TimeoutExpired as error:
        raise Misconfigured(f"--compare: installing what is compared took more than {_WITHIN_S:.0f} s") from error
    if done.returncode != 0:
        words = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()] or ["no words"]
        last = next((line for line in reversed(words) if "ERROR" in line), words[-1])
        raise Misconfigured(f"--compare: what is compared cannot be installed (is there a network?): {last.strip()}")


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
