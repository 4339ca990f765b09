"""Puts deliveries of dead letters back to work: the same delivery, `queued` again, with its edited words.

In one transaction: the delivery and an event that says so, its envelope, its letter settled, a line in the trail. What
killed processes goes to quarantine again, and is buried at once if it kills another.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from domain.delivery import DeliveryStatus
from domain.ids import notification_of
from domain.lanes import ENVELOPE_SIZES, Lane
from tracking import outbox
from tracking.claim import SUSPECT_FROM
from tracking.dead.edit import settle
from tracking.dead.hold import Journey
from tracking.dead.trail import Act, Note, note
from tracking.events import detail
from tracking.rows import OutboxRow
from tracking.sql import sql

_PUT_BACK = sql("""
WITH back AS (
  UPDATE deliveries d SET status = <queued>, problem = NULL, reason = NULL, next_attempt_at = NULL, lease_token = NULL,
    lease_until = NULL, crashes = least(d.crashes, $6::smallint), recipient_version = k.version,
    recheck_at = k.recheck_at, expires_at = k.expires_at, updated_at = now()
  FROM unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::timestamptz[]) k(id, version, recheck_at, expires_at)
  WHERE d.id = k.id AND d.status IN (<failed>, <dead_lettered>)
  RETURNING d.id, d.attempt),
noted AS (
  INSERT INTO events (delivery_id, at, kind, attempt, detail)
  SELECT id, now(), <event.requeued>, attempt, $5::bytea FROM back)
SELECT id FROM back
""")
_REWORD = """
UPDATE notifications n SET data = k.data, expires_at = greatest(n.expires_at, k.expires_at)
FROM unnest($1::uuid[], $2::bytea[], $3::timestamptz[]) k(id, data, expires_at) WHERE n.id = k.id
"""
_STANDINGS = "SELECT d.id, d.status, d.reason FROM deliveries d WHERE d.id = ANY($1::uuid[]) ORDER BY d.id"


@dataclass(slots=True)
class Replay:
    """A letter that may be sent again, and the version and hours of its recipient that it was judged by."""

    letter_id: UUID
    journey: Journey
    recipient_version: int
    recheck_at: datetime | None


@dataclass(slots=True)
class PutBack:
    """Deliveries that wait for a worker again. `quarantine`: envelopes of one that the caller publishes to quarantine
    after COMMIT; the relay publishes the others."""

    delivery_ids: list[UUID] = field(default_factory=list)
    quarantine: list[OutboxRow] = field(default_factory=list)


async def put_back(
    conn: asyncpg.Connection, tenant_id: UUID, replays: Sequence[Replay], *, run_id: UUID, who: str
) -> PutBack:
    """Put these back, whose letters the caller holds. What late news has moved on meanwhile is left alone."""
    if not replays:
        return PutBack()
    ordered = sorted(replays, key=lambda one: one.journey.id)
    rows = await conn.fetch(
        _PUT_BACK,
        [one.journey.id for one in ordered],
        [one.recipient_version for one in ordered],
        [one.recheck_at for one in ordered],
        [one.journey.expires_now for one in ordered],
        detail(DeliveryStatus.QUEUED, replay=str(run_id), by=who),
        SUSPECT_FROM,
    )
    ids = {row["id"] for row in rows}
    back = [one for one in ordered if one.journey.id in ids]
    await _reword(conn, back)
    await settle(conn, [one.letter_id for one in back], Act.REPLAYED)
    await note(conn, tenant_id, [Note(one.letter_id, Act.REPLAYED) for one in back], who=who, run_id=run_id)
    return PutBack([one.journey.id for one in back], await _enclose(conn, tenant_id, back))


async def standings(conn: asyncpg.Connection, delivery_ids: Sequence[UUID]) -> list[Any]:
    """Where these deliveries stand: `id`, `status` and `reason` as codes."""
    return list(await conn.fetch(_STANDINGS, delivery_ids))


async def _reword(conn: asyncpg.Connection, back: Sequence[Replay]) -> None:
    """Give the notifications of what was edited its words; of several letters of one the last in order."""
    edited = {
        notification_of(one.journey.id): one.journey for one in back if one.journey.version > 0 and one.journey.edited
    }
    if edited:
        ids = sorted(edited)
        words, ends = [edited[one].words_now for one in ids], [edited[one].expires_now for one in ids]
        await conn.execute(_REWORD, ids, words, ends)


async def _enclose(conn: asyncpg.Connection, tenant_id: UUID, back: Sequence[Replay]) -> list[OutboxRow]:
    """Envelopes by lane, due now; suspects travel alone, watched over from now on."""
    now = await conn.fetchval("SELECT now()")
    by_lane: defaultdict[Lane, list[UUID]] = defaultdict(list)
    suspects = [one.journey for one in back if one.journey.crashes >= SUSPECT_FROM]
    for one in back:
        if one.journey.crashes < SUSPECT_FROM:
            by_lane[Lane(one.journey.channel, one.journey.priority)].append(one.journey.id)
    moves = [
        outbox.Move(members[start : start + ENVELOPE_SIZES[lane.channel]], now)
        for lane, members in by_lane.items()
        for start in range(0, len(members), ENVELOPE_SIZES[lane.channel])
    ]
    await outbox.move(conn, moves)
    alone = await outbox.move(conn, [outbox.Move([one.id], now) for one in suspects], watch_s=outbox.WATCH_S)
    return [
        OutboxRow(envelope, tenant_id, Lane(one.channel, one.priority), [one.id], now)
        for envelope, one in zip(alone, suspects, strict=True)
    ]
