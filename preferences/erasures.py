"""Erasing a user: the row, its addresses and choices at once; its past in batches. The only writer of `erasures`.

The past is walked three times: right away, when everything that was under way has ended, and when no provider reports
any more. Only hashes, counts and times remain as the proof.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg
import msgspec

from domain.ids import uuid7
from domain.lanes import Channel
from domain.notification import Recipient
from plumbing.database import postgres_errors
from plumbing.secrets import Seal
from preferences.cache import key, user_key
from tracking.erasure import FIRST, empty_past

LOOK_AGAIN = (timedelta(minutes=15), timedelta(hours=72))
"""How long after it was asked for the past is walked again: attempts end within minutes, reports within days."""

_LOCK = "SELECT id FROM users WHERE tenant_id = $1 AND external_id = $2 FOR UPDATE"
_ADDRESSES = "SELECT channel, address, address_key FROM contacts WHERE user_id = $1"
_FORGET_ALONE = """
WITH gone AS (
  DELETE FROM contacts WHERE user_id IS NULL AND tenant_id = $1 AND address_key = ANY($2::uuid[]) RETURNING 1)
SELECT count(*)::int FROM gone
"""
_COUNT_HISTORY = "SELECT count(*)::int FROM preference_history WHERE user_id = $1"
_ERASE = "DELETE FROM users WHERE id = $1"
_BEGIN = """
INSERT INTO erasures (id, tenant_id, user_id, subject_key, actor, asked_at, due_at, counts)
VALUES ($1, $2, $3, $4, $5, $6, $6, $7::text::jsonb)
"""
_DUE = """
SELECT id, user_id, asked_at, looks, cursor, counts::text AS counts FROM erasures
WHERE closed_at IS NULL AND due_at <= $1 AND ($2::uuid IS NULL OR id = $2)
ORDER BY due_at LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
"""
_PROGRESS = """
UPDATE erasures SET cursor = $2, looks = $3::smallint, due_at = $4, counts = $5::text::jsonb,
  emptied_at = coalesce(emptied_at, CASE WHEN $3::smallint > 0 THEN $6::timestamptz END),
  closed_at = CASE WHEN $7 THEN $6::timestamptz END
WHERE id = $1
"""
_LIST = """
SELECT id, subject_key, actor, asked_at, emptied_at, closed_at, counts::text AS counts FROM erasures
WHERE tenant_id = $1 AND ($2::uuid IS NULL OR id < $2) AND ($3::uuid IS NULL OR subject_key = $3)
ORDER BY id DESC LIMIT $4
"""

Source: TypeAlias = asyncpg.Connection | asyncpg.Pool


@dataclass(frozen=True, slots=True)
class Begun:
    """An erasure that has begun; the caller deletes `stale_keys` from the cache once it has committed."""

    id: UUID
    stale_keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Erasure:
    """One erasure: who asked, when, and how many rows of each table it concerned."""

    id: UUID
    subject_key: UUID
    actor: str
    asked_at: datetime
    emptied_at: datetime | None
    closed_at: datetime | None
    counts: dict[str, int]


async def begin(
    conn: asyncpg.Connection,
    seal: Seal,
    tenant: UUID,
    external_id: str,
    *,
    actor: str,
    now: datetime,
    counts: Mapping[str, int],
) -> Begun | None:
    """Forget the user with addresses, preferences and history in the caller's transaction; None when there is none.

    What still waits for this user will not be sent. `counts` are of what the caller has erased besides.
    """
    user = await conn.fetchval(_LOCK, tenant, external_id)
    if user is None:
        return None
    addresses = await conn.fetch(_ADDRESSES, user)
    history = await conn.fetchval(_COUNT_HISTORY, user)
    await conn.execute(_ERASE, user)
    alone = await conn.fetchval(_FORGET_ALONE, tenant, [row["address_key"] for row in addresses])
    erased = {**counts, "contacts": len(addresses) + alone, "preference_history": history}
    erasure = uuid7()
    subject = seal.subject_key(tenant, external_id)
    await conn.execute(_BEGIN, erasure, tenant, user, subject, actor, now, _json(erased))
    stale = [user_key(tenant, external_id)]
    for row in addresses:
        is_email = Channel.of(row["channel"]) is Channel.EMAIL
        stale.append(key(tenant, Recipient(email=row["address"]) if is_email else Recipient(phone=row["address"])))
    return Begun(erasure, tuple(stale))


async def go_on(conn: asyncpg.Connection, *, now: datetime, limit: int, erasure: UUID | None = None) -> bool:
    """Empty a batch of the past of one erasure that is due (or of that one); whether more is due at once."""
    row = await conn.fetchrow(_DUE, now, erasure)
    if row is None:
        return False
    emptied = await empty_past(conn, row["user_id"], after=row["cursor"] or FIRST, limit=limit)
    counts = msgspec.json.decode(row["counts"])
    counts |= {name: counts.get(name, 0) + count for name, count in emptied.counts().items()}
    is_over = emptied.last is None
    looks = row["looks"] + is_over
    waits = LOOK_AGAIN[looks - 1] if is_over and looks <= len(LOOK_AGAIN) else timedelta(0)
    due_at = row["asked_at"] + waits if is_over else now
    await conn.execute(_PROGRESS, row["id"], emptied.last, looks, due_at, _json(counts), now, looks > len(LOOK_AGAIN))
    return not is_over or erasure is None


async def list_page(
    source: Source, tenant: UUID, *, limit: int, below: UUID | None = None, subject_key: UUID | None = None
) -> list[Erasure]:
    """At most `limit` erasures of a tenant, the newest first, or those of one subject. Unavailable."""
    with postgres_errors():
        rows = await source.fetch(_LIST, tenant, below, subject_key, limit)
    return [Erasure(**{**row, "counts": msgspec.json.decode(row["counts"])}) for row in rows]


def _json(document: Mapping[str, Any]) -> str:
    return msgspec.json.encode(document).decode()
