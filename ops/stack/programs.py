"""One program that we run: how it is started, asked to stop, ended, and how it dies with its parent."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ops.stack.accounts import Account

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_TAIL_BYTES = 2_000


@dataclass(frozen=True, slots=True)
class Program:
    """A command line with what it needs. `stop_signal` asks it to end cleanly; `name` is how `ps` and logs call it."""

    name: str
    argv: tuple[str, ...]
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    account: Account | None = None
    stop_signal: signal.Signals = signal.SIGTERM


def spawn(program: Program) -> "subprocess.Popen[bytes]":
    """Start `program` in a session of its own, so that a Ctrl-C in the terminal reaches only us.

    Call it from the main thread: on Linux the kernel ends the child when the *thread* that started it ends.
    """
    account = program.account
    program.log.parent.mkdir(parents=True, exist_ok=True)
    with program.log.open("ab") as log:
        return subprocess.Popen(
            program.argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **program.env},
            cwd=program.cwd,
            start_new_session=True,
            user=None if account is None else account.uid,
            group=None if account is None else account.gid,
            extra_groups=None if account is None else [],
            preexec_fn=_Leash(program.stop_signal) if _LIBC else None,  # one system call, no locks
        )


def last_words(log: Path, *, lines: int = 3) -> str:
    """The last lines of a log on one line, for an error message; empty when there are none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    kept = [line.strip() for line in text.splitlines() if line.strip()]
    return " | ".join(kept[-lines:])


def signal_group(pid: int, sig: signal.Signals) -> None:
    """Send `sig` to the process group that `pid` leads; quietly when it is gone already."""
    try:
        os.killpg(pid, sig)
    except (ProcessLookupError, PermissionError):
        return


def end(process: "subprocess.Popen[bytes]", stop_signal: signal.Signals, *, within_s: float) -> bool:
    """Ask `process` to end, insist with SIGKILL after `within_s`; True when it went by itself."""
    if process.poll() is not None:
        return True
    process.send_signal(stop_signal)
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        signal_group(process.pid, signal.SIGKILL)
        process.wait()
        return False
    return True


@dataclass(frozen=True, slots=True)
class _Leash:
    """Runs between fork and exec: the kernel sends `sig` to the child when its parent dies (prctl(2))."""

    sig: signal.Signals

    def __call__(self) -> None:
        if _LIBC is not None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, int(self.sig), 0, 0, 0)
