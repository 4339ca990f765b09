"""Reads of dead letters: chosen by ids or by a filter, listed, one alone, and as clusters of one cause. Writes nothing.

Statements name only the conditions that were asked for: so each finds the index that was made for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
import msgspec

from domain.lanes import Channel
from plumbing.database import borrow

MAX_CLUSTERS = 100
_SHOWN = """l.id, l.tenant_id, l.delivery_id, l.channel, l.reason, l.detail, l.cluster, l.fingerprint,
  l.evidence::text AS evidence, l.created_at, l.settled_at, l.settlement"""
_ONE = f"SELECT {_SHOWN} FROM dead_letters l WHERE l.tenant_id = $1 AND l.id = $2"  # noqa: S608  # only our own words
_CLUSTERS = """
SELECT l.cluster, min(l.fingerprint) AS fingerprint, min(l.channel) AS channel, count(*) AS count,
  min(l.created_at) AS first_seen_at, max(l.created_at) AS last_seen_at,
  count(*) FILTER (WHERE l.created_at > now() - interval '1 hour') AS last_hour,
  count(*) FILTER (WHERE l.created_at <= now() - interval '1 hour' AND l.created_at > now() - interval '2 hours')
    AS hour_before,
  count(DISTINCT l.recipient_id) AS reach
FROM dead_letters l WHERE {} GROUP BY l.cluster ORDER BY count(*) DESC, max(l.created_at) DESC LIMIT {}
"""
_WORDS = """
SELECT n.data, n.template, n.template_version, d.expires_at, u.external_id, u.name, c.address
FROM deliveries d JOIN notifications n ON n.id = $2
LEFT JOIN users u ON u.id = d.user_id LEFT JOIN contacts c ON c.id = d.address_id
WHERE d.id = $1
"""


class LetterState(StrEnum):
    """Whether somebody still has to do something about a letter."""

    OPEN = "open"
    SETTLED = "settled"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which letters are meant: these ids, or all that a filter lets through. `since` and `until`: when it died."""

    ids: tuple[UUID, ...] | None = None
    channel: Channel | None = None
    reason: str | None = None
    cluster: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    state: LetterState = LetterState.OPEN


class Mark(NamedTuple):
    """A place in the list: the letters after it are older."""

    created_at: datetime
    id: UUID


@dataclass(slots=True)
class Letter:
    """A letter as it was kept; `settlement` is `replayed` or `discarded`."""

    id: UUID
    tenant_id: UUID
    delivery_id: UUID | None
    channel: Channel | None
    reason: str
    detail: str
    cluster: str
    fingerprint: str
    evidence: dict[str, Any]
    created_at: datetime
    settled_at: datetime | None
    settlement: str | None

    @property
    def mark(self) -> Mark:
        return Mark(self.created_at, self.id)


@dataclass(slots=True)
class Cluster:
    """Letters of one cause. `reach` counts users, and addresses and devices without one."""

    cluster: str
    channel: Channel | None
    provider: str | None
    error: str
    template: str | None
    count: int
    first_seen_at: datetime
    last_seen_at: datetime
    last_hour: int
    hour_before: int
    reach: int


@dataclass(slots=True)
class Words:
    """What a letter's delivery is made of, as it would be sent now; `data` is content when there is no template."""

    data: bytes
    template: str | None
    template_version: int
    expires_at: datetime
    user: str | None
    name: str | None
    address: str | None


@dataclass(slots=True)
class Query:
    """A statement in the making: its conditions, and the values that they speak of."""

    tenant_id: UUID
    values: list[Any] = field(default_factory=list)

    def value(self, value: Any) -> str:
        """The parameter that stands for a value."""
        self.values.append(value)
        return f"${len(self.values)}"

    def where(self, chosen: Chosen) -> str:
        """The conditions of a choice, for letters `l`."""
        equal = {
            "channel": chosen.channel.code if chosen.channel is not None else None,
            "reason": chosen.reason,
            "cluster": chosen.cluster,
        }
        parts = [f"l.tenant_id = {self.value(self.tenant_id)}"]
        parts += [f"l.{name} = {self.value(value)}" for name, value in equal.items() if value is not None]
        if chosen.ids is not None:
            parts.append(f"l.id = ANY({self.value(list(chosen.ids))}::uuid[])")
        if chosen.since is not None:
            parts.append(f"l.created_at >= {self.value(chosen.since)}")
        if chosen.until is not None:
            parts.append(f"l.created_at < {self.value(chosen.until)}")
        if chosen.state is not LetterState.ALL:
            parts.append(f"l.settled_at IS {'NOT ' if chosen.state is LetterState.SETTLED else ''}NULL")
        return " AND ".join(parts)


