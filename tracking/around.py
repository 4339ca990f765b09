"""What a user was sent of one template around a time: the notifications themselves, and the nearest ones outside."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from domain.ids import first_id_at
from plumbing.database import borrow
from tracking import history
from tracking.views import View

MOST = 20
_WALK = 2000
_WITHIN = """
SELECT id FROM notifications
WHERE user_id = $1 AND template = $2 AND id >= $3 AND id < $4 ORDER BY id LIMIT $5
"""
_BEFORE = """
SELECT id FROM (
  SELECT id, template FROM notifications WHERE user_id = $1 AND id < $3 ORDER BY id DESC LIMIT $4) w
WHERE template = $2 ORDER BY id DESC LIMIT 1
"""
_AFTER = """
SELECT id FROM (
  SELECT id, template FROM notifications WHERE user_id = $1 AND id >= $3 ORDER BY id LIMIT $4) w
WHERE template = $2 ORDER BY id LIMIT 1
"""


@dataclass(slots=True)
class Around:
    """At most 20 notifications of the window, oldest first, and the last one before and the first one after it."""

    within: list[View]
    before: UUID | None
    after: UUID | None


async def around(
    pool: asyncpg.Pool, tenant_id: UUID, user_id: UUID, template: str, *, at: datetime, window: timedelta
) -> Around:
    """What was accepted for the user of that template at most `window` before or after `at`. Unavailable."""
    first, end = first_id_at(at - window), first_id_at(at + window)
    async with borrow(pool) as conn:
        ids = [row["id"] for row in await conn.fetch(_WITHIN, user_id, template, first, end, MOST)]
        before = await conn.fetchval(_BEFORE, user_id, template, first, _WALK)
        after = await conn.fetchval(_AFTER, user_id, template, end, _WALK)
    found = [await history.explain(pool, tenant_id, one) for one in ids]
    return Around([each for each in found if each is not None], before, after)
