"""Empties the past of a person who was erased: words, answers and evidence go; ids, statuses and reasons stay.

So figures close, a repeated request still gets its first answer, and nobody can read who it was. Doing it twice changes
nothing more.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from domain.ids import delivery_range

_PAGE = "SELECT id, decisions FROM notifications WHERE user_id = $1 AND id > $2 ORDER BY id LIMIT $3"
_EMPTY = """
WITH emptied AS (
  UPDATE notifications n SET data = '{}', decisions = k.decisions, collapse_id = NULL, dedupe_key = NULL,
    reference = NULL, locale = NULL
  FROM unnest($1::uuid[], $2::bytea[]) k(id, decisions)
  WHERE n.id = k.id AND (n.data <> '{}' OR n.decisions <> k.decisions
    OR num_nonnulls(n.collapse_id, n.dedupe_key, n.reference, n.locale) > 0) RETURNING 1)
SELECT count(*)::int FROM emptied
"""
_DELIVERIES = """
SELECT d.id, d.provider_id FROM unnest($1::uuid[], $2::uuid[]) k(low, high)
CROSS JOIN LATERAL (SELECT id, provider_id FROM deliveries WHERE id > k.low AND id <= k.high ORDER BY id LIMIT 65535) d
"""
_FORGET_PROVIDER_IDS = """
WITH emptied AS (UPDATE deliveries d SET provider_id = NULL FROM unnest($1::uuid[]) k(id) WHERE d.id = k.id RETURNING 1)
SELECT count(*)::int FROM emptied
"""
_EVENTS = """
SELECT e.delivery_id, e.at, e.kind, e.attempt, e.detail FROM unnest($1::uuid[]) k(id)
CROSS JOIN LATERAL (SELECT * FROM events WHERE delivery_id = k.id AND detail IS NOT NULL OFFSET 0) e
"""
_EMPTY_EVENTS = """
WITH emptied AS (
  UPDATE events e SET detail = k.detail
  FROM unnest($1::uuid[], $2::timestamptz[], $3::smallint[], $4::smallint[], $5::bytea[])
    k(delivery_id, at, kind, attempt, detail)
  WHERE e.delivery_id = k.delivery_id AND e.at = k.at AND e.kind = k.kind AND e.attempt = k.attempt RETURNING 1)
SELECT count(*)::int FROM emptied
"""
_EMPTY_LETTERS = """
WITH emptied AS (
  UPDATE dead_letters l SET detail = '', evidence = '{}', fingerprint = split_part(l.fingerprint, '|', 1) || '|erased|-'
  FROM unnest($1::uuid[]) k(id)
  WHERE l.delivery_id = k.id AND (l.detail <> '' OR l.evidence <> '{}' OR l.fingerprint NOT LIKE '%|erased|-')
  RETURNING 1)
SELECT count(*)::int FROM emptied
"""
_EMPTY_EDITS = """
UPDATE dead_letter_edits e SET data = '{}' FROM dead_letters l
WHERE l.delivery_id = ANY($1::uuid[]) AND e.letter_id = l.id AND e.data <> '{}'
"""
_EMPTY_TRAIL = """
UPDATE dead_letter_audit a SET diff = NULL FROM dead_letters l
WHERE l.delivery_id = ANY($1::uuid[]) AND a.letter_id = l.id AND a.diff IS NOT NULL
"""
_STAYS = frozenset(
    {"status", "reason", "provider", "begun_at", "duration_ms", "next_attempt_at", "where", "reported_at"}
)
"""What an event may go on to say; whatever else stands there may repeat an address or words."""

FIRST = UUID(int=0)

_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Emptied:
    """How many rows of each table were emptied, and the last notification that was looked at (None: all were)."""

    notifications: int = 0
    deliveries: int = 0
    events: int = 0
    dead_letters: int = 0
    last: UUID | None = None

    def counts(self) -> dict[str, int]:
        """By table."""
        return {one.name: getattr(self, one.name) for one in fields(self) if one.name != "last"}


async def empty_past(conn: asyncpg.Connection, user_id: UUID, *, after: UUID, limit: int) -> Emptied:
    """Empty at most `limit` notifications of a user, from after an id on, in the caller's transaction."""
    rows = await conn.fetch(_PAGE, user_id, after, limit)
    emptied = Emptied(last=rows[-1]["id"] if len(rows) == limit else None)
    if not rows:
        return emptied
    ids = [row["id"] for row in rows]
    emptied.notifications = await conn.fetchval(_EMPTY, ids, [without_inputs(row["decisions"]) for row in rows])
    lows, highs = zip(*map(delivery_range, ids), strict=True)
    deliveries = await conn.fetch(_DELIVERIES, lows, highs)
    named = [row["id"] for row in deliveries if row["provider_id"] is not None]
    if named:
        emptied.deliveries = await conn.fetchval(_FORGET_PROVIDER_IDS, named)
    whole = [row["id"] for row in deliveries]
    emptied.events = await _empty_events(conn, whole)
    emptied.dead_letters = await conn.fetchval(_EMPTY_LETTERS, whole)
    await conn.execute(_EMPTY_EDITS, whole)
    await conn.execute(_EMPTY_TRAIL, whole)
    return emptied


def without_inputs(decisions: bytes) -> bytes:
    """The gates' verdicts without what they looked at (zones, hours, choices), and the plan as it was. Pure."""
    document = msgspec.json.decode(decisions)
    if not isinstance(document, dict):
        return b"[]"
    gates = [{name: fact for name, fact in gate.items() if name != "inputs"} for gate in document.get("gates", ())]
    return _encode({**document, "gates": gates})


async def _empty_events(conn: asyncpg.Connection, delivery_ids: Sequence[UUID]) -> int:
    changed = list(_changed(await conn.fetch(_EVENTS, delivery_ids)))
    return await conn.fetchval(_EMPTY_EVENTS, *zip(*changed, strict=True)) if changed else 0


def _changed(rows: Iterable[Any]) -> Iterable[tuple[Any, ...]]:
    for row in rows:
        facts = msgspec.json.decode(row["detail"])
        if not facts.keys() <= _STAYS:
            kept = {name: fact for name, fact in facts.items() if name in _STAYS}
            yield row["delivery_id"], row["at"], row["kind"], row["attempt"], _encode(kept)
