"""The ledger of the simulated providers: what they truly took, line by line, on disk before any answer leaves.

It is the ground truth that tests and the demo compare our own records with.
"""

import asyncio
import json
import os
from collections import Counter
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self

from domain.clock import rfc3339, utc_now


class LedgerOutcome(StrEnum):
    """What a simulated provider did. Accepted and reset were taken; nothing else was."""

    ACCEPTED = "accepted"
    RESET = "reset"
    REJECTED = "rejected"
    DEFERRED = "deferred"
    THROTTLED = "throttled"
    DOWN = "down"
    HANGUP = "hangup"

    @property
    def is_taken(self) -> bool:
        """Whether the message reached its recipient."""
        return self in (LedgerOutcome.ACCEPTED, LedgerOutcome.RESET)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: `time` in RFC 3339, `message_id` the provider's own, `delivery_id` as the sender named it, else ""."""

    time: str
    provider: str
    recipient: str
    message_id: str
    delivery_id: str
    outcome: LedgerOutcome


class Ledger:
    """Appends entries; many that wait together share one fsync, in a thread."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._flusher: asyncio.Task[None] | None = None

    async def record(
        self, provider: str, recipient: str, outcome: LedgerOutcome, *, message_id: str, delivery_id: str
    ) -> Entry:
        """Write one entry; returns when it is on disk. OSError when it cannot be."""
        entry = Entry(rfc3339(utc_now()), provider, recipient, message_id, delivery_id, outcome)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((json.dumps(asdict(entry), ensure_ascii=False).encode() + b"\n", done))
        if self._flusher is None:
            self._flusher = asyncio.create_task(self._flush())
        await done
        return entry

    async def close(self) -> None:
        """Wait for what is being written, then close the file."""
        if self._flusher is not None:
            await self._flusher
        os.close(self._descriptor)

    async def _flush(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                await asyncio.to_thread(self._append, b"".join(line for line, _ in batch))
            except OSError as error:
                _end_all(batch, error)
            else:
                _end_all(batch, None)
        self._flusher = None

    def _append(self, lines: bytes) -> None:
        while lines:
            lines = lines[os.write(self._descriptor, lines) :]
        os.fsync(self._descriptor)


@dataclass(frozen=True, slots=True)
class LedgerReader:
    """A ledger as read at one moment. A torn last line (the provider was killed while writing) is left out."""

    entries: tuple[Entry, ...]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the whole file; no file reads as no entries. ValueError for a broken line that is not the last."""
        raw = path.read_bytes() if path.exists() else b""
        lines = raw.split(b"\n")[:-1]
        return cls(tuple(_entry(line) for line in lines if line))

    def taken(self) -> Counter[str]:
        """How often each delivery was taken, by delivery id: above 1 is a duplicate."""
        return Counter(entry.delivery_id for entry in self.entries if entry.outcome.is_taken)

    def of(self, delivery_id: str) -> tuple[Entry, ...]:
        """All entries about one delivery, oldest first."""
        return tuple(entry for entry in self.entries if entry.delivery_id == delivery_id)

    def outcomes(self) -> Counter[LedgerOutcome]:
        """How many entries there are of each outcome."""
        return Counter(entry.outcome for entry in self.entries)


def _end_all(batch: list[tuple[bytes, asyncio.Future[None]]], error: OSError | None) -> None:
    for _, done in batch:
        if done.done():
            continue
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)


def _entry(line: bytes) -> Entry:
    document = json.loads(line)
    return Entry(**{**document, "outcome": LedgerOutcome(document["outcome"])})
