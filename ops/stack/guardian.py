"""The small process that outlives `up` by a moment: when `up` dies, however it dies, nothing of it stays.

`up` holds a pipe to it and tells it each process that starts: `PID SIGNAL`. At the end of the pipe every one of them
that still runs is asked to end by its signal, and killed with its group and children when it has not gone in time.
A standalone script on the standard library, so that it starts in a few milliseconds.
"""

import os
import signal
import sys
import time

_PATIENCE_S = 3.0
_POLL_S = 0.02


def main() -> None:
    """Listen until the pipe ends, then clear up."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    watched: dict[int, tuple[int, str]] = {}
    for line in sys.stdin:
        pid, stop = (int(word) for word in line.split())
        watched[pid] = (stop, began(pid))
    clear(watched)


def clear(watched: dict[int, tuple[int, str]]) -> None:
    """End all of `watched` (pid: stop signal and start time): asked first, killed after a few seconds."""
    ours = {pid: stop for pid, (stop, start) in watched.items() if start and began(pid) == start}
    family = {child for pid in ours for child in descendants(pid)}
    for pid, stop in ours.items():
        send(pid, stop)
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline and any(is_alive(pid) for pid in ours):
        time.sleep(_POLL_S)
    for pid in ours:
        if is_alive(pid):
            send_group(pid, signal.SIGKILL)
    for pid in family:
        if is_alive(pid):
            send(pid, signal.SIGKILL)


def began(pid: int) -> str:
    """When `pid` started, in words that differ for another process of the same number; empty when it is gone."""
    fields = _stat(pid)
    if fields:
        return fields[19]
    return "?" if is_alive(pid) else ""


def is_alive(pid: int) -> bool:
    """Whether `pid` still runs; a zombie that waits for its parent does not."""
    fields = _stat(pid)
    if fields:
        return fields[0] not in "ZX"
    if os.path.isdir("/proc/self"):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def descendants(pid: int) -> list[int]:
    """Children, their children and so on (Linux; elsewhere groups must do)."""
    found: list[int] = []
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for task in tasks:
        try:
            with open(f"/proc/{pid}/task/{task}/children") as file:
                children = [int(word) for word in file.read().split()]
        except OSError:
            continue
        for child in children:
            found += [child, *descendants(child)]
    return found


def send(pid: int, number: int) -> None:
    """A signal to one process; quietly when it is gone."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def send_group(pid: int, number: int) -> None:
    """A signal to the group that `pid` leads; quietly when it is gone."""
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name (which may hold anything): state first, start time the 20th."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].decode().split()
    except OSError:
        return []


if __name__ == "__main__":
    main()
