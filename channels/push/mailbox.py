"""The mailbox: what waits for a device that is away. The only writer of its table.

One storer at a time per device, by a lock on the device's row. Locks are taken in one order everywhere: deliveries,
devices, deliveries of what must make room, mailbox; so whoever ends a delivery may remove its letter.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg

from channels.push.letters import Letter as Letter
from channels.push.letters import StoredLetter as StoredLetter
from channels.push.letters import read_letter
from channels.push.room import Arriving, Kept, Overflow, Plan, make_room
from domain.push import MAX_STORED

_LOCK_DEVICES = """
SELECT v.id, v.user_id, a.overflow, v.invalidated_at IS NULL AS is_valid
FROM devices v JOIN apps a ON a.id = v.app_id WHERE v.id = ANY($1::uuid[]) ORDER BY v.id FOR NO KEY UPDATE OF v
"""
_USERS = "SELECT d.id, d.user_id FROM deliveries d WHERE d.id = ANY($1::uuid[]) AND d.user_id IS NOT NULL"
_LOOK = f"""
SELECT k.device_id, c.count, v.delivery_id, v.wake, v.fold
FROM unnest($1::uuid[], $2::int[]) k(device_id, arriving)
CROSS JOIN LATERAL (SELECT count(*) FROM mailbox m WHERE m.device_id = k.device_id) c
LEFT JOIN LATERAL (
  SELECT m.delivery_id, m.wake, m.fold FROM mailbox m WHERE m.device_id = k.device_id
  ORDER BY m.wake, m.delivery_id LIMIT greatest(0, c.count + k.arriving - {MAX_STORED})) v ON true
UNION
SELECT m.device_id, 0, m.delivery_id, m.wake, m.fold
FROM unnest($3::uuid[], $4::text[]) k(device_id, fold)
JOIN mailbox m ON m.device_id = k.device_id AND m.fold = k.fold
UNION
SELECT m.device_id, 0, m.delivery_id, m.wake, m.fold FROM mailbox m WHERE m.delivery_id = ANY($5::uuid[])
"""  # noqa: S608  # only our own words
_LOCK_DELIVERIES = "SELECT 1 FROM deliveries d WHERE d.id = ANY($1::uuid[]) ORDER BY d.id FOR UPDATE OF d"
_DELETE = "DELETE FROM mailbox WHERE delivery_id = ANY($1::uuid[])"
_INSERT = """
INSERT INTO mailbox (delivery_id, tenant_id, device_id, wake, fold, topic, payload, not_before, expires_at)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::smallint[], $5::text[], $6::text[], $7::bytea[],
  $8::timestamptz[], $9::timestamptz[])
"""
_PAGE = """
SELECT m.delivery_id, m.device_id, m.wake, m.fold, m.topic, m.payload, m.expires_at, m.stored_at
FROM unnest($1::uuid[], $2::smallint[], $3::uuid[], $4::int[], $5::smallint[])
  k(device_id, after_wake, after_id, wanted, least_wake)
CROSS JOIN LATERAL (
  SELECT * FROM mailbox m WHERE m.device_id = k.device_id AND m.wake >= k.least_wake
    AND (k.after_wake IS NULL OR m.wake < k.after_wake OR (m.wake = k.after_wake AND m.delivery_id > k.after_id))
    AND m.not_before <= now() AND m.expires_at > now()
  ORDER BY m.wake DESC, m.delivery_id LIMIT k.wanted) m
"""
_WAITING = """
SELECT m.device_id, count(*)::int AS count, max(m.wake)::int AS greatest_wake, min(m.stored_at) AS oldest_at
FROM mailbox m WHERE m.device_id = ANY($1::uuid[]) AND m.not_before <= now() AND m.expires_at > now()
GROUP BY m.device_id
"""
_PURGE = """
WITH held AS MATERIALIZED (
  SELECT d.id FROM mailbox m JOIN deliveries d ON d.id = m.delivery_id WHERE m.device_id = ANY($1::uuid[])
  ORDER BY d.id FOR UPDATE OF d)
