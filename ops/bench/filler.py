"""Fills a database with a past: notifications of 60 days with their deliveries and events, all of them at an end.

Made by set-based SQL, in the order of their ids, from the numbers 1 to N by hashes: nothing is random, so what is there
can be asked for afterwards without looking for it. The first tenant is the one whose key a local platform knows.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from domain.clock import utc_now
from domain.delivery import PROBLEMS, DeliveryStatus
from domain.ids import uuid7
from domain.lanes import Channel
from domain.reasons import Reason
from ops.stack.database import connected
from ops.stack.seed import TENANT
from ops.stack.tenants import create_tenant
from plumbing.partitions import ensure_partitions
from tracking.events import EventKind

DAYS = 60
_CHUNK = 100_000
_WRITERS = 2
_PER_USER = 25
_SAMPLES = 2000
_TENANTS = (0.70, 0.20, 0.09, 0.01)
"""Which share of everything is whose."""

_S, _K, _R = DeliveryStatus, EventKind, Reason
_SENT = (_K.ATTEMPT_SENT,)
_ENDS: tuple[tuple[float, DeliveryStatus, Reason | None, tuple[EventKind, ...]], ...] = (
    (0.740, _S.DELIVERED, None, (*_SENT, _K.DELIVERED)),
    (0.160, _S.SENT, None, _SENT),
    (0.040, _S.SUPPRESSED, _R.UNSUBSCRIBED_CATEGORY, ()),
    (0.020, _S.FAILED, _R.RETRIES_EXHAUSTED, (_K.ATTEMPT_RESTING, _K.ATTEMPT_RESTING, _K.ATTEMPT_FAILED)),
    (0.013, _S.BOUNCED, _R.BOUNCED, (*_SENT, _K.BOUNCED)),
    (0.013, _S.EXPIRED, _R.EXPIRED, (_K.ATTEMPT_STORED, _K.EXPIRED)),
    (0.007, _S.CANCELLED, _R.CANCELLED, (_K.CANCELLED,)),
    (0.005, _S.COLLAPSED, _R.SUPERSEDED, (_K.ATTEMPT_STORED, _K.COLLAPSED)),
    (0.001, _S.AMBIGUOUS, _R.PROVIDER_SILENT, (_K.ATTEMPT_AMBIGUOUS,)),
    (0.001, _S.DEAD_LETTERED, _R.WORKER_CRASH, (_K.ATTEMPT_UNKNOWN, _K.ATTEMPT_UNKNOWN, _K.DEAD_LETTERED)),
)
"""How deliveries ended, in which share, why, and what happened on the way."""

_DETAIL = '{{"status":"{status}","provider":"carillon","duration_ms":12.5}}'
_CATEGORIES = ("general", "orders", "security")


@dataclass(frozen=True, slots=True)
class FilledTenant:
    """What to ask for as one tenant: some of its notifications, oldest first, and users that have any, the busiest
    first."""

    id: UUID
    name: str
    notifications: tuple[UUID, ...]
    users: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Filled:
    """What is there now, and how long it took to make."""

    notifications: int
    deliveries: int
    events: int
    users: int
    tenants: tuple[FilledTenant, ...]
    since: datetime
    took_s: float


@dataclass(frozen=True, slots=True)
class _Facts:
    """The numbers from which everything follows; `first_user` counts from 0 through all tenants."""

    salt: str
    total: int
    tenants: tuple[UUID, ...]
    first_user: tuple[int, ...]
    users_of: tuple[int, ...]
    since_ms: int
    span_ms: int

    def words(self) -> dict[str, str]:
        """For the statements below; numbers and words of ours only."""
        return {
            "salt": self.salt,
            "total": str(self.total),
            "tenants": _array(self.tenants, "uuid"),
            "first_user": _array(self.first_user, "int"),
            "users_of": _array(self.users_of, "int"),
            "bounds": _array(_cumulated(_TENANTS), "float8"),
            "since_ms": str(self.since_ms),
            "span_ms": str(self.span_ms),
            "ends": _array(_cumulated([share for share, *_ in _ENDS]), "float8"),
            "statuses": _array([status.code for _, status, *_ in _ENDS], "smallint"),
            "reasons": _array([reason.code if reason else None for _, _, reason, _ in _ENDS], "smallint"),
            "problems": _array([status.code for status in PROBLEMS], "smallint"),
            "categories": _array(_CATEGORIES, "text"),
            "channels": _array([Channel.PUSH.code, Channel.EMAIL.code, Channel.SMS.code], "smallint"),
            "names": _array([Channel.PUSH, Channel.EMAIL, Channel.SMS], "text"),
            "happened": ", ".join(_happened()),
            "dead": str(_S.DEAD_LETTERED.code),
        }


_ID = "(lpad(to_hex({ms}), 12, '0') || '7' || substr({hash}, 1, 3) || '8' || substr({hash}, 4, 11) || '{low}')::uuid"
_SHARE = "((hashint8extended({number}, {turn}) & 1048575) / 1048576.0::float8)"


def _id(ms: str, hash_: str, low: str = "0000") -> str:
    return _ID.format(ms=ms, hash=hash_, low=low)


def _share(number: str, turn: int) -> str:
    return _SHARE.format(number=number, turn=turn)


_USER_ID = _id("<since_ms> - 86400000 - u", "md5('<salt> u' || u)")
_BASE = f"""
SELECT f.*, {_id("f.ms", "f.h")} AS id, {_USER_ID} AS user_id, (<tenants>)[f.t] AS tenant_id,
  to_timestamp(f.ms / 1000.0) AS at, width_bucket({_share("f.n", 3)}, ARRAY[0.6, 0.9]) + 1 AS c,
  width_bucket({_share("f.n", 4)}, ARRAY[0.89, 0.99]) + 1 AS deliveries
