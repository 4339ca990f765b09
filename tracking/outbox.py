"""The to-do list: one row per envelope, from the transaction that made the work until the envelope is worked off.

A delivery belongs to the row that its `envelope_id` names; a row whose own deliveries are all closed is deleted. A sent
one with a time for its next attempt waits to be acknowledged, and is not closed.
Nothing here ever waits for another's lock on a row: who finds it taken leaves it, and the sweeper comes by.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from domain.ids import uuid7
from domain.lanes import DECLARED_LANES, Channel, Lane, Priority
from tracking.rows import OutboxRow
from tracking.sql import sql

WATCH_S = 30.0
"""After so many seconds without news somebody looks again: a lease (the provider's time-out + 5 s) is over by then."""

_DUE = """
SELECT o.id, o.tenant_id, o.channel, o.priority, o.delivery_ids, o.available_at
FROM unnest($1::smallint[], $2::smallint[], $3::bigint[]) k(channel, priority, envelopes) CROSS JOIN LATERAL (
  SELECT o.* FROM outbox o
  WHERE o.published_at IS NULL AND o.available_at <= now() AND o.channel = k.channel AND o.priority = k.priority
  ORDER BY o.available_at LIMIT k.envelopes FOR UPDATE OF o SKIP LOCKED) o
"""
"""Lane by lane down the index: what waits in one that is full, a million perhaps, is not walked past."""

_DUE_LANES = """
SELECT k.channel, k.priority FROM unnest($1::smallint[], $2::smallint[]) k(channel, priority)
WHERE EXISTS (
  SELECT 1 FROM outbox o
  WHERE o.published_at IS NULL AND o.available_at <= now() AND o.channel = k.channel AND o.priority = k.priority)
"""

IS_OPEN = "(d.status IN <OPEN> OR d.status = <sent> AND d.next_attempt_at IS NOT NULL)"
"""Whether a delivery `d` is not closed, in the words of `tracking.sql`."""

_IS_OPEN = f"""EXISTS (
  SELECT 1 FROM unnest(o.delivery_ids) x(id) JOIN deliveries d ON d.id = x.id
  WHERE d.envelope_id = o.id AND {IS_OPEN})"""  # noqa: S608  # only our own words

_MARK_PUBLISHED = sql(f"""
WITH taken AS MATERIALIZED (
  SELECT o.id, o.published_at, o.watch_at, o.available_at, {_IS_OPEN} AS is_open
  FROM outbox o WHERE o.id = ANY($1::uuid[]) ORDER BY o.id FOR UPDATE OF o SKIP LOCKED),
done AS (DELETE FROM outbox USING taken t WHERE outbox.id = t.id AND NOT t.is_open)
UPDATE outbox SET published_at = now(), watch_at = now() + $2::interval FROM taken t
WHERE outbox.id = t.id AND t.is_open AND t.published_at IS NULL AND t.available_at <= now() + interval '1 minute'
  AND (t.watch_at IS NULL OR NOT $3)
""")  # noqa: S608  # only our own words
_RELEASE = sql(f"""
WITH taken AS MATERIALIZED (
  SELECT o.id, o.delivery_ids FROM outbox o WHERE o.id = ANY($1::uuid[]) ORDER BY o.id FOR UPDATE OF o SKIP LOCKED)
DELETE FROM outbox USING taken o WHERE outbox.id = o.id AND NOT {_IS_OPEN}
""")  # noqa: S608  # only our own words
_WATCH = """
WITH taken AS MATERIALIZED (
  SELECT o.id, k.at FROM unnest($1::uuid[], $2::timestamptz[]) k(id, at) JOIN outbox o ON o.id = k.id
  ORDER BY o.id FOR UPDATE OF o SKIP LOCKED)
UPDATE outbox SET published_at = coalesce(published_at, now()), watch_at = t.at + $3::interval
FROM taken t WHERE outbox.id = t.id
"""
_MOVE = """
UPDATE deliveries d SET envelope_id = k.envelope_id
FROM unnest($1::uuid[], $2::uuid[]) k(id, envelope_id) WHERE d.id = k.id
"""
_OPEN_ROWS = """
INSERT INTO outbox (id, tenant_id, channel, priority, delivery_ids, available_at, published_at, watch_at, held_by)
SELECT k.id, d.tenant_id, d.channel, d.priority, k.delivery_ids::uuid[], k.at,
  CASE WHEN $5::interval IS NULL THEN NULL ELSE now() END, now() + $5::interval, k.held_by
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[], $6::uuid[])
  k(id, first_id, delivery_ids, at, held_by)
JOIN deliveries d ON d.id = k.first_id
"""
_PUBLISH_AGAIN = sql(f"""
UPDATE outbox o SET published_at = NULL, available_at = now(), delivery_ids = ARRAY(
  SELECT x.id FROM unnest(o.delivery_ids) WITH ORDINALITY x(id, place) JOIN deliveries d ON d.id = x.id
  WHERE d.envelope_id = o.id AND {IS_OPEN} ORDER BY x.place)
WHERE o.id = ANY($1::uuid[])
""")  # noqa: S608  # only our own words
_LOOK_AGAIN = """
UPDATE outbox o SET watch_at = greatest(k.at, now() + interval '1 second')
FROM unnest($1::uuid[], $2::timestamptz[]) k(id, at) WHERE o.id = k.id
"""
_REPUBLISH_ALL = """
UPDATE outbox SET published_at = NULL, available_at = now() WHERE id = ANY(ARRAY(
  SELECT o.id FROM outbox o WHERE o.published_at IS NOT NULL AND NOT (cardinality(o.delivery_ids) = 1 AND EXISTS (
    SELECT 1 FROM deliveries d WHERE d.id = o.delivery_ids[1] AND d.crashes >= 2))
  ORDER BY o.id FOR UPDATE OF o SKIP LOCKED))
"""
_WAITING = """
SELECT coalesce(sum(cardinality(w.delivery_ids)), 0)::bigint FROM (
  SELECT delivery_ids FROM outbox
  WHERE published_at IS NULL AND available_at <= now() AND channel = $1 AND priority = $2 LIMIT $3) w
"""
_AGES = """
SELECT channel, priority, published_at IS NULL AS is_waiting, count(*) AS envelopes,
  coalesce(sum(cardinality(delivery_ids)), 0)::bigint AS deliveries,
  extract(epoch FROM now() - min(available_at))::float8 AS oldest_s
FROM outbox WHERE available_at <= now() GROUP BY 1, 2, 3
"""

_LANE_CODES = [lane.channel.code for lane in DECLARED_LANES], [lane.priority.code for lane in DECLARED_LANES]


@dataclass(slots=True)
class LaneBacklog:
    """What is due in a lane and not worked off: `waiting` for the broker, or already `published`."""

    lane: Lane
    is_waiting: bool
    envelopes: int
    deliveries: int
    oldest_s: float


@dataclass(slots=True)
class Move:
    """Deliveries that leave an envelope for one of their own, published at `at`, or when `held_by` is released."""

    delivery_ids: list[UUID]
    at: datetime
    held_by: UUID | None = None


async def due_lanes(conn: asyncpg.Connection) -> list[Lane]:
    """The lanes in which something should be published now, whoever may have locked it."""
    rows = await conn.fetch(_DUE_LANES, *_LANE_CODES)
    return [Lane(Channel.of(row["channel"]), Priority.of(row["priority"])) for row in rows]


async def due(conn: asyncpg.Connection, envelopes: Mapping[Lane, int]) -> list[OutboxRow]:
    """At most so many envelopes of each lane that should be published now, most urgent first, locked until this
    transaction ends; what another relay has locked is passed over."""
    lanes = sorted(envelopes, key=lambda lane: lane.priority.code)
    channels, priorities = [lane.channel.code for lane in lanes], [lane.priority.code for lane in lanes]
    rows = await conn.fetch(_DUE, channels, priorities, [envelopes[lane] for lane in lanes])
    found = [
        OutboxRow(
            row["id"],
            row["tenant_id"],
            Lane(Channel.of(row["channel"]), Priority.of(row["priority"])),
            list(row["delivery_ids"]),
            row["available_at"],
        )
        for row in rows
    ]
    return sorted(found, key=lambda row: (row.lane.priority.code, row.available_at))


async def mark_published(
    conn: asyncpg.Connection, ids: Iterable[UUID], *, watch_s: float = WATCH_S, is_late: bool = False
) -> None:
    """Note that the broker has confirmed these; those that were worked off meanwhile are deleted.

    A row that was moved to a later day in between (its worker was faster than this note) stays to be published then.
    `is_late`: the note of who published beside an answer, without a lock on the row. If it is watched already, a worker
    has had it in its hands since, and perhaps sent it back to be published again: that stays so.
    """
    if wanted := sorted(set(ids)):
        await conn.execute(_MARK_PUBLISHED, wanted, timedelta(seconds=watch_s), is_late)


async def release(conn: asyncpg.Connection, ids: Iterable[UUID | None]) -> int:
    """Delete those of these rows none of whose deliveries is open, and answer how many; for who closed one of them."""
    wanted = sorted({envelope for envelope in ids if envelope is not None})
    return int((await conn.execute(_RELEASE, wanted)).rpartition(" ")[2]) if wanted else 0


async def watch(conn: asyncpg.Connection, due_at: dict[UUID, datetime], *, margin_s: float = WATCH_S) -> None:
    """Look at each of these rows again `margin_s` after the time given: the broker brings it back before."""
    if due_at:
        ids = sorted(due_at)
        await conn.execute(_WATCH, ids, [due_at[envelope] for envelope in ids], timedelta(seconds=margin_s))


async def publish_again(conn: asyncpg.Connection, ids: Iterable[UUID | None]) -> None:
    """Give these rows, locked by the caller, to the relay again, with the deliveries that are open now."""
    if wanted := sorted({envelope for envelope in ids if envelope is not None}):
        await conn.execute(_PUBLISH_AGAIN, wanted)


async def look_again(conn: asyncpg.Connection, at: dict[UUID, datetime]) -> None:
    """Look at each of these rows, of which the caller holds the locks, again at its time; not within a second."""
    ids = sorted(at)
    await conn.execute(_LOOK_AGAIN, ids, [at[envelope] for envelope in ids])


async def move(conn: asyncpg.Connection, moves: Sequence[Move], *, watch_s: float | None = None) -> list[UUID]:
    """Give the deliveries of each move an envelope of their own; answers the new ids, in order.

    Without `watch_s` the relay publishes them at `at`; with it they count as published now (the caller does it).
    """
    if not moves:
        return []
    ids: list[UUID] = [uuid7() for _ in moves]
    pairs = sorted((delivery, new) for new, one in zip(ids, moves, strict=True) for delivery in one.delivery_ids)
    await conn.execute(_MOVE, [delivery for delivery, _ in pairs], [new for _, new in pairs])
    await conn.execute(
        _OPEN_ROWS,
        ids,
        [one.delivery_ids[0] for one in moves],
        ["{" + ",".join(map(str, one.delivery_ids)) + "}" for one in moves],
        [one.at for one in moves],
        timedelta(seconds=watch_s) if watch_s is not None else None,
        [one.held_by for one in moves],
    )
    return ids


async def republish_all(conn: asyncpg.Connection) -> int:
    """Publish everything again: for the start of a broker that has forgotten. Suspects of a crash stay in quarantine
    (the sweeper sends them there again). Answers how many envelopes."""
    tag: str = await conn.execute(_REPUBLISH_ALL)
    return int(tag.rpartition(" ")[2])


async def waiting(conn: asyncpg.Connection, lane: Lane, *, at_most: int) -> int:
    """How many deliveries of a lane are due and wait for the broker; from `at_most` on nobody counts them all."""
    count: int = await conn.fetchval(_WAITING, lane.channel.code, lane.priority.code, at_most)
    return count


async def ages(conn: asyncpg.Connection) -> list[LaneBacklog]:
    """What is due, per lane and whether it waits for the broker, with the age of the oldest in seconds."""
    return [
        LaneBacklog(
            Lane(Channel.of(row["channel"]), Priority.of(row["priority"])),
            row["is_waiting"],
            row["envelopes"],
            row["deliveries"],
            row["oldest_s"],
        )
        for row in await conn.fetch(_AGES)
    ]
