"""Edits of dead letters, and discards: a new version beside the original, which is never lost; and a line in the trail.

What an edit says is sent when the letter is replayed, not before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from tracking.dead.hold import Held, Journey
from tracking.dead.trail import Act, Diff, Note, note

_ADD = """
INSERT INTO dead_letter_edits (letter_id, version, tenant_id, data, expires_at, created_by)
SELECT k.letter_id, k.version, $1, k.data, k.expires_at, $2
FROM unnest($3::uuid[], $4::int[], $5::bytea[], $6::timestamptz[]) k(letter_id, version, data, expires_at)
ON CONFLICT (letter_id, version) DO NOTHING
"""
_OF = """
SELECT version, data, expires_at, created_by, created_at FROM dead_letter_edits
WHERE letter_id = $1 AND tenant_id = $2 ORDER BY version DESC LIMIT $3
"""
_SETTLE = """
UPDATE dead_letters SET settled_at = now(), settlement = $2 WHERE id = ANY($1::uuid[]) AND settled_at IS NULL
"""
MAX_SHOWN = 50
PLATFORM = "carillon"
"""Who made version 0: accept."""


@dataclass(slots=True)
class Revision:
    """What an edit makes of a letter: all of its words, when it is over, and what differs from before."""

    letter_id: UUID
    journey: Journey
    data: bytes
    expires_at: datetime
    diff: Diff


@dataclass(slots=True)
class Edit:
    """One version of a letter's words; 0 is the original."""

    version: int
    data: bytes
    expires_at: datetime
    created_by: str
    created_at: datetime


async def revise(
    conn: asyncpg.Connection, tenant_id: UUID, revisions: Sequence[Revision], *, who: str, why: str | None
) -> None:
    """Keep these versions, of letters that the caller holds; the first of a letter brings its original along."""
    fresh = [one for one in revisions if one.journey.version == 0]
    if not revisions:
        return
    if fresh:
        originals = [(one.letter_id, 0, one.journey.data, one.journey.expires_at) for one in fresh]
        await conn.execute(_ADD, tenant_id, PLATFORM, *zip(*originals, strict=True))
    rows = [(one.letter_id, one.journey.version + 1, one.data, one.expires_at) for one in revisions]
    await conn.execute(_ADD, tenant_id, who, *zip(*rows, strict=True))
    await note(conn, tenant_id, [Note(one.letter_id, Act.EDITED, why, one.diff) for one in revisions], who=who)


async def edits_of(conn: asyncpg.Connection, tenant_id: UUID, letter_id: UUID) -> list[Edit]:
    """The versions of a letter's words, newest first; none when nobody edited it."""
    return [
        Edit(row["version"], bytes(row["data"]), row["expires_at"], row["created_by"], row["created_at"])
        for row in await conn.fetch(_OF, letter_id, tenant_id, MAX_SHOWN)
    ]


async def settle(conn: asyncpg.Connection, letter_ids: Sequence[UUID], act: Act) -> None:
    """Settle these open letters, which the caller holds."""
    await conn.execute(_SETTLE, letter_ids, str(act))


async def discard(conn: asyncpg.Connection, tenant_id: UUID, held: Sequence[Held], *, who: str, why: str) -> int:
    """Settle those of these held letters that are open, with who and why; how many. Twice is once."""
    ids = [one.id for one in held if not one.is_settled]
    if ids:
        await settle(conn, ids, Act.DISCARDED)
        await note(conn, tenant_id, [Note(one, Act.DISCARDED, why) for one in ids], who=who)
    return len(ids)