DELETE FROM mailbox m WHERE m.device_id = ANY($1::uuid[]) AND (SELECT count(*) FROM held) >= 0 RETURNING m.delivery_id
"""
_EXPIRE = """
WITH late AS MATERIALIZED (
  SELECT m.delivery_id FROM mailbox m WHERE m.expires_at <= now() ORDER BY m.expires_at LIMIT $1),
held AS MATERIALIZED (
  SELECT d.id FROM deliveries d WHERE d.id = ANY(ARRAY(SELECT delivery_id FROM late)) FOR UPDATE OF d SKIP LOCKED)
DELETE FROM mailbox m USING late l WHERE m.delivery_id = l.delivery_id
  AND (m.delivery_id IN (SELECT id FROM held) OR m.expires_at < now() - interval '1 hour')
RETURNING m.delivery_id, m.wake
"""
_LOOKS = 5


@dataclass(slots=True)
class StoreResult:
    """What became of letters, and of those that were there before.

    `collapsed`: (id, its successor). `evicted`: dropped, oldest of the lowest wake first. `refused`: the mailbox is
    full and the app wants it so. `gone`: the device is erased, suspended, or another person's by now.
    """

    stored: set[UUID] = field(default_factory=set)
    collapsed: list[tuple[UUID, UUID]] = field(default_factory=list)
    evicted: list[UUID] = field(default_factory=list)
    refused: list[UUID] = field(default_factory=list)
    gone: list[UUID] = field(default_factory=list)


class Wanted(NamedTuple):
    """A page of one device's letters: those behind `after` (wake, delivery id), of at least `least_wake`."""

    device_id: UUID
    after: tuple[int, UUID] | None = None
    limit: int = MAX_STORED
    least_wake: int = 1


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is due for a device: how many, the most eager wake of them, and since when the oldest lies here."""

    count: int
    greatest_wake: int
    oldest_at: datetime


class Late(NamedTuple):
    """A letter whose time was over."""

    delivery_id: UUID
    wake: int


async def store(conn: asyncpg.Connection, letters: Sequence[Letter]) -> StoreResult:
    """Keep these letters, in the caller's transaction, which ends those that were collapsed, evicted, refused or gone.

    Of one device at most 100 are kept; where the app refuses what is new, besides them what came back. Storing a letter
    twice changes nothing. Hold the locks on the letters' own deliveries before. Raises the driver's errors: on a
    conflict the whole transaction may be tried again.
    """
    result = StoreResult()
    if not letters:
        return result
    devices = sorted({letter.device_id for letter in letters})
    policies = await _lock_devices(conn, devices, letters, result)
    arriving = [letter for letter in letters if letter.delivery_id not in set(result.gone)]
    if not arriving:
        return result
    plan = await _plan(conn, arriving, policies)
    result.collapsed, result.evicted, result.refused = plan.collapsed, plan.evicted, plan.refused
    result.stored = plan.stored
    await conn.execute(_DELETE, sorted(plan.removed))
    kept = {letter.delivery_id: letter for letter in arriving if letter.delivery_id in plan.inserted}
    if kept:
        await conn.execute(_INSERT, *zip(*map(_values, kept.values()), strict=True))
    return result


async def page(conn: asyncpg.Connection, wanted: Sequence[Wanted]) -> dict[UUID, list[StoredLetter]]:
    """The next letters of many devices in one statement: greater wakes first, then older ones; due ones only."""
    found: dict[UUID, list[StoredLetter]] = {one.device_id: [] for one in wanted}
    if wanted:
        rows = await conn.fetch(
            _PAGE,
            [one.device_id for one in wanted],
            [one.after[0] if one.after else None for one in wanted],
            [one.after[1] if one.after else None for one in wanted],
            [one.limit for one in wanted],
            [one.least_wake for one in wanted],
        )
        for row in rows:
            found[row["device_id"]].append(read_letter(row))
    return found


async def waiting(conn: asyncpg.Connection, device_ids: Sequence[UUID]) -> dict[UUID, Waiting]:
    """What is due for these devices, in one statement; those for which nothing is are not in it."""
    rows = await conn.fetch(_WAITING, device_ids) if device_ids else []
    return {row["device_id"]: Waiting(row["count"], row["greatest_wake"], row["oldest_at"]) for row in rows}


async def forget(conn: asyncpg.Connection, delivery_ids: Sequence[UUID]) -> int:
    """Remove the letters of deliveries that the caller's transaction has ended; how many there were."""
    if not delivery_ids:
        return 0
    return int((await conn.execute(_DELETE, sorted(delivery_ids))).rpartition(" ")[2])


