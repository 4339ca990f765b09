"""Dead letters past retention: gone with their edits and their trail, as the months of what they tell of are."""

from datetime import datetime

import asyncpg

from domain.ids import first_id_at

_LETTERS = """
WITH old AS MATERIALIZED (
  SELECT id FROM dead_letters WHERE id < $1 AND created_at < $2 ORDER BY id LIMIT $3 FOR UPDATE SKIP LOCKED),
edits AS (DELETE FROM dead_letter_edits e USING old WHERE e.letter_id = old.id)
DELETE FROM dead_letters l USING old WHERE l.id = old.id RETURNING l.id
"""
"""A delivery that died again renewed its letter: the id is old then, and the letter is not."""

_TRAIL = "DELETE FROM dead_letter_audit WHERE letter_id = ANY($1::uuid[])"
"""It only goes after its letter: before, the table refuses."""

_RUNS = """
WITH gone AS (
  DELETE FROM dead_letter_runs WHERE id = ANY(ARRAY(
    SELECT id FROM dead_letter_runs WHERE id < $1 AND finished_at IS NOT NULL ORDER BY id LIMIT $2)) RETURNING 1)
SELECT count(*)::int FROM gone
"""


async def forget(conn: asyncpg.Connection, before: datetime, *, limit: int) -> int:
    """Delete at most `limit` letters that died before, settled or not, and as many replays that ended; how many."""
    first = first_id_at(before)
    async with conn.transaction():
        gone = [row["id"] for row in await conn.fetch(_LETTERS, first, before, limit)]
        await conn.execute(_TRAIL, gone)
        runs: int = await conn.fetchval(_RUNS, first, limit)
    return max(len(gone), runs)
