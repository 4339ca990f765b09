"""Once only: idempotency keys and dedupe windows, which partitions of the journey's tables could not keep unique."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import asyncpg

from tracking import columns

_LOCK = """
SELECT u.place FROM unnest($1::bigint[]) WITH ORDINALITY u(half, place) WHERE pg_try_advisory_xact_lock(u.half)
"""
_KNOWN = """
SELECT key, fingerprint, notification_id, answer FROM idempotency WHERE key = ANY($1::uuid[]) AND expires_at > now()
"""
_OPEN_WINDOWS = f"WITH won AS ({columns.open_windows(1)}) SELECT count(*) FROM won"  # noqa: S608  # only our own words
_LOST = """
SELECT h.key, h.notification_id FROM unnest($1::uuid[], $2::uuid[]) k(key, notification_id)
JOIN dedupe h ON h.key = k.key WHERE h.notification_id <> k.notification_id
"""
_HELD = "SELECT key, notification_id FROM dedupe WHERE key = ANY($1::uuid[]) AND expires_at > now()"
_FORGET_KEYS = """
DELETE FROM idempotency WHERE ctid = ANY(ARRAY(
  SELECT ctid FROM idempotency WHERE expires_at < now() - interval '1 minute' LIMIT $1 FOR UPDATE SKIP LOCKED))
"""
_FORGET_WINDOWS = """
DELETE FROM dedupe WHERE ctid = ANY(ARRAY(
  SELECT ctid FROM dedupe WHERE expires_at < now() - interval '1 minute' LIMIT $1 FOR UPDATE SKIP LOCKED))
"""


@dataclass(slots=True)
class KnownAnswer:
    """What an unexpired idempotency key stands for."""

    fingerprint: UUID
    notification_id: UUID | None
    answer: bytes | None


@dataclass(slots=True)
class Window:
    """A wish to be the only notification of its key (128 bits) for `window_s` seconds."""

    key: UUID
    notification_id: UUID
    window_s: float


async def lock(conn: asyncpg.Connection, keys: Iterable[UUID]) -> set[UUID]:
    """Those of `keys` that nobody else is working on, held until this transaction ends. Never waits.

    Ask `known` in a statement of its own afterwards: only then it sees what the last holder committed.
    """
    wanted = sorted(set(keys))
    return {wanted[row["place"] - 1] for row in await conn.fetch(_LOCK, halves(wanted))} if wanted else set()


def halves(keys: Iterable[UUID]) -> list[int]:
    """What stands for each key among PostgreSQL's advisory locks."""
    return [int.from_bytes(key.bytes[:8], "big", signed=True) for key in keys]


async def known(conn: asyncpg.Connection, keys: Iterable[UUID]) -> dict[UUID, KnownAnswer]:
    """The answers that were given to these keys within the last 24 hours."""
    rows = await conn.fetch(_KNOWN, sorted(set(keys)))
    return {row["key"]: KnownAnswer(row["fingerprint"], row["notification_id"], row["answer"]) for row in rows}


async def open_windows(conn: asyncpg.Connection, windows: Sequence[Window]) -> dict[UUID, UUID]:
    """Open a window for each key; answers the losers: key -> the notification that holds that window already.

    Each key once (ValueError otherwise: fold equal ones first). Keys are taken in order, so that batches of several
    processes wait for each other but never deadlock; the wait ends with the other's transaction.
    """
    keys, ids, lengths = of_windows(windows)
    if len(set(keys)) != len(keys):
        raise ValueError("a dedupe key stands twice in one batch")
    if await conn.fetchval(_OPEN_WINDOWS, keys, ids, lengths) == len(keys):  # nearly always
        return {}
    return {row["key"]: row["notification_id"] for row in await conn.fetch(_LOST, keys, ids)}


async def holders(conn: asyncpg.Connection, keys: Iterable[UUID]) -> dict[UUID, UUID]:
    """Who holds the windows of these keys now; those that are open to anybody are missing."""
    return {row["key"]: row["notification_id"] for row in await conn.fetch(_HELD, sorted(set(keys)))}


def of_windows(windows: Sequence[Window]) -> tuple[list[UUID], list[UUID], list[timedelta]]:
    """Windows as the arrays of one statement, which takes them in order."""
    lengths = {length: timedelta(seconds=length) for length in {window.window_s for window in windows}}
    return (
        [window.key for window in windows],
        [window.notification_id for window in windows],
        [lengths[window.window_s] for window in windows],
    )


async def forget_expired(conn: asyncpg.Connection, *, limit: int = 10_000) -> int:
    """Delete at most `limit` keys and as many windows that are over; answers how many went. The leader calls it."""
    gone = [await conn.execute(statement, limit) for statement in (_FORGET_KEYS, _FORGET_WINDOWS)]
    return sum(int(tag.rpartition(" ")[2]) for tag in gone)
