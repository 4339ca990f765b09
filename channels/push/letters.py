"""A letter: one push for one device, as a worker hands it to the mailbox and as the mailbox gives it out again."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

_COLLAPSE = "c:"
_SILENT = "s:silent"


@dataclass(frozen=True, slots=True)
class Letter:
    """One push to be kept: `payload` is JSON for the device. Not handed over before `not_before`.

    `is_folded_silent`: one silent push of many; without a collapse id of its own it replaces the one before it.
    `is_back`: it was handed to the device before and not acknowledged.
    """

    delivery_id: UUID
    tenant_id: UUID
    device_id: UUID
    wake: int
    collapse_id: str | None
    topic: str | None
    payload: bytes
    not_before: datetime
    expires_at: datetime
    is_folded_silent: bool = False
    is_back: bool = False

    @property
    def fold(self) -> str | None:
        """Of one device and fold only the newest is kept."""
        if self.collapse_id is not None:
            return f"{_COLLAPSE}{self.collapse_id}"
        return _SILENT if self.is_folded_silent else None


@dataclass(frozen=True, slots=True)
class StoredLetter:
    """A letter as it lies in the mailbox."""

    delivery_id: UUID
    device_id: UUID
    wake: int
    collapse_id: str | None
    topic: str | None
    payload: bytes
    expires_at: datetime
    stored_at: datetime


def read_letter(row: Mapping[str, Any]) -> StoredLetter:
    """A row of the mailbox as a letter."""
    fold: str | None = row["fold"]
    return StoredLetter(
        delivery_id=row["delivery_id"],
        device_id=row["device_id"],
        wake=row["wake"],
        collapse_id=fold.removeprefix(_COLLAPSE) if fold is not None and fold.startswith(_COLLAPSE) else None,
        topic=row["topic"],
        payload=row["payload"],
        expires_at=row["expires_at"],
        stored_at=row["stored_at"],
    )
