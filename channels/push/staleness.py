"""Devices that nobody has seen for 270 days are suspended, page by page over the whole registry.

A device is seen when it registers or connects. The brake guards this too: should last sights stop being written, at
most its share of an app's devices is suspended before somebody is told.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import asyncpg

from channels.push import audit
from channels.push.devices import Touched
from channels.push.validity import LEAST_TO_BRAKE, Brake, InvalidationReason, invalidate
from domain.ids import first_id_at

STALE_AFTER = timedelta(days=270)
"""As long as FCM keeps a token that does not show itself (Firebase, "Manage FCM registration tokens")."""

FIRST = UUID(int=0)
_PAGE = """
WITH page AS (
  SELECT id, app_id, coalesce(last_seen_at, created_at) AS seen_at, invalidated_at FROM devices
  WHERE id > $1 AND id < $2 ORDER BY id LIMIT $3)
SELECT p.id, p.app_id, p.seen_at < $4 AND p.invalidated_at IS NULL AND a.braked_at IS NULL AS is_stale
FROM page p JOIN apps a ON a.id = p.app_id ORDER BY p.id
"""


class Looked(NamedTuple):
    """How far a look over the registry has come (None: to its end), and what it has touched."""

    last: UUID | None
    suspended: int
    touched: Touched


async def suspend_stale(conn: asyncpg.Connection, now: datetime, *, after: UUID, limit: int, brake: Brake) -> Looked:
    """Look at the next `limit` devices behind `after`, in the caller's transaction, and suspend those not seen."""
    before = now - STALE_AFTER
    rows = await conn.fetch(_PAGE, after, first_id_at(before), limit, before)
    touched, suspended = Touched(), 0
    for chunk in _chunks([row for row in rows if row["is_stale"]]):
        done = await invalidate(
            conn, chunk, reason=InvalidationReason.STALE, actor=audit.SYSTEM, brake=brake, known_at=now
        )
        touched.user_ids |= done.touched.user_ids
        touched.token_hashes |= done.touched.token_hashes
        suspended += len(done.device_ids)
    return Looked(rows[-1]["id"] if len(rows) == limit else None, suspended, touched)


def _chunks(rows: Sequence[asyncpg.Record]) -> list[list[UUID]]:
    """Of each app few at a time: the brake then lets through what it may, and only stops the rest."""
    of_app: dict[UUID, list[UUID]] = {}
    for row in rows:
        of_app.setdefault(row["app_id"], []).append(row["id"])
    size = LEAST_TO_BRAKE - 1
    return [ids[start : start + size] for ids in of_app.values() for start in range(0, len(ids), size)]