FROM (SELECT e.*, (<first_user>)[e.t] + floor((<users_of>)[e.t] * power({_share("e.n", 2)}, 2))::int AS u
  FROM (SELECT n, md5('<salt> n' || n) AS h, <since_ms> + n * <span_ms> / <total> AS ms,
    width_bucket({_share("n", 1)}, <bounds>) + 1 AS t FROM generate_series($1::bigint, $2, $3) n) e) f
"""  # noqa: S608  # only our own words
_USERS = f"""
WITH u AS (INSERT INTO users (id, tenant_id, external_id, name, locale, timezone)
  SELECT {_USER_ID}, (<tenants>)[t], 'person-<salt>-' || u, 'Person ' || u, 'en', 'Europe/Berlin'
  FROM unnest(<first_user>, <users_of>) WITH ORDINALITY r(first, many, t), generate_series(first, first + many - 1) u
  RETURNING id, tenant_id, external_id)
INSERT INTO contacts (id, tenant_id, user_id, channel, address, address_key)
SELECT gen_random_uuid(), tenant_id, id, {Channel.EMAIL.code}, external_id || '@example.com', md5(external_id)::uuid
FROM u
"""  # noqa: S608  # only our own words
_NOTIFICATIONS = f"""
INSERT INTO notifications (id, tenant_id, user_id, mode, template, template_version, category, priority, data,
  decisions, expires_at, created_at)
SELECT b.id, b.tenant_id, b.user_id, 1, 'parcel_shipped', 1, (<categories>)[1 + b.n % 3], 2 + b.n % 3,
  convert_to('{{"order":"' || b.n || '","carrier":"DHL","arrives":"tomorrow between 10 and 12","link":'
    || '"https://shop.example.com/orders/' || b.n || '","items":["a green lamp","two chairs"]}}', 'UTF8'),
  convert_to('{{"gates":[{{"gate":"recipient","verdict":"pass","inputs":{{"version":1}}}},'
    || '{{"gate":"template","verdict":"pass","inputs":{{"version":1}}}},'
    || '{{"gate":"consent","verdict":"pass","channel":"' || (<names>)[b.c] || '","inputs":{{"version":1}}}},'
    || '{{"gate":"user_limit","verdict":"pass","channel":"' || (<names>)[b.c] || '"}},'
    || '{{"gate":"quiet_hours","verdict":"pass"}},{{"gate":"dedupe","verdict":"pass"}}],"plan":[["'
    || (<names>)[b.c] || '","queued",null,null,null]]}}', 'UTF8'),
  b.at + interval '1 day', b.at FROM ({_BASE}) b
"""  # noqa: S608  # only our own words
_ENDED = f"""
WITH d AS (INSERT INTO deliveries (id, tenant_id, user_id, address_id, recipient_version, channel, priority, mode,
    status, problem, reason, attempt, expires_at, provider, provider_id, created_at, updated_at)
  SELECT d.id, d.tenant_id, d.user_id, d.address_id, 1, d.channel, d.priority, 1, d.status,
    CASE WHEN d.status = ANY(<problems>) THEN d.status END, d.reason, 1, d.at + interval '1 day', 'carillon', NULL,
    d.at, d.at + interval '3 seconds'
  FROM (SELECT (left(b.id::text, 32) || lpad(to_hex(o), 4, '0'))::uuid AS id, b.tenant_id, b.user_id, b.at,
      md5('<salt> a' || b.u)::uuid AS address_id, 2 + b.n % 3 AS priority,
      (<channels>)[1 + (b.c + o - 2) % 3] AS channel, (<statuses>)[e.place] AS status, (<reasons>)[e.place] AS reason
    FROM ({_BASE}) b CROSS JOIN LATERAL generate_series(1, b.deliveries) o
      CROSS JOIN LATERAL (SELECT width_bucket({_share("b.n * 4 + o", 5)}, <ends>) + 1 AS place) e) d
  RETURNING id, tenant_id, channel, status, created_at, updated_at),
e AS (INSERT INTO events (delivery_id, at, kind, attempt, detail)
  SELECT d.id, d.created_at + h.place * interval '1 second', h.kind, h.place, h.detail
  FROM d JOIN (VALUES <happened>) h(status, place, kind, detail) ON h.status = d.status RETURNING 1),
