"""Topics: who subscribed to what, and what a topic keeps for subscribers that are away. The only writer of both tables.

A topic is there from its first subscription or declaration on, and stays when its last subscriber leaves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, TypeAlias
from uuid import UUID

import asyncpg

from plumbing.database import postgres_errors

MAX_OF_DEVICE = 2000
"""Topics of one device, as with others."""

_PUT = """
INSERT INTO topics AS t (tenant_id, name, storage) VALUES ($1, $2, $3)
ON CONFLICT (tenant_id, name) DO UPDATE SET storage = excluded.storage RETURNING (xmax = 0) AS is_new
"""
_ADD = "INSERT INTO topics (tenant_id, name) VALUES ($1, $2) ON CONFLICT (tenant_id, name) DO NOTHING"
_COUNTS = """(SELECT count(*) FROM topic_subscriptions s
  WHERE s.tenant_id = t.tenant_id AND s.topic = t.name)::int AS subscribers"""
_GET = f"""
SELECT t.name, t.storage, t.created_at, {_COUNTS} FROM topics t WHERE t.tenant_id = $1 AND t.name = $2
"""  # noqa: S608  # only our own words
_LIST = f"""
SELECT t.name, t.storage, t.created_at, {_COUNTS} FROM topics t
WHERE t.tenant_id = $1 AND t.name > $2 ORDER BY t.name LIMIT $3
"""  # noqa: S608  # only our own words
_SUBSCRIBE = """
WITH wanted AS (SELECT d.id, (SELECT count(*) FROM topic_subscriptions s WHERE s.device_id = d.id) AS topics
  FROM devices d WHERE d.tenant_id = $1 AND d.id = ANY ($3::uuid[]) ORDER BY d.id FOR KEY SHARE),
added AS (
  INSERT INTO topic_subscriptions (device_id, topic, tenant_id)
  SELECT w.id, $2, $1 FROM wanted w WHERE w.topics < $4 ORDER BY w.id
  ON CONFLICT (device_id, topic) DO NOTHING RETURNING device_id)
SELECT w.id, a.device_id IS NOT NULL AS is_new, w.topics >= $4 AND NOT EXISTS (
  SELECT 1 FROM topic_subscriptions s WHERE s.device_id = w.id AND s.topic = $2) AS is_full
FROM wanted w LEFT JOIN added a ON a.device_id = w.id
"""
_UNSUBSCRIBE = """
DELETE FROM topic_subscriptions s USING devices d
WHERE d.id = s.device_id AND d.tenant_id = $1 AND s.topic = $2 AND s.device_id = ANY ($3::uuid[]) RETURNING s.device_id
"""
_LEAVE_ALL = """
WITH gone AS (DELETE FROM topic_subscriptions WHERE device_id = ANY ($1::uuid[]) RETURNING 1)
SELECT count(*)::int FROM gone
"""
_KNOWN = "SELECT id FROM devices WHERE tenant_id = $1 AND id = ANY ($2::uuid[])"
_ONE = """
SELECT topic, subscribed_at FROM topic_subscriptions WHERE tenant_id = $1 AND device_id = $2 AND topic = $3
"""
_OF_DEVICE = """
SELECT topic, subscribed_at FROM topic_subscriptions
WHERE tenant_id = $1 AND device_id = $2 AND topic > $3 ORDER BY topic LIMIT $4
"""

Source: TypeAlias = asyncpg.Connection | asyncpg.Pool


class TopicStorage(StrEnum):
    """What is kept of a topic for a subscriber that is away."""

    NONE = "none"
    MOST_RECENT = "most_recent"


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic and how many devices subscribe to it, valid or not."""

    name: str
    storage: TopicStorage
    created_at: datetime
    subscribers: int


class Subscription(NamedTuple):
    """A topic of a device."""

    topic: str
    subscribed_at: datetime


@dataclass(frozen=True, slots=True)
class Subscribed:
    """What became of devices that were to subscribe: new ones, those with too many topics, and those nobody knows."""

    added: set[UUID]
    full: set[UUID]
    unknown: set[UUID]


async def put(source: Source, tenant: UUID, name: str, storage: TopicStorage) -> bool:
    """Declare a topic, or say anew what it keeps; whether it is new. Unavailable."""
    with postgres_errors():
        is_new: bool = await source.fetchval(_PUT, tenant, name, str(storage))
    return is_new


async def get(source: Source, tenant: UUID, name: str) -> Topic | None:
    """The topic with its count, or None. Unavailable."""
    with postgres_errors():
        row = await source.fetchrow(_GET, tenant, name)
    return _topic(row) if row is not None else None


async def list_page(source: Source, tenant: UUID, *, limit: int, after: str = "") -> list[Topic]:
    """The tenant's topics by name. Unavailable."""
    with postgres_errors():
        return [_topic(row) for row in await source.fetch(_LIST, tenant, after, limit)]


async def subscribe(conn: asyncpg.Connection, tenant: UUID, topic: str, device_ids: Sequence[UUID]) -> Subscribed:
    """Subscribe devices of a tenant to a topic, which is made when it is not there. Twice is the same as once."""
    wanted = sorted(set(device_ids))
    rows = await conn.fetch(_SUBSCRIBE, tenant, topic, wanted, MAX_OF_DEVICE)
    if rows:
        await conn.execute(_ADD, tenant, topic)
    return Subscribed(
        {row["id"] for row in rows if row["is_new"]},
        {row["id"] for row in rows if row["is_full"]},
        set(wanted) - {row["id"] for row in rows},
    )


async def subscription(source: Source, tenant: UUID, device_id: UUID, topic: str) -> Subscription | None:
    """A device's subscription to a topic, or None. Unavailable."""
    with postgres_errors():
        row = await source.fetchrow(_ONE, tenant, device_id, topic)
    return Subscription(*row) if row is not None else None


async def unsubscribe(
    conn: asyncpg.Connection, tenant: UUID, topic: str, device_ids: Sequence[UUID]
) -> tuple[set[UUID], set[UUID]]:
    """Take devices off a topic: those that were on it, and those nobody knows."""
    wanted = sorted(set(device_ids))
    removed = {row["device_id"] for row in await conn.fetch(_UNSUBSCRIBE, tenant, topic, wanted)}
    known = {row["id"] for row in await conn.fetch(_KNOWN, tenant, wanted)}
    return removed, set(wanted) - known


async def leave_all(conn: asyncpg.Connection, device_ids: Sequence[UUID]) -> int:
    """Take devices off every topic; how many subscriptions that were."""
    count: int = await conn.fetchval(_LEAVE_ALL, sorted(device_ids))
    return count


async def of_device(
    source: Source, tenant: UUID, device_id: UUID, *, limit: int, after: str = ""
) -> list[Subscription]:
    """A device's topics by name. Unavailable."""
    with postgres_errors():
        rows = await source.fetch(_OF_DEVICE, tenant, device_id, after, limit)
    return [Subscription(*row) for row in rows]


def _topic(row: asyncpg.Record) -> Topic:
    return Topic(row["name"], TopicStorage(row["storage"]), row["created_at"], row["subscribers"])
