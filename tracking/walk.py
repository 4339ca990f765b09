"""The walk behind a list: which notifications of a tenant a page holds, by ids alone, newest first.

A walk goes down one index: that of a user, of a campaign, of deliveries with a problem, or of the tenant. Everything
else that is asked for is looked at on the way, at most 2,000 steps for one page, which then ends with a cursor: longer
walks would keep a reader waiting for what nobody has. PostgreSQL judges each step, so that only ids travel.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.delivery import PROBLEMS, DeliveryStatus
from domain.ids import first_id_at
from domain.lanes import Channel, Priority

MAX_WALK = 2000
_WIDEN = 4

_ITS_FIRST = "(left({id}::text, 32) || '0000')::uuid"
_STEPS = """
WITH walked AS MATERIALIZED (SELECT {id} AS id FROM {table} WHERE {where} ORDER BY {key} DESC LIMIT :step)
SELECT count(*) AS walked, (array_agg(w.id ORDER BY w.id))[1] AS last,
  array_agg(w.id ORDER BY w.id DESC) FILTER (WHERE w.fits) AS ids
FROM (SELECT w.id, {fits} AS fits FROM walked w) w
"""
_NOTE = "EXISTS (SELECT 1 FROM notifications n WHERE n.id = w.id AND {what})"
_DELIVERY = """EXISTS (
  SELECT 1 FROM deliveries d WHERE d.id > w.id AND d.id <= (left(w.id::text, 32) || 'ffff')::uuid AND {what})"""


@dataclass(frozen=True, slots=True)
class Filters:
    """What a list is narrowed to. `status` and `channel` speak of one and the same delivery; `since` is inclusive."""

    status: DeliveryStatus | None = None
    channel: Channel | None = None
    user: str | None = None
    category: str | None = None
    priority: Priority | None = None
    campaign_id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None


async def walk(
    conn: AsyncConnection, tenant_id: UUID, filters: Filters, *, user_id: UUID | None, below: UUID | None, limit: int
) -> tuple[list[UUID], UUID | None]:
    """The ids of a page, at most `limit`, and below which id to go on; None when nothing is left there."""
    by_problem = filters.status in PROBLEMS and user_id is None and filters.campaign_id is None
    judged = _judged(filters, by_problem=by_problem)
    found: dict[UUID, None] = {}
    walked, step = 0, limit + 1
    while walked < MAX_WALK:
        where, given = _where(tenant_id, filters, by_problem=by_problem, user_id=user_id, below=below)
        statement = _statement(where, judged, by_problem=by_problem)
        row = (await conn.execute(text(statement), {**given, **_facts(filters), "step": step})).one()
        found |= dict.fromkeys(row.ids or ())
        if len(found) > limit:
            ids = list(found)[:limit]
            return ids, ids[-1]
        if row.walked < step:
            return list(found), None
        below, walked = row.last, walked + row.walked
        step = min(step * _WIDEN, MAX_WALK - walked)
    return list(found), below


def _statement(where: list[str], judged: list[str], *, by_problem: bool) -> str:
    return _STEPS.format(
        id=_ITS_FIRST.format(id="d.id") if by_problem else "n.id",
        table="deliveries d" if by_problem else "notifications n",
        where=" AND ".join(where),
        key="d.id" if by_problem else "n.id",
        fits=" AND ".join(judged) or "true",
    )


def _where(
    tenant_id: UUID, filters: Filters, *, by_problem: bool, user_id: UUID | None, below: UUID | None
) -> tuple[list[str], dict[str, Any]]:
    """What the index that is walked knows."""
    of = "d" if by_problem else "n"
    wanted: tuple[tuple[str, str, object], ...] = (
        (f"{of}.tenant_id = :tenant_id", "tenant_id", tenant_id),
        ("n.user_id = :user_id", "user_id", user_id),
        (f"{of}.id < :below", "below", below),
        (f"{of}.id >= :first", "first", first_id_at(filters.since) if filters.since else None),
    )
    if by_problem:
        wanted = (*wanted, ("d.problem = :status", "status", filters.status and filters.status.code))
    else:
        wanted = (*wanted, ("n.campaign_id = :campaign_id", "campaign_id", filters.campaign_id))
    known = [(clause, name, value) for clause, name, value in wanted if value is not None]
    return [clause for clause, _, _ in known], {name: value for _, name, value in known}


def _judged(filters: Filters, *, by_problem: bool) -> list[str]:
    """What must be looked at for each step; never joined, so that no planner reads whole tables for it."""
    judged = []
    of_note = [f"n.{name} = :{name}" for name in ("category", "priority") if getattr(filters, name) is not None]
    if of_note:
        judged.append(_NOTE.format(what=" AND ".join(of_note)))
    of_one = [f"d.{name} = :{name}" for name in ("status", "channel") if getattr(filters, name) is not None]
    if filters.channel is not None or (filters.status is not None and not by_problem):
        judged.append(_DELIVERY.format(what=" AND ".join(of_one)))
    return judged


def _facts(filters: Filters) -> dict[str, Any]:
    """The values of what is judged."""
    return {
        "category": filters.category,
        "priority": filters.priority and filters.priority.code,
        "status": filters.status and filters.status.code,
        "channel": filters.channel and filters.channel.code,
    }
