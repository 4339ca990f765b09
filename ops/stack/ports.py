"""Free TCP ports on the loopback interface."""

import fcntl
import os
import secrets
import socket
from pathlib import Path
from tempfile import gettempdir

HOST = "127.0.0.1"
_RANGE = range(20_000, 32_000)
"""Below the ports that Linux and macOS give to outgoing connections, so that none of those takes one meanwhile."""


def is_free(port: int, host: str = HOST) -> bool:
    """Whether a server could listen there now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port that was free a moment ago, at random, so that two stacks starting together rarely meet.

    By the kernel's dice: those of `random` fall alike where tests have sown them alike.
    """
    for _ in range(200):
        port = secrets.choice(_RANGE)
        if is_free(port):
            return port
    raise OSError(f"no free port on {HOST} between {_RANGE.start} and {_RANGE.stop}")


def prefer(port: int, host: str = HOST) -> int:
    """`port` if it is free and no other `up` has spoken for it, else some free one."""
    return port if is_free(port, host) and _speak_for(port) else free_port()


def _speak_for(port: int) -> bool:
    """Whether the port is ours until this process ends.

    Roles bind their ports seconds after they were chosen, and those of one account may share a port: without this, two
    platforms that start together would answer for each other. Only usual ports are spoken for, so few files are left.
    """
    path = Path(gettempdir()) / f"carillon-{os.getuid()}-port-{port}.lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError:
        return True  # nowhere to say it: then it is as free as it looks
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    return True  # the descriptor stays open: the kernel takes the lock back when the process ends
