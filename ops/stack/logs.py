"""Reading the role logs: errors as they happen for the console of `up`, and `carillon logs`."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

_BLOCK_BYTES = 65_536


@dataclass(slots=True)
class Follower:
    """Gives the lines that were added to a log since the last look; begins at the end, or `tail_bytes` before it."""

    path: Path
    tail_bytes: int = 0
    _offset: int = field(default=-1)
    _rest: bytes = b""

    def read(self) -> list[str]:
        """Whole new lines, without their ends; at most 64 KiB at a time."""
        try:
            with self.path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                if self._offset < 0:
                    self._offset = max(0, size - self.tail_bytes)
                file.seek(min(self._offset, size))
                block = file.read(_BLOCK_BYTES)
                self._offset = file.tell()
        except OSError:
            self._offset = max(self._offset, 0)
            return []
        *lines, self._rest = (self._rest + block).split(b"\n")
        return [line.decode(errors="replace") for line in lines]


def as_error(line: str) -> str | None:
    """A log line of level error or worse, shortened for a console; None for any other line."""
    if not line.startswith("{"):
        return line if line.startswith("carillon: ") else None
    try:
        event = json.loads(line)
    except ValueError:
        return None
    if not isinstance(event, dict) or event.get("level") not in ("error", "critical"):
        return None
    words = [str(event.get("event", "error"))]
    words += [f"{name}={event[name]}" for name in ("error", "reason", "detail", "runbook") if event.get(name)]
    exception = str(event.get("exception") or "").strip().splitlines()
    return " ".join([*words, *exception[-1:]])
