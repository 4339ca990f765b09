"""Named places where a test may end the process as `kill -9` would; in production no name is set and nothing happens.

CARILLON_FAILPOINTS holds names by comma: `worker.after_send` ends the process at the first time it is reached,
`worker.after_send:3` at the third, and `worker.before_send@deadly` each time it is reached over something with that
word in it: so a delivery is made that kills whoever works it. It is for one process.

CARILLON_FAILPOINT_FOLDER names a folder, for a whole platform: a file `worker.after_send` in it ends the first process
that gets there, whichever that is, and only that one; the file is then called `worker.after_send.hit`.
"""

import os
import signal
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path

from domain.errors import Misconfigured

VARIABLE = "CARILLON_FAILPOINTS"
FOLDER_VARIABLE = "CARILLON_FAILPOINT_FOLDER"
_HIT = ".hit"


class Failpoint(StrEnum):
    """Every place at which a process can be ended, in the order of the journey."""

    ACCEPT_BEFORE_COMMIT = "accept.before_commit"
    ACCEPT_AFTER_COMMIT = "accept.after_commit"
    PLANNER_BEFORE_COMMIT = "planner.before_commit"
    PLANNER_AFTER_COMMIT = "planner.after_commit"
    RELAY_AFTER_CONFIRM = "relay.after_confirm"
    WORKER_AFTER_CLAIM = "worker.after_claim"
    WORKER_BEFORE_SEND = "worker.before_send"
    WORKER_AFTER_SEND = "worker.after_send"
    WORKER_AFTER_FINISH = "worker.after_finish"
    WORKER_BEFORE_ACK = "worker.before_ack"
    PUSH_AFTER_PUBLISH = "push.after_publish"
    PUSH_AFTER_STORE = "push.after_store"
    PUSH_BEFORE_HINT = "push.before_hint"
    WEBHOOK_AFTER_SEND = "webhook.after_send"
    SWEEPER_BEFORE_COMMIT = "sweeper.before_commit"
    REPLAY_BEFORE_COMMIT = "replay.before_commit"


def parse(text: str) -> dict[Failpoint, int | str]:
    """The failpoints named in `text`, each with how many times it must be reached, or with its word.

    Misconfigured for an unknown one.
    """
    armed: dict[Failpoint, int | str] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, word = part.partition("@")
        name, _, times = name.partition(":")
        try:
            armed[Failpoint(name)] = word or int(times or 1)
        except ValueError as error:
            known = ", ".join(Failpoint)
            raise Misconfigured(
                f"{VARIABLE} names {part!r}; known are {known}, each with an optional :times or @word"
            ) from error
    return armed


def arm(folder: Path, failpoint: Failpoint) -> None:
    """Let the next process that reaches `failpoint` end there; processes that run already are meant too."""
    (folder / failpoint).touch()


def hits(folder: Path) -> set[Failpoint]:
    """Those at which a process has ended."""
    return {failpoint for failpoint in Failpoint if (folder / f"{failpoint}{_HIT}").exists()}


_armed = parse(os.environ.get(VARIABLE, ""))
_folder = os.environ.get(FOLDER_VARIABLE)


def reach(failpoint: Failpoint, over: Iterable[str] = ()) -> None:
    """End this process at once, without any clean-up, when `failpoint` is armed and its time has come.

    `over`: what is in hand at this place, such as addresses.
    """
    if _folder is not None and _is_ours(_folder, failpoint):
        os.kill(os.getpid(), signal.SIGKILL)
    left = _armed.get(failpoint)
    if left is None:
        return
    if isinstance(left, str):
        is_time = any(left in one for one in over)
    else:
        _armed[failpoint] = left - 1
        is_time = left <= 1
    if is_time:
        os.kill(os.getpid(), signal.SIGKILL)


def _is_ours(folder: str, failpoint: Failpoint) -> bool:
    """Whether it was armed in the folder, and is not any more: to rename is to take it, and only one can."""
    try:
        os.rename(f"{folder}/{failpoint}", f"{folder}/{failpoint}{_HIT}")
    except OSError:
        return False
    return True
