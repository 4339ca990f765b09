"""The whole suite as pytest processes, in turns, and those of one turn side by side; each has servers of its own.

The words of a turn's first are shown as they come, those of the others after it, and a last line says how each of them
ended. Tests of a room or two mostly wait, so two streams of them share two cores; journeys start whole platforms, and
beside the rest they made tests that count on time fail.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ops.cli.door import say

INTERRUPTED = 130
_LOOK_S = 0.1
_FAREWELL_S = 60.0
"""How long tests that were interrupted may take to end their servers."""


@dataclass(frozen=True)
class Stream:
    """One process: its name for people, and its command."""

    name: str
    command: tuple[str, ...]


@dataclass(frozen=True)
class _Life:
    stream: Stream
    process: "subprocess.Popen[bytes]"
    words: Path | None
    """Where they are kept until their turn; None when they are shown as they come."""


_HALF = (
    "tests/unit",
    "tests/house",
    "tests/contracts",
    *(f"tests/integration/{room}" for room in ("apns", "bench", "gateway", "plumbing", "push", "stack", "webclient")),
)
"""About half of the time of all that is no journey."""


def whole_suite(pytest: str) -> list[list[Stream]]:
    """The turns: most tests as two streams, then the journeys, then what measures time."""
    colour = ("--color=yes",) if sys.stdout.isatty() else ()
    rest = tuple(f"--ignore={folder}" for folder in (*_HALF, "tests/journey"))
    return [
        [
            Stream("rules, contracts and push", (pytest, *colour, "-m", "not alone", *_HALF)),
            Stream("everything else", (pytest, *colour, "-m", "not alone", "tests", *rest)),
        ],
        [Stream("journeys", (pytest, *colour, "-m", "not alone", "tests/journey"))],
        [Stream("tests that measure time", (pytest, *colour, "-m", "alone"))],
    ]


def run_in_turn(turns: Sequence[Sequence[Stream]], root: Path) -> int:
    """Run the streams of each turn side by side, in the folder `root`; the highest exit code, 130 when interrupted."""
    began_s, codes = time.monotonic(), dict[str, int]()
    with tempfile.TemporaryDirectory(prefix="carillon-words-") as folder, _sigterm_interrupts():
        try:
            for streams in turns:
                codes |= _run_together(streams, root, Path(folder))
        except KeyboardInterrupt:
            say("interrupted")
            return INTERRUPTED
    ends = [f"{name} {'passed' if code == 0 else f'FAILED ({code})'}" for name, code in codes.items()]
    say(f"{', '.join(ends)}; {(time.monotonic() - began_s) / 60:.1f} min")
    return max(abs(code) for code in codes.values())


def _run_together(streams: Sequence[Stream], root: Path, folder: Path) -> dict[str, int]:
    lives: list[_Life] = []
    try:
        for stream in streams:
            lives.append(_start(stream, root, folder / f"{len(lives)}.txt" if lives else None))
        for life in lives:
            _show(life)
        return {life.stream.name: life.process.returncode for life in lives}
    finally:
        _end(lives)


def _start(stream: Stream, root: Path, words: Path | None) -> _Life:
    """In a process group of its own: Ctrl-C reaches it once, through us, and it ends its servers in peace."""
    with words.open("wb") if words is not None else contextlib.nullcontext() as kept:
        process = subprocess.Popen(
            stream.command,
            cwd=root,
            stdin=subprocess.DEVNULL,
            stdout=kept,
            stderr=kept,
            process_group=0,
        )
    return _Life(stream, process, words)


def _show(life: _Life) -> None:
    """Pass on what it says until it has ended."""
    if life.words is None:
        life.process.wait()
        return
    say(f"{life.stream.name}:")
    with life.words.open(errors="replace") as words:
        has_ended = False
        while not has_ended:
            has_ended = life.process.poll() is not None
            shutil.copyfileobj(words, sys.stdout)
            sys.stdout.flush()
            time.sleep(0 if has_ended else _LOOK_S)


def _end(lives: Sequence[_Life]) -> None:
    """Interrupt what still runs, and wait until it has put its servers away."""
    running = [life.process for life in lives if life.process.poll() is None]
    for process in running:
        process.send_signal(signal.SIGINT)
    deadline_s = time.monotonic() + _FAREWELL_S
    for process in running:
        try:
            process.wait(max(0.0, deadline_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """SIGTERM does what Ctrl-C does; and Ctrl-C works also where a shell had it ignored, here and in children."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