async def list_page(
    pool: asyncpg.Pool, tenant_id: UUID, chosen: Chosen, *, limit: int, after: Mark | None = None
) -> list[Letter]:
    """Letters of this tenant, the last that died first. Raises Unavailable."""
    statement, values = page_statement(tenant_id, chosen, limit=limit, after=after)
    async with borrow(pool) as conn:
        return [letter_of_row(row) for row in await conn.fetch(statement, *values)]


def page_statement(tenant_id: UUID, chosen: Chosen, *, limit: int, after: Mark | None = None) -> tuple[str, list[Any]]:
    """The statement of a page, and its values."""
    query = Query(tenant_id)
    where = query.where(chosen)
    if after is not None:
        where += f" AND (l.created_at, l.id) < ({query.value(after.created_at)}, {query.value(after.id)})"
    statement = (
        f"SELECT {_SHOWN} FROM dead_letters l WHERE {where}"  # noqa: S608  # only our own words
        f" ORDER BY l.created_at DESC, l.id DESC LIMIT {query.value(limit)}"
    )
    return statement, query.values


async def get(pool: asyncpg.Pool, tenant_id: UUID, letter_id: UUID) -> Letter | None:
    """One letter of this tenant, or None. Raises Unavailable."""
    async with borrow(pool) as conn:
        row = await conn.fetchrow(_ONE, tenant_id, letter_id)
    return letter_of_row(row) if row is not None else None


async def clusters(pool: asyncpg.Pool, tenant_id: UUID, chosen: Chosen) -> list[Cluster]:
    """The 100 largest clusters of these letters, the largest first. Raises Unavailable."""
    statement, values = clusters_statement(tenant_id, chosen)
    async with borrow(pool) as conn:
        return [_cluster(row) for row in await conn.fetch(statement, *values)]


def clusters_statement(tenant_id: UUID, chosen: Chosen) -> tuple[str, list[Any]]:
    """The statement of the clusters, and its values."""
    query = Query(tenant_id)
    where = query.where(chosen)
    return _CLUSTERS.format(where, query.value(MAX_CLUSTERS)), query.values


async def count(conn: asyncpg.Connection, tenant_id: UUID, chosen: Chosen, *, at_most: int) -> int:
    """How many letters these are; from `at_most` on nobody counts them all."""
    query = Query(tenant_id)
    where = query.where(chosen)
    statement = f"SELECT count(*) FROM (SELECT 1 FROM dead_letters l WHERE {where} LIMIT {query.value(at_most)}) x"  # noqa: S608  # only our own words
    found: int = await conn.fetchval(statement, *query.values)
    return found


async def words_of(conn: asyncpg.Connection, delivery_id: UUID, notification_id: UUID) -> Words | None:
    """What this delivery is made of; None when it went with its month."""
    row = await conn.fetchrow(_WORDS, delivery_id, notification_id)
    if row is None:
        return None
    return Words(
        bytes(row["data"]),
        row["template"],
        row["template_version"],
        row["expires_at"],
        row["external_id"],
        row["name"],
        row["address"],
    )


def letter_of_row(row: Any) -> Letter:
    """A letter from its row."""
    return Letter(
        id=row["id"],
        tenant_id=row["tenant_id"],
        delivery_id=row["delivery_id"],
        channel=Channel.of(row["channel"]) if row["channel"] is not None else None,
        reason=row["reason"],
        detail=row["detail"],
        cluster=row["cluster"],
        fingerprint=row["fingerprint"],
        evidence=msgspec.json.decode(row["evidence"]),
        created_at=row["created_at"],
        settled_at=row["settled_at"],
        settlement=row["settlement"],
    )


def _cluster(row: Any) -> Cluster:
    provider, error, template = _parts(row["fingerprint"].split("|"))
    return Cluster(
        cluster=row["cluster"],
        channel=Channel.of(row["channel"]) if row["channel"] is not None else None,
        provider=provider,
        error=error,
        template=template,
        count=row["count"],
        first_seen_at=row["first_seen_at"],
        last_seen_at=row["last_seen_at"],
        last_hour=row["last_hour"],
        hour_before=row["hour_before"],
        reach=row["reach"],
    )


def _parts(parts: Sequence[str]) -> tuple[str | None, str, str | None]:
    """Provider, error and template of a fingerprint; letters of older releases had no provider in theirs."""
    if len(parts) < 3:
        return None, parts[-1], None
    provider = parts[1] if len(parts) > 3 and parts[1] != "-" else None
    return provider, parts[-2], parts[-1] if parts[-1] != "-" else None
