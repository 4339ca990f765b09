"""What a user was sent of one template around a time: the notifications themselves, and the nearest ones outside."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.ids import first_id_at
from plumbing.database import postgres_errors
from tracking import history
from tracking.views import Explanation

MOST = 20
_WALK = 2000
_WITHIN = """
SELECT id FROM notifications
WHERE user_id = :user AND id >= :first AND id < :end AND template = :template ORDER BY id LIMIT :limit
"""
_BEFORE = """
SELECT id FROM (
  SELECT id, template FROM notifications WHERE user_id = :user AND id < :first ORDER BY id DESC LIMIT :walk) w
WHERE template = :template ORDER BY id DESC LIMIT 1
"""
_AFTER = """
SELECT id FROM (
  SELECT id, template FROM notifications WHERE user_id = :user AND id >= :end ORDER BY id LIMIT :walk) w
WHERE template = :template ORDER BY id LIMIT 1
"""


@dataclass(slots=True)
class Around:
    """At most 20 notifications of the window, oldest first, and the last one before and the first one after it."""

    within: list[Explanation]
    before: UUID | None
    after: UUID | None


async def around(
    engine: AsyncEngine, tenant_id: UUID, user_id: UUID, template: str, *, at: datetime, window: timedelta
) -> Around:
    """What was accepted for the user of that template at most `window` before or after `at`. Unavailable."""
    facts = {"user": user_id, "template": template, "first": first_id_at(at - window), "end": first_id_at(at + window)}
    with postgres_errors():
        async with engine.connect() as conn:
            ids = (await conn.execute(text(_WITHIN), {**facts, "limit": MOST})).scalars().all()
            before = (await conn.execute(text(_BEFORE), {**facts, "walk": _WALK})).scalar_one_or_none()
            after = (await conn.execute(text(_AFTER), {**facts, "walk": _WALK})).scalar_one_or_none()
    found = [await history.explain(engine, tenant_id, one) for one in ids]
    return Around([each for each in found if each is not None], before, after)
