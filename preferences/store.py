"""Reads and writes what users chose, with its history: the only writer of `preferences` and `preference_history`.

Every change raises the user's version in the same transaction. After it has committed, the caller deletes
`preferences.cache.user_key(tenant, user)`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg
import msgspec

from plumbing.database import borrow, postgres_errors
from preferences.model import NOTHING_CHOSEN, Preferences

_GET = """
SELECT u.version, p.document::text AS document, p.updated_at FROM users u LEFT JOIN preferences p ON p.user_id = u.id
WHERE u.tenant_id = $1 AND u.external_id = $2
"""
_LOCK = "SELECT id FROM users WHERE tenant_id = $1 AND external_id = $2 FOR UPDATE"
_WRITE = """
WITH bumped AS (UPDATE users SET version = version + 1, updated_at = now() WHERE id = $1 RETURNING id, version),
noted AS (
  INSERT INTO preference_history (user_id, version, document, changed_at, actor, source, evidence)
  SELECT id, version, $2::text::jsonb, now(), $3, $4, $5::text::jsonb FROM bumped)
INSERT INTO preferences (user_id, document, version) SELECT id, $2::text::jsonb, version FROM bumped
ON CONFLICT (user_id) DO UPDATE SET document = excluded.document, version = excluded.version, updated_at = now()
RETURNING version, updated_at
"""
_HISTORY = """
SELECT h.version, h.document::text AS document, h.changed_at, h.actor, h.source, h.evidence::text AS evidence
FROM users u JOIN preference_history h ON h.user_id = u.id
WHERE u.tenant_id = $1 AND u.external_id = $2 AND h.version < $3 ORDER BY h.version DESC LIMIT $4
"""
_BEYOND = 2**63 - 1

Source: TypeAlias = asyncpg.Connection | asyncpg.Pool


@dataclass(frozen=True, slots=True)
class Stored:
    """A user's preferences at a version of the user; `updated_at` None: nothing was ever chosen."""

    version: int
    preferences: Preferences
    updated_at: datetime | None


@dataclass(frozen=True, slots=True)
class Author:
    """Who changed something (key prefix, 'recipient' or 'system'), by which way (api, one_click, page), and proof."""

    actor: str
    source: str
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the history: the whole document after it."""

    version: int
    document: dict[str, Any]
    changed_at: datetime
    actor: str
    source: str
    evidence: dict[str, Any]


async def get(source: Source, tenant: UUID, external_id: str) -> Stored | None:
    """What the user chose; None when there is no such user. Unavailable."""
    with postgres_errors():
        row = await source.fetchrow(_GET, tenant, external_id)
    return _stored(row) if row is not None else None


async def put(
    pool: asyncpg.Pool, tenant: UUID, external_id: str, preferences: Preferences, *, author: Author
) -> Stored | None:
    """Replace what the user chose; None when there is no such user. Unavailable."""
    return await change(pool, tenant, external_id, lambda _: preferences, author=author)


async def patch(
    pool: asyncpg.Pool, tenant: UUID, external_id: str, merge: Mapping[str, Any], *, author: Author
) -> Stored | None:
    """Merge into what the user chose (RFC 7396: null forgets). RequestRefused (422) for a bad outcome, Unavailable."""

    def merged(chosen: Preferences) -> Preferences:
        return Preferences.parse(_merge(chosen.document(), merge))

    return await change(pool, tenant, external_id, merged, author=author)


async def change(
    pool: asyncpg.Pool,
    tenant: UUID,
    external_id: str,
    decide: Callable[[Preferences], Preferences],
    *,
    author: Author,
) -> Stored | None:
    """`write` in a transaction of its own. Unavailable, and what `decide` raises."""
    async with borrow(pool) as conn, conn.transaction():
        return await write(conn, tenant, external_id, decide, author=author)


async def write(
    conn: asyncpg.Connection,
    tenant: UUID,
    external_id: str,
    decide: Callable[[Preferences], Preferences],
    *,
    author: Author,
) -> Stored | None:
    """Decide on the present preferences, under the user's lock, and write what changed, with a line of history.

    Nothing is written when nothing changed. None when there is no such user.
    """
    user = await conn.fetchval(_LOCK, tenant, external_id)
    if user is None:
        return None
    before = _stored(await conn.fetchrow(_GET, tenant, external_id))  # read once it is locked: never an older one
    after = decide(before.preferences)
    if after == before.preferences:
        return before
    document, evidence = _json(after.document()), _json(dict(author.evidence))
    row = await conn.fetchrow(_WRITE, user, document, author.actor, author.source, evidence)
    return Stored(row["version"], after, row["updated_at"])


async def history(
    source: Source, tenant: UUID, external_id: str, *, limit: int, before_version: int | None = None
) -> list[Change]:
    """The latest changes first, those before a version when given. Unavailable."""
    with postgres_errors():
        rows = await source.fetch(_HISTORY, tenant, external_id, before_version or _BEYOND, limit)
    return [
        Change(
            row["version"],
            msgspec.json.decode(row["document"]),
            row["changed_at"],
            row["actor"],
            row["source"],
            msgspec.json.decode(row["evidence"]),
        )
        for row in rows
    ]


def _stored(row: asyncpg.Record) -> Stored:
    document = row["document"]
    chosen = Preferences.stored(msgspec.json.decode(document)) if document else NOTHING_CHOSEN
    return Stored(row["version"], chosen, row["updated_at"])


def _merge(target: object, merge: object) -> Any:
    """JSON Merge Patch (RFC 7396, 2)."""
    if not isinstance(merge, Mapping):
        return merge
    merged = dict(target) if isinstance(target, Mapping) else {}
    for name, value in merge.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merge(merged.get(name), value)
    return merged


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
