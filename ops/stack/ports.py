"""Free TCP ports on the loopback interface."""

import random
import socket

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
    """A port that was free a moment ago, at random, so that two stacks starting together rarely meet."""
    for _ in range(200):
        port = random.choice(_RANGE)
        if is_free(port):
            return port
    raise OSError(f"no free port on {HOST} between {_RANGE.start} and {_RANGE.stop}")


def prefer(port: int, host: str = HOST) -> int:
    """`port` if it is free, else some free one."""
    return port if is_free(port, host) else free_port()