async def purge(conn: asyncpg.Connection, device_ids: Sequence[UUID]) -> list[UUID]:
    """Remove all letters of devices that are erased, or become somebody else's; the caller ends these deliveries."""
    return sorted(row["delivery_id"] for row in await conn.fetch(_PURGE, sorted(device_ids)))


async def expire(conn: asyncpg.Connection, limit: int) -> list[Late]:
    """Remove at most `limit` letters whose time is over; the caller ends them. What is locked is passed over."""
    return [Late(row["delivery_id"], row["wake"]) for row in await conn.fetch(_EXPIRE, limit)]


async def count(conn: asyncpg.Connection) -> int:
    """How many letters lie in all mailboxes."""
    letters: int = await conn.fetchval("SELECT count(*) FROM mailbox")
    return letters


async def _lock_devices(
    conn: asyncpg.Connection, devices: Sequence[UUID], letters: Sequence[Letter], result: StoreResult
) -> dict[UUID, Overflow]:
    """Lock the devices, tell whose letters have nowhere to go, and answer what their apps do about overflow."""
    rows = {row["id"]: row for row in await conn.fetch(_LOCK_DEVICES, devices) if row["is_valid"]}
    users = dict(await conn.fetch(_USERS, [letter.delivery_id for letter in letters]))
    for letter in letters:
        device = rows.get(letter.device_id)
        meant_for = users.get(letter.delivery_id)
        if device is None or (meant_for is not None and device["user_id"] != meant_for):
            result.gone.append(letter.delivery_id)
    return {device: Overflow(row["overflow"]) for device, row in rows.items()}


async def _plan(conn: asyncpg.Connection, letters: Sequence[Letter], policies: dict[UUID, Overflow]) -> Plan:
    """Decide on what is there now. What must go is locked first and looked at again: it may just be acknowledged."""
    locked: set[UUID] = set()
    for _ in range(_LOOKS):
        plan = make_room(await _look(conn, letters), [_arriving(letter) for letter in letters], policies)
        if plan.removed <= locked:
            return plan
        locked |= plan.removed
        await conn.execute(_LOCK_DELIVERIES, sorted(locked))
    raise asyncpg.TransactionRollbackError("the mailbox changed at every look")


async def _look(conn: asyncpg.Connection, letters: Sequence[Letter]) -> dict[UUID, Kept]:
    """Per device how many letters it has, and those that the arriving ones may touch."""
    arriving: dict[UUID, int] = {}
    for letter in letters:
        arriving[letter.device_id] = arriving.get(letter.device_id, 0) + 1
    folded = sorted({(letter.device_id, letter.fold) for letter in letters if letter.fold is not None})
    rows = await conn.fetch(
        _LOOK,
        list(arriving),
        list(arriving.values()),
        [device for device, _ in folded],
        [fold for _, fold in folded],
        [letter.delivery_id for letter in letters],
    )
    found = {device: Kept(0, {}) for device in arriving}
    for row in rows:
        kept = found.setdefault(row["device_id"], Kept(0, {}))
        kept.count = max(kept.count, row["count"])
        if row["delivery_id"] is not None:
            kept.letters[row["delivery_id"]] = (row["wake"], row["fold"])
    return found


def _arriving(letter: Letter) -> Arriving:
    return Arriving(letter.delivery_id, letter.device_id, letter.wake, letter.fold, letter.is_back)


def _values(letter: Letter) -> tuple[Any, ...]:
    return (
        letter.delivery_id,
        letter.tenant_id,
        letter.device_id,
        letter.wake,
        letter.fold,
        letter.topic,
        letter.payload,
        letter.not_before,
        letter.expires_at,
    )
