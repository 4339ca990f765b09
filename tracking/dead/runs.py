"""Replays as runs: one row each, from the request to the end, with the cursor that says how far it has come.

The only writer of `dead_letter_runs`. A tenant has one run under way at a time: a double click finds the first.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from domain.errors import RequestRefused, Unavailable
from domain.ids import uuid7
from domain.replay import MAX_LETTERS, Refusal, RunStatus
from plumbing.database import borrow, is_conflict
from tracking.dead.listing import Chosen, count

_COLUMNS = """id, tenant_id, status, chosen::text AS chosen, canary, rate_per_s, matched, looked_at, replayed,
  refused::text AS refused, cursor, watched, why, created_by, request_fingerprint, created_at, updated_at,
  finished_at"""
_START = f"""
INSERT INTO dead_letter_runs (id, tenant_id, status, chosen, canary, rate_per_s, matched, watched, created_by,
  request_key, request_fingerprint)
VALUES ($1, $2, $3, $4::jsonb, $5, $6, $7, '{{}}', $8, $9, $10) ON CONFLICT DO NOTHING RETURNING {_COLUMNS}
"""  # noqa: S608  # only our own words
_BY_KEY = f"SELECT {_COLUMNS} FROM dead_letter_runs WHERE request_key = $1"  # noqa: S608  # only our own words
_UNDER_WAY = f"SELECT {_COLUMNS} FROM dead_letter_runs WHERE tenant_id = $1 AND finished_at IS NULL"  # noqa: S608  # only our own words
_GET = f"SELECT {_COLUMNS} FROM dead_letter_runs WHERE tenant_id = $1 AND id = $2"  # noqa: S608  # only our own words
_LIST = f"""
SELECT {_COLUMNS} FROM dead_letter_runs
WHERE tenant_id = $1 AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3
"""  # noqa: S608  # only our own words
_ALL_UNDER_WAY = "SELECT id FROM dead_letter_runs WHERE finished_at IS NULL ORDER BY id LIMIT $1"
_HOLD = f"""
SELECT {_COLUMNS} FROM dead_letter_runs WHERE id = $1 AND finished_at IS NULL FOR UPDATE SKIP LOCKED
"""  # noqa: S608  # only our own words
_KEEP = """
UPDATE dead_letter_runs SET status = $2, looked_at = $3, replayed = $4, refused = $5::jsonb, cursor = $6, watched = $7,
  why = $8, updated_at = $9, finished_at = CASE WHEN $10 THEN now() END