l AS (INSERT INTO dead_letters (id, tenant_id, delivery_id, channel, reason, detail, fingerprint, evidence, created_at)
  SELECT d.id, d.tenant_id, d.id, d.channel, 'worker_crash', 'the worker ended while it had this delivery',
    'push:carillon:worker_crash', '{{}}', d.updated_at FROM d WHERE d.status = <dead>)
SELECT (SELECT count(*) FROM d) AS deliveries, (SELECT count(*) FROM e) AS events
"""  # noqa: S608  # only our own words
_SAMPLE = f"SELECT b.t, b.id, 'person-<salt>-' || b.u AS person, b.u FROM ({_BASE}) b"  # noqa: S608  # our words


async def fill(database_url: str, *, notifications: int, say: Callable[[str], None]) -> Filled:
    """Add so many notifications to a database at the newest schema, and have it analysed. 5,000,000 take minutes.

    Raises the driver's errors: a database that cannot be filled is no good for what comes next.
    """
    began = time.monotonic()
    since = utc_now() - timedelta(days=DAYS)
    async with connected(database_url) as conn:
        names = (TENANT, *(f"filled-{number}" for number in range(2, len(_TENANTS) + 1)))
        tenants = [await create_tenant(conn, name) for name in names]
        await ensure_partitions(conn, since)
        facts = _facts(tenants, notifications, since)
        await conn.execute(_said(_USERS, facts))
    deliveries, events = await _write(database_url, facts, say)
    async with connected(database_url) as conn:
        say("collecting statistics")
        await conn.execute("VACUUM (ANALYZE) users, contacts, notifications, deliveries, events, dead_letters")
        rows = await conn.fetch(_said(_SAMPLE, facts), 1, notifications, max(1, notifications // _SAMPLES))
    told = tuple(_tenant(place, tenants[place], name, rows) for place, name in enumerate(names))
    took_s = time.monotonic() - began
    return Filled(notifications, deliveries, events, sum(facts.users_of), told, since, took_s)


async def _write(url: str, facts: _Facts, say: Callable[[str], None]) -> tuple[int, int]:
    """Part by part, some at once; how many deliveries and events it made."""
    starts = iter(range(1, facts.total + 1, _CHUNK))
    counts = [0, 0]

    async def writer() -> None:
        async with connected(url) as conn:
            await conn.execute("SET synchronous_commit = off")
            for start in starts:
                last = min(start + _CHUNK - 1, facts.total)
                made = await _write_part(conn, facts, start, last)
                counts[:] = [count + more for count, more in zip(counts, made, strict=True)]
                say(f"{last:,} of {facts.total:,} notifications")

    async with asyncio.TaskGroup() as group:
        for _ in range(_WRITERS):
            group.create_task(writer())
    return counts[0], counts[1]


async def _write_part(conn: asyncpg.Connection, facts: _Facts, first: int, last: int) -> tuple[int, int]:
    async with conn.transaction():
        await conn.execute(_said(_NOTIFICATIONS, facts), first, last, 1)
        row = await conn.fetchrow(_said(_ENDED, facts), first, last, 1)
    return int(row["deliveries"]), int(row["events"])


def _facts(tenants: list[UUID], total: int, since: datetime) -> _Facts:
    users_of = [max(1, int(total * share) // _PER_USER) for share in _TENANTS]
    return _Facts(
        salt=uuid7().hex[-8:],
        total=total,
        tenants=tuple(tenants),
        first_user=tuple(sum(users_of[:place]) for place in range(len(users_of))),
        users_of=tuple(users_of),
        since_ms=int(since.timestamp() * 1000),
        span_ms=int(timedelta(days=DAYS).total_seconds() * 1000) - 1000,
    )


def _tenant(place: int, identifier: UUID, name: str, rows: list[Any]) -> FilledTenant:
    """Small numbers of users are the busy ones, see _BASE."""
    mine = [row for row in rows if row["t"] == place + 1]
    people = dict.fromkeys(row["person"] for row in sorted(mine, key=lambda row: int(row["u"])))
    return FilledTenant(identifier, name, tuple(row["id"] for row in mine), tuple(people))


def _happened() -> list[str]:
    return [
        f"({status.code}::smallint, {place}::smallint, {kind.code}::smallint, "
        f"convert_to('{_DETAIL.format(status=status)}', 'UTF8'))"
        for _, status, _, kinds in _ENDS
        for place, kind in enumerate(kinds, 1)
    ]


def _cumulated(shares: Any) -> list[float]:
    """The upper bounds of all but the last share: what `width_bucket` wants."""
    return [round(sum(shares[:place]), 6) for place in range(1, len(shares))]


def _array(values: Any, kind: str) -> str:
    words = ", ".join("NULL" if value is None else f"'{value}'" for value in values)
    return f"ARRAY[{words}]::{kind}[]"


def _said(statement: str, facts: _Facts) -> str:
    for name, value in facts.words().items():
        statement = statement.replace(f"<{name}>", value)
    return statement
