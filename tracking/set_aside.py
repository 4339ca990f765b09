"""Sets aside what a hold names: into envelopes of its own that wait in PostgreSQL, and lets them go again.

Nothing circles through the broker meanwhile. An envelope that is set aside becomes available when the first of its
deliveries expires, so that expiry ends it; or at once when its hold was released. No attempt is begun for it.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from domain.delivery import DeliveryStatus
from domain.holds import Hold, OpenHolds
from domain.ids import notification_of
from domain.lanes import ENVELOPE_SIZES, Channel
from domain.reasons import Reason
from plumbing.database import borrow
from tracking import outbox
from tracking.events import detail
from tracking.sql import sql

EXPIRY_STEP_S = 10
"""Envelopes come up for expiry in steps of so many seconds: those of one envelope expire together."""

DRAINED_AFTER = "2 minutes"
"""A worker that believed in a hold a moment longer has set aside what it would by then."""

_NAMED = sql("""
SELECT d.id, d.envelope_id, d.tenant_id, d.channel, d.priority, d.status, d.expires_at, h.id AS hold_id,
  EXISTS (SELECT 1 FROM outbox o WHERE o.id = d.envelope_id AND o.held_by IS NOT NULL AND o.published_at IS NULL)
    AS is_aside
FROM unnest($1::uuid[], $2::uuid[]) k(id, notification_id)
JOIN deliveries d ON d.id = k.id JOIN notifications n ON n.id = k.notification_id
CROSS JOIN LATERAL (
  SELECT o.id FROM unnest($3::uuid[], $4::uuid[], $5::smallint[], $6::smallint[], $7::text[], $8::text[], $9::boolean[])
    h(id, tenant_id, channel, priority, template, category, passes_tests)
  JOIN holds o ON o.id = h.id AND o.released_at IS NULL
  WHERE (h.tenant_id IS NULL OR h.tenant_id = d.tenant_id) AND (h.channel IS NULL OR h.channel = d.channel)
    AND (h.priority IS NULL OR h.priority = d.priority) AND (h.template IS NULL OR h.template = n.template)
    AND (h.category IS NULL OR h.category = n.category) AND NOT (h.passes_tests AND d.mode = <mode.test>)
  ORDER BY o.id LIMIT 1) h
WHERE d.status IN <WAITING> AND d.expires_at > now() AND n.cancelled_at IS NULL
ORDER BY d.id FOR UPDATE OF d
""")
_HOLD = sql("""
WITH held AS (
  UPDATE deliveries d SET reason = <reason.held>, updated_at = now()
  FROM unnest($1::uuid[], $2::bytea[]) k(id, detail) WHERE d.id = k.id RETURNING d.id, d.attempt, k.detail)
INSERT INTO events (delivery_id, at, kind, attempt, detail) SELECT id, now(), <event.held>, attempt, detail FROM held
""")
_LET_GO = """
UPDATE outbox SET held_by = NULL, available_at = CASE WHEN published_at IS NULL THEN now() ELSE available_at END
WHERE id = ANY(ARRAY(
  SELECT o.id FROM holds h CROSS JOIN LATERAL (
    SELECT o.id, o.priority FROM outbox o WHERE o.held_by = h.id
    ORDER BY o.priority LIMIT $1 FOR UPDATE OF o SKIP LOCKED) o
  WHERE h.released_at IS NOT NULL AND h.drained_at IS NULL ORDER BY o.priority LIMIT $1))
"""
_DRAINED = f"""
UPDATE holds h SET drained_at = now()
WHERE h.released_at < now() - interval '{DRAINED_AFTER}' AND h.drained_at IS NULL
  AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.held_by = h.id)
"""  # noqa: S608  # our own words


async def set_aside(pool: asyncpg.Pool, ids: Iterable[UUID], holds: OpenHolds) -> set[UUID]:
    """Set aside those of these deliveries that wait and that an open hold names, and commit; answers which.

    What is over, and what somebody else has claimed, is left alone. Doing it twice is harmless. Raises Unavailable.
    """
    wanted = sorted(set(ids))
    if not wanted or not holds:
        return set()
    async with borrow(pool) as conn, conn.transaction():
        rows = await conn.fetch(_NAMED, wanted, [notification_of(one) for one in wanted], *_columns(holds))
        fresh = [row for row in rows if not row["is_aside"]]
        if fresh:
            by_id = {hold.id: hold for hold, _ in holds.named}
            await conn.execute(_HOLD, [row["id"] for row in fresh], [_told(row, by_id) for row in fresh])
            await outbox.move(conn, _moves(fresh))
            await outbox.release(conn, [row["envelope_id"] for row in fresh])
    return {row["id"] for row in rows}


async def let_go(conn: asyncpg.Connection, *, limit: int) -> int:
    """Make at most `limit` envelopes of released holds available again, the most urgent first; how many."""
    freed = int((await conn.execute(_LET_GO, limit)).rpartition(" ")[2])
    if not freed:
        await conn.execute(_DRAINED)
    return freed


def _columns(holds: OpenHolds) -> list[list[Any]]:
    named = holds.named
    return [
        [hold.id for hold, _ in named],
        [one.tenant_id for _, one in named],
        [one.channel and one.channel.code for _, one in named],
        [one.priority and one.priority.code for _, one in named],
        [one.template for _, one in named],
        [one.category for _, one in named],
        [one.passes_tests for _, one in named],
    ]


def _told(row: Any, by_id: dict[UUID, Hold]) -> bytes:
    """What the event says: why it waits, by which hold, since when."""
    hold = by_id[row["hold_id"]]
    facts = {"hold": str(hold.id), "kind": hold.kind, "subject": hold.subject, "why": hold.why}
    return detail(DeliveryStatus.of(row["status"]), reason=Reason.HELD, **facts)


def _moves(rows: Sequence[Any]) -> list[outbox.Move]:
    """Envelopes of what is alike, of the channel's own size."""
    alike: defaultdict[tuple[Any, ...], list[Any]] = defaultdict(list)
    for row in rows:
        alike[(row["tenant_id"], row["channel"], row["priority"], row["hold_id"])].append(row)
    moves = []
    for (_, channel, _, hold_id), group in alike.items():
        size = ENVELOPE_SIZES[Channel.of(channel)]
        for part in (group[at : at + size] for at in range(0, len(group), size)):
            until = _step_after(min(row["expires_at"] for row in part))
            moves.append(outbox.Move([row["id"] for row in part], until, hold_id))
    return moves


def _step_after(at: datetime) -> datetime:
    steps = int(at.timestamp()) // EXPIRY_STEP_S + 1
    return datetime.fromtimestamp(0, UTC) + timedelta(seconds=steps * EXPIRY_STEP_S)
