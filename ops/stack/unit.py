"""Something that runs here, a server or a role: its programs, and when it counts as ready."""

import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ops.stack.parts import NotStarted
from ops.stack.programs import Program, end, last_words, signal_group, spawn

_POLL_S = 0.02


@dataclass(slots=True)
class Unit:
    """Programs start in their order and stop in the reverse one; the last *is* the unit, the others accompany it."""

    label: str
    programs: tuple[Program, ...] = ()
    is_ready: Callable[[], bool] = field(default=lambda: True, repr=False)
    processes: "dict[str, subprocess.Popen[bytes]]" = field(default_factory=dict, repr=False)

    @property
    def pids(self) -> dict[str, int]:
        """The running programs, by name."""
        return {name: process.pid for name, process in self.processes.items() if process.poll() is None}

    @property
    def ended(self) -> dict[str, int]:
        """The programs that were started and have ended by themselves, with their exit codes."""
        codes = ((name, process.poll()) for name, process in self.processes.items())
        return {name: code for name, code in codes if code is not None}

    def start(self) -> None:
        """Start what does not run. Only from the main thread, see `spawn`."""
        for program in self.programs:
            process = self.processes.get(program.name)
            if process is None or process.poll() is not None:
                self.processes[program.name] = spawn(program)

    def await_ready(self, within_s: float = 60.0) -> None:
        """Block until it answers; NotStarted when a program ends or the time is over."""
        deadline = time.monotonic() + within_s
        while not self.is_ready():
            if self.programs and not self.processes:
                raise NotStarted(f"{self.label} was stopped while it started")
            for code in self.ended.values():
                raise NotStarted(f"{self.label} ended with code {code} while starting; {self._evidence()}")
            if time.monotonic() > deadline:
                raise NotStarted(f"{self.label} did not answer within {within_s:.0f} s; {self._evidence()}")
            time.sleep(_POLL_S)

    def stop(self, within_s: float = 8.0) -> None:
        """End the programs, last first, insisting after `within_s` each."""
        for program in reversed(self.programs):
            process = self.processes.pop(program.name, None)
            if process is not None:
                end(process, program.stop_signal, within_s=within_s)

    def kill(self) -> None:
        """`kill -9` of the unit as a crash would; what only accompanies it stays."""
        process = self.processes[self.programs[-1].name]
        signal_group(process.pid, signal.SIGKILL)
        process.wait()

    def _evidence(self) -> str:
        log = self.programs[-1].log
        words = last_words(log)
        return f"its log is {log}" + (f", which ends: {words}" if words else " (empty)")
