"""How quiet the machine is: the same small loop, timed again and again; and how long its disk takes to be sure.

Figures without it say little. What is accepted is on the disk before the answer, so no way is shorter than that.
"""

import os
import statistics
import tempfile
import time
from dataclasses import dataclass

_TURNS = 40
_LOOP = 200_000
_SYNCS = 20


@dataclass(frozen=True, slots=True)
class Noise:
    """How long the loop took, in milliseconds, the machine's load over the last minute, and an fsync in the middle."""

    best_ms: float
    median_ms: float
    worst_ms: float
    load: float
    fsync_ms: float

    def __str__(self) -> str:
        return (
            f"the same loop took {self.best_ms:.1f} ms at best, {self.median_ms:.1f} in the middle, "
            f"{self.worst_ms:.1f} at worst; load {self.load:.1f} on {os.cpu_count()} cores; "
            f"an fsync {self.fsync_ms:.1f} ms"
        )


def listen(turns: int = _TURNS) -> Noise:
    """Time the loop so many times; takes less than a second on a quiet machine."""
    took_ms = sorted(_turn_ms() for _ in range(turns))
    return Noise(took_ms[0], statistics.median(took_ms), took_ms[-1], os.getloadavg()[0], _fsync_ms())


def _turn_ms() -> float:
    began = time.perf_counter()
    count = 0
    for number in range(_LOOP):
        count += number & 3
    return (time.perf_counter() - began) * 1000


def _fsync_ms() -> float:
    took_ms = []
    with tempfile.TemporaryFile() as file:
        for _ in range(_SYNCS):
            file.write(b"a line of a log\n")
            file.flush()
            began = time.perf_counter()
            os.fsync(file.fileno())
            took_ms.append((time.perf_counter() - began) * 1000)
    return statistics.median(took_ms)
