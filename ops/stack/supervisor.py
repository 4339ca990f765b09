"""Keeps units running: starts them, tells the guardian, restarts what dies, and stops all of it in order."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import IO

from ops.stack.parts import NotStarted
from ops.stack.unit import Unit

_POLL_S = 0.25
_FIRST_BACKOFF_S = 0.2
_LONGEST_BACKOFF_S = 10.0
_HEALTHY_AFTER_S = 10.0
"""A unit that lived this long is restarted at once; one that dies younger waits twice as long each time."""


class Stage(IntEnum):
    """What needs what: stages stop from the last to the first, the units of one together."""

    TRUTH = 0
    AROUND = 1
    ROLES = 2


_STOP_WITHIN_S = {Stage.ROLES: 4.0, Stage.AROUND: 3.0, Stage.TRUTH: 2.0}
"""9 s in all. A worker that is cut short loses nothing: its leases run out and the sweeper finds the rows."""

AfterRestart = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class _Watched:
    unit: Unit
    stage: Stage
    after_restart: AfterRestart | None
    started_at: float
    is_starting: bool = True
    backoff_s: float = 0.0
    restart_at: float | None = None


@dataclass(slots=True)
class Supervisor:
    """All units of one `up`. `say` prints a line for people; `on_change` is called when pids have changed.

    Who kills units on purpose sets `longest_backoff_s` low.
    """

    say: Callable[[str], None]
    on_change: Callable[[], None] = lambda: None
    longest_backoff_s: float = _LONGEST_BACKOFF_S
    _watched: list[_Watched] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _guardian: "subprocess.Popen[str] | None" = None
    _told: set[int] = field(default_factory=set)

    def open(self) -> None:
        """Start the guardian, before anything it should guard."""
        script = Path(__file__).with_name("guardian.py")
        self._guardian = subprocess.Popen(
            [sys.executable, "-I", "-S", str(script)], stdin=subprocess.PIPE, text=True, start_new_session=True
        )

    @property
    def pids(self) -> dict[str, int]:
        """Everything that runs, by name."""
        return {name: pid for watched in self._watched for name, pid in watched.unit.pids.items()}

    async def start(
        self, unit: Unit, stage: Stage, *, within_s: float = 60.0, after_restart: AfterRestart | None = None
    ) -> None:
        """Start `unit` and wait until it is ready; from then on it is restarted whenever it dies."""
        watched = _Watched(unit, stage, after_restart, time.monotonic())
        self._watched.append(watched)
        unit.start()
        self._tell(unit)
        await asyncio.to_thread(unit.await_ready, within_s)
        watched.is_starting = False

    def is_ready(self, name: str) -> bool:
        """Whether the program of that name runs, and its unit was ready since it was started."""
        return any(
            name in watched.unit.pids and not watched.is_starting
            for watched in self._watched
            if name in watched.unit.processes
        )

    async def rest(self, name: str) -> None:
        """Stop the unit of that label, and leave it so until `wake`. KeyError when there is none."""
        watched = self._of(name)
        await asyncio.to_thread(watched.unit.stop, _STOP_WITHIN_S[watched.stage])
        self.on_change()

    async def wake(self, name: str, *, within_s: float = 30.0) -> None:
        """Start a unit that rests, and wait until it is ready."""
        watched = self._of(name)
        watched.is_starting = True
        watched.started_at = time.monotonic()
        watched.unit.start()
        self._tell(watched.unit)
        self.on_change()
        try:
            await asyncio.to_thread(watched.unit.await_ready, within_s)
        finally:
            watched.is_starting = False

    async def watch(self) -> None:
        """Restart what dies, until cancelled."""
        while True:
            now = time.monotonic()
            for watched in self._watched:
                self._look_after(watched, now)
            await asyncio.sleep(_POLL_S)

    async def stop(self) -> None:
        """Stop everything, stage by stage, within 9 s; whatever a stage leaves is killed."""
        for task in self._tasks:
            task.cancel()
        for stage in sorted(Stage, reverse=True):
            units = [watched.unit for watched in self._watched if watched.stage is stage]
            await asyncio.gather(*(asyncio.to_thread(unit.stop, _STOP_WITHIN_S[stage]) for unit in units))
        self._watched.clear()

    def close(self) -> None:
        """Let the guardian go: it ends what may be left, and itself."""
        if self._guardian is not None:
            self._pipe().close()
            self._guardian.wait()

    def _look_after(self, watched: _Watched, now: float) -> None:
        ended = watched.unit.ended
        if not ended or watched.is_starting:
            return
        if watched.restart_at is None:
            backoff_s = _next_backoff_s(watched.backoff_s, lived_s=now - watched.started_at)
            watched.backoff_s = min(backoff_s, self.longest_backoff_s)
            watched.restart_at = now + watched.backoff_s
            names = ", ".join(f"{name} (exit {code})" for name, code in ended.items())
            self.say(f"{names} ended; starting it again in {watched.backoff_s:.1f} s")
        if now >= watched.restart_at:
            watched.restart_at = None
            watched.started_at = now
            watched.is_starting = True
            watched.unit.start()
            self._tell(watched.unit)
            self.on_change()
            task = asyncio.create_task(self._see_it_ready(watched))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _see_it_ready(self, watched: _Watched) -> None:
        unit = watched.unit
        try:
            await asyncio.to_thread(unit.await_ready, 60.0)
        except NotStarted as error:
            self.say(str(error))
        else:
            self.say(f"{unit.label} runs again ({', '.join(f'{name} {pid}' for name, pid in unit.pids.items())})")
            if watched.after_restart is not None:
                await watched.after_restart()
        finally:
            watched.is_starting = False  # if it ended meanwhile, `watch` sees it and tries again

    def _of(self, name: str) -> _Watched:
        return {watched.unit.label: watched for watched in self._watched}[name]

    def _tell(self, unit: Unit) -> None:
        pipe = self._pipe()
        signals = {program.name: program.stop_signal for program in unit.programs}
        for name, pid in unit.pids.items():
            if pid not in self._told:
                pipe.write(f"{pid} {int(signals[name])}\n")
                self._told.add(pid)
        pipe.flush()

    def _pipe(self) -> IO[str]:
        if self._guardian is None or self._guardian.stdin is None:
            raise RuntimeError("open() comes first")
        return self._guardian.stdin


def _next_backoff_s(last_s: float, *, lived_s: float) -> float:
    if lived_s > _HEALTHY_AFTER_S:
        return 0.0
    return max(last_s * 2, _FIRST_BACKOFF_S)