WHERE id = $1
"""
_CANCEL = """
UPDATE dead_letter_runs SET status = $3, finished_at = now(), updated_at = now()
WHERE tenant_id = $1 AND id = $2 AND finished_at IS NULL
"""
_TRIES = 10

_encode = msgspec.json.Encoder().encode
_decode_chosen = msgspec.json.Decoder(Chosen).decode


@dataclass(slots=True)
class Run:
    """A replay as it stands. `watched` are deliveries that decide how it goes on; `updated_at` is also its pace:
    letters are due by the time that went by since."""

    id: UUID
    tenant_id: UUID
    status: RunStatus
    chosen: Chosen
    canary: int
    rate_per_s: int
    matched: int
    looked_at: int
    replayed: int
    refused: Counter[Refusal]
    cursor: UUID | None
    watched: list[UUID]
    why: str | None
    created_by: str
    request_fingerprint: UUID
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None


async def start(
    pool: asyncpg.Pool,
    tenant_id: UUID,
    chosen: Chosen,
    *,
    canary: int,
    rate_per_s: int,
    who: str,
    fingerprint: UUID,
    key: UUID | None = None,
    at_most: int = MAX_LETTERS,
) -> tuple[Run, bool]:
    """A new run, and whether it is one that was asked for before: by the same key, or still under way.

    Raises RequestRefused: 422 for too many letters or a key used otherwise, 409 while another run is under way; and
    Unavailable.
    """
    async with borrow(pool) as conn, conn.transaction():
        if key is not None and (known := await conn.fetchrow(_BY_KEY, key)) is not None:
            return _same(_run(known), fingerprint), True
        matched = await count(conn, tenant_id, chosen, at_most=at_most + 1)
        if matched > at_most:
            detail = f"a replay takes at most {at_most:,} letters: narrow the filter, and ask in parts"
            raise RequestRefused("too_many", detail)
        row = await conn.fetchrow(
            _START,
            uuid7(),
            tenant_id,
            str(RunStatus.CANARY),
            _encode(chosen).decode(),
            canary,
            rate_per_s,
            matched,
            who,
            key,
            fingerprint,
        )
        if row is not None:
            return _run(row), False
        other = await conn.fetchrow(_UNDER_WAY, tenant_id)
    if other is not None and _run(other).request_fingerprint == fingerprint:
        return _run(other), True
    where = f": GET /api/v1/dead-letters/replays/{other['id']}" if other is not None else ""
    raise RequestRefused("replay_under_way", f"another replay is under way{where}", 409, retry_after_s=5)


async def get(pool: asyncpg.Pool, tenant_id: UUID, run_id: UUID) -> Run | None:
    """A run of this tenant, or None. Raises Unavailable."""
    async with borrow(pool) as conn:
        row = await conn.fetchrow(_GET, tenant_id, run_id)
    return _run(row) if row is not None else None


async def list_page(pool: asyncpg.Pool, tenant_id: UUID, *, below: UUID | None, limit: int) -> list[Run]:
    """Runs of this tenant, newest first. Raises Unavailable."""
    async with borrow(pool) as conn:
        return [_run(row) for row in await conn.fetch(_LIST, tenant_id, below, limit)]


async def cancel(pool: asyncpg.Pool, tenant_id: UUID, run_id: UUID) -> Run | None:
    """Send nothing more of a run; what was put back goes on. None when there is none; twice is once. Unavailable."""
    for tries_left in reversed(range(_TRIES)):
        try:
            async with borrow(pool) as conn:
                await conn.execute(_CANCEL, tenant_id, run_id, str(RunStatus.CANCELLED))
        except Unavailable as error:  # the duty holds the row for one batch, perhaps longer than a lock is waited for
            if not tries_left or not is_conflict(error):
                raise
        else:
            break
    return await get(pool, tenant_id, run_id)


async def under_way(conn: asyncpg.Connection, *, limit: int = 100) -> list[UUID]:
    """Runs of all tenants that are not over, oldest first."""
    return [row["id"] for row in await conn.fetch(_ALL_UNDER_WAY, limit)]


async def hold(conn: asyncpg.Connection, run_id: UUID) -> Run | None:
    """A run, locked until the transaction ends; None when it is over, or somebody is at it."""
    row = await conn.fetchrow(_HOLD, run_id)
    return _run(row) if row is not None else None


async def keep(conn: asyncpg.Connection, run: Run) -> None:
    """Write how far a run has come, which the caller holds; its end too."""
    await conn.execute(
        _KEEP,
        run.id,
        str(run.status),
        run.looked_at,
        run.replayed,
        _encode(run.refused).decode(),
        run.cursor,
        run.watched,
        run.why,
        run.updated_at,
        run.status.is_over,
    )


def _same(run: Run, fingerprint: UUID) -> Run:
    if run.request_fingerprint != fingerprint:
        raise RequestRefused("idempotency_key_reused", "this Idempotency-Key was used with another request")
    return run


def _run(row: Mapping[str, Any]) -> Run:
    return Run(
        id=row["id"],
        tenant_id=row["tenant_id"],
        status=RunStatus(row["status"]),
        chosen=_decode_chosen(row["chosen"]),
        canary=row["canary"],
        rate_per_s=row["rate_per_s"],
        matched=row["matched"],
        looked_at=row["looked_at"],
        replayed=row["replayed"],
        refused=Counter({Refusal(name): number for name, number in msgspec.json.decode(row["refused"]).items()}),
        cursor=row["cursor"],
        watched=list(row["watched"]),
        why=row["why"],
        created_by=row["created_by"],
        request_fingerprint=row["request_fingerprint"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        finished_at=row["finished_at"],
    )
