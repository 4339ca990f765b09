"""The trail of what people did with dead letters: who, when, what, why. It is only ever added to."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from domain.ids import uuid7

_ADD = """
INSERT INTO dead_letter_audit (id, tenant_id, letter_id, who, what, why, diff, run_id)
SELECT k.id, $1, k.letter_id, $2, k.what, k.why, k.diff::jsonb, $3
FROM unnest($4::uuid[], $5::uuid[], $6::text[], $7::text[], $8::text[]) k(id, letter_id, what, why, diff)
"""
_OF = """
SELECT created_at, who, what, why, diff::text AS diff, run_id
FROM dead_letter_audit WHERE letter_id = $1 AND tenant_id = $2 ORDER BY id LIMIT $3
"""
MAX_SHOWN = 200

Diff = list[dict[str, Any]]
"""Operations as in RFC 6902, each with `was`, the value before."""


class Act(StrEnum):
    """What can be done with a letter."""

    REVEALED = "revealed"
    EDITED = "edited"
    REPLAYED = "replayed"
    REFUSED = "refused"
    DISCARDED = "discarded"


@dataclass(slots=True)
class Note:
    """One thing that is to be noted about a letter."""

    letter_id: UUID
    what: Act
    why: str | None = None
    diff: Diff | None = None


@dataclass(slots=True)
class Noted:
    """One line of a letter's trail; `who` is the prefix of an API key."""

    at: datetime
    who: str
    what: Act
    why: str | None
    diff: Diff | None
    run_id: UUID | None


async def note(
    conn: asyncpg.Connection, tenant_id: UUID, notes: Sequence[Note], *, who: str, run_id: UUID | None = None
) -> None:
    """Add these to the trail, in the caller's transaction."""
    if not notes:
        return
    await conn.execute(
        _ADD,
        tenant_id,
        who,
        run_id,
        [uuid7() for _ in notes],
        [one.letter_id for one in notes],
        [str(one.what) for one in notes],
        [one.why for one in notes],
        [msgspec.json.encode(one.diff).decode() if one.diff is not None else None for one in notes],
    )


async def trail_of(conn: asyncpg.Connection, tenant_id: UUID, letter_id: UUID) -> list[Noted]:
    """What was done with a letter, oldest first; the first 200 of it."""
    return [
        Noted(
            row["created_at"],
            row["who"],
            Act(row["what"]),
            row["why"],
            msgspec.json.decode(row["diff"]) if row["diff"] else None,
            row["run_id"],
        )
        for row in await conn.fetch(_OF, letter_id, tenant_id, MAX_SHOWN)
    ]
