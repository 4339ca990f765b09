"""The walk behind a list: which notifications of a tenant a page holds, by ids alone, newest first.

A walk goes down one index, that of a user, of a campaign, of deliveries with a problem, or of the tenant; or down the
to-do list, for what is open, while that is short. Everything else that is asked for is looked at on the way, at most
2,000 steps for one page, which then ends with a cursor: longer walks would keep a reader waiting for what nobody has.
PostgreSQL judges each step and stops when the page is full, so that only ids travel.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from domain.delivery import OPEN, PROBLEMS, DeliveryStatus
from domain.ids import first_id_at
from domain.lanes import Channel, Priority

MAX_WALK = 2000
SHORT_LIST_BYTES = 2**20
"""Of the to-do list of all tenants, on its pages: a longer one is not read through for one tenant's part of it."""

_ITS_FIRST = "(left(d.id::text, 32) || '0000')::uuid"
_WALK = """
WITH walked AS NOT MATERIALIZED (
  SELECT {of}.id AS step, {id} AS id, {is_right} AS is_right
  FROM {table} WHERE {where} ORDER BY {of}.id DESC LIMIT {most}),
found AS MATERIALIZED (SELECT w.id FROM walked w WHERE {fits} ORDER BY w.step DESC LIMIT {wanted}),
page AS MATERIALIZED (SELECT count(*) AS many, array_agg(id ORDER BY id DESC) AS ids FROM found)
SELECT page.many, page.ids, rest.walked, rest.last FROM page CROSS JOIN LATERAL (
  SELECT count(*) AS walked, (array_agg(id ORDER BY step))[1] AS last FROM walked WHERE page.many < {wanted}) rest
"""
"""How far the walk came is asked only when the page is not full."""

_NOTE = "(SELECT true FROM notifications n WHERE n.id = w.id AND {what})"
_DELIVERY = """(SELECT true FROM deliveries d
  WHERE d.id > w.id AND d.id <= (left(w.id::text, 32) || 'ffff')::uuid AND {what} LIMIT 1)"""
_IS_SHORT = f"SELECT pg_table_size('outbox') <= {SHORT_LIST_BYTES}"  # only our own words
"""Counted in bytes, not in rows: a reader is shown its own tenant's, and would read all others to count those."""


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


@dataclass(frozen=True, slots=True)
class _Way:
    """What is walked, in the order of its ids, and the notification that a step speaks of."""

    table: str
    of: str
    id: str


_NOTIFICATIONS = _Way("notifications n", "n", "n.id")
_PROBLEMS = _Way("deliveries d", "d", _ITS_FIRST)
_TO_DO = _Way("(SELECT o.tenant_id, u.id FROM outbox o, unnest(o.delivery_ids) u(id)) d", "d", _ITS_FIRST)


async def walk(
    conn: asyncpg.Connection, tenant_id: UUID, filters: Filters, *, user_id: UUID | None, below: UUID | None, limit: int
) -> tuple[list[UUID], UUID | None]:
    """The ids of a page, at most `limit`, and below which id to go on; None when nothing is left there."""
    way = await _way(conn, filters, user_id=user_id)
    found: dict[UUID, None] = {}
    walked = 0
    while walked < MAX_WALK:
        most, wanted = MAX_WALK - walked, limit + 1 - len(found)
        statement, given = _statement(way, tenant_id, filters, user_id=user_id, below=below, most=most, wanted=wanted)
        row = await conn.fetchrow(statement, *given)
        found |= dict.fromkeys(row["ids"] or ())
        if len(found) > limit:
            ids = list(found)[:limit]
            return ids, ids[-1]
        if row["many"] < wanted:
            return list(found), row["last"] if row["walked"] == most else None
        below, walked = row["ids"][-1], walked + wanted  # some of them were of one notification
    return list(found), below


async def _way(conn: asyncpg.Connection, filters: Filters, *, user_id: UUID | None) -> _Way:
    """A user and a campaign have few; else problems have an index, and what is open stands on the to-do list."""
    if user_id is None and filters.campaign_id is None:
        if filters.status in PROBLEMS:
            return _PROBLEMS
        if filters.status in OPEN and await conn.fetchval(_IS_SHORT):
            return _TO_DO
    return _NOTIFICATIONS


def _statement(
    way: _Way,
    tenant_id: UUID,
    filters: Filters,
    *,
    user_id: UUID | None,
    below: UUID | None,
    most: int,
    wanted: int,
) -> tuple[str, list[object]]:
    """The next part of the walk, and its arguments."""
    given = _Given()
    of, first = way.of, first_id_at(filters.since) if filters.since else None
    where = given.clauses(
        (f"{of}.tenant_id =", tenant_id),
        ("n.user_id =", user_id),
        (f"{of}.id <", below),
        (f"{of}.id >=", first),
        *([("d.problem =", _code(filters.status))] if way is _PROBLEMS else [("n.campaign_id =", filters.campaign_id)]),
    )
    is_right, fits = _judged(way, filters, given)
    shape = {"of": of, "id": way.id, "table": way.table, "where": where, "is_right": is_right, "fits": fits}
    return _WALK.format(**shape, most=given.one(most), wanted=given.one(wanted)), given.values


def _judged(way: _Way, filters: Filters, given: "_Given") -> tuple[str, str]:
    """What must be true of a step itself, and of what stands elsewhere; never joined, so that no planner reads whole
    tables for it."""
    status, channel = _code(filters.status), _code(filters.channel)
    of_note = given.clauses(("n.category =", filters.category), ("n.priority =", _code(filters.priority)))
    elsewhere = ["w.is_right"]
    if of_note:
        elsewhere.append(_NOTE.format(what=of_note))
    if way is _PROBLEMS:
        return given.clauses(("d.channel =", channel)) or "true", " AND ".join(elsewhere)
    if of_one := given.clauses(("d.status =", status), ("d.channel =", channel)):
        elsewhere.append(_DELIVERY.format(what=of_one))
    return "true", " AND ".join(elsewhere)


class _Given:
    """Arguments of a statement, by their numbers."""

    def __init__(self) -> None:
        self.values: list[object] = []

    def one(self, value: object) -> str:
        """Its place in the statement."""
        self.values.append(value)
        return f"${len(self.values)}"

    def clauses(self, *wanted: tuple[str, object]) -> str:
        """Those that are asked for, all to be true; empty when none is."""
        return " AND ".join(f"{clause} {self.one(value)}" for clause, value in wanted if value is not None)


def _code(word: DeliveryStatus | Channel | Priority | None) -> int | None:
    return None if word is None else word.code
