"""What a peer's program becomes: uvicorn with its API, or the worker of its manual; settings come by environment."""

import os
import sys


def setting(name: str, default: str) -> str:
    """`PEER_<NAME>`, as decision 0022 lists what was tried."""
    return os.environ.get(f"PEER_{name}", default)


def uvicorn(application: str) -> tuple[str, ...]:
    """The API, as its manual runs it in production."""
    where = ("--host", "127.0.0.1", "--port", setting("API_PORT", "0"))
    return ("uvicorn", application, *where, "--workers", setting("API_PROCESSES", "2"), *_QUIET)


def become(*command: str) -> None:
    """Run `python -m command` in place of this program."""
    os.execv(sys.executable, (sys.executable, "-m", *command))  # noqa: S606  # there is nothing of a shell in it


_QUIET = ("--no-access-log", "--log-level", "warning")
