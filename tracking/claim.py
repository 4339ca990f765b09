"""Claims deliveries for a worker: a lease, a fencing token and the attempt's number, committed before anything is sent.

What may have killed two workers is claimed alone or not at all. A claim never takes over an expired lease (the sweeper
judges those), and answers for every id it was asked about.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from domain.clock import utc_now
from domain.delivery import WAITING, DeliveryStatus
from domain.errors import Unavailable
from domain.ids import notification_of
from domain.lanes import Channel, Priority
from domain.notification import Mode
from plumbing.database import borrow, postgres_errors
from tracking import outbox
from tracking.events import detail
from tracking.months import of_this_month
from tracking.sql import sql
from tracking.webhooks.noting import heard

SUSPECT_FROM = 2
"""From so many attempts without outcome on a delivery is worked alone, in quarantine, whoever brings it."""

_ANY_CRASHES = 32767

_VERSION = """coalesce(
  (SELECT u.version FROM users u WHERE u.id = d.user_id), (SELECT c.version FROM contacts c WHERE c.id = d.address_id),
  (SELECT v.version FROM devices v WHERE v.id = d.address_id))
"""
_CLAIMING = """
WITH taken AS (
  UPDATE deliveries d SET status = <sending>, attempt = d.attempt + 1, problem = NULL, reason = NULL,
    lease_token = $3, lease_until = now() + $4::interval, next_attempt_at = NULL, updated_at = now()
  FROM unnest($1::uuid[], $2::uuid[]) k(id, notification_id) JOIN notifications n ON n.id = k.notification_id
  WHERE d.id = k.id AND d.status IN <WAITING> AND d.expires_at > now() AND n.cancelled_at IS NULL
    AND (d.next_attempt_at IS NULL OR d.next_attempt_at <= now() + interval '1 second')
    AND (d.recheck_at IS NULL OR d.recheck_at > now())
    AND d.recipient_version = {version} AND d.crashes < $5
  RETURNING d.id, n.id AS notification_id, d.tenant_id, d.user_id, d.address_id, d.channel, d.priority, d.mode,
    n.template, n.template_version, n.locale, n.category, n.data, n.collapse_id, d.attempt, d.crashes, d.expires_at,
    d.envelope_id, d.lease_until){not_flushed}
SELECT t.id, t.notification_id, t.tenant_id, t.user_id, u.external_id, t.address_id, coalesce(c.address, v.id::text),
  u.name, u.timezone, u.locale, t.template, t.template_version, t.locale, t.category, t.data, t.attempt, t.crashes,
  t.expires_at, t.envelope_id, t.lease_until, t.collapse_id, coalesce(a.silent_per_hour, 0), t.channel, t.priority,
  t.mode
FROM taken t{with_it} LEFT JOIN users u ON u.id = t.user_id LEFT JOIN contacts c ON c.id = t.address_id
LEFT JOIN devices v ON t.channel = <channel.push> AND v.id = t.address_id AND v.invalidated_at IS NULL
  AND (t.user_id IS NULL OR v.user_id = t.user_id)
LEFT JOIN apps a ON a.id = v.app_id
"""
_NOT_FLUSHED = ", not_flushed AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))"
_CLAIM = sql(_CLAIMING.format(version=_VERSION, not_flushed="", with_it=""))
_CLAIM_QUICKLY = sql(_CLAIMING.format(version=_VERSION, not_flushed=_NOT_FLUSHED, with_it=" CROSS JOIN not_flushed"))
"""This commit does not wait for the disk; whatever waits after it takes it along."""
_END = sql("""
WITH ended AS (
  UPDATE deliveries d SET updated_at = now(), next_attempt_at = NULL,
    status = CASE WHEN n.cancelled_at IS NULL THEN <expired> ELSE <cancelled> END,
    problem = CASE WHEN n.cancelled_at IS NULL THEN <expired> END,
    reason = CASE WHEN n.cancelled_at IS NULL THEN <reason.expired> ELSE <reason.cancelled> END
  FROM unnest($1::uuid[], $2::uuid[]) k(id, notification_id) JOIN notifications n ON n.id = k.notification_id
  WHERE d.id = k.id AND d.status IN <WAITING> AND (d.expires_at <= now() OR n.cancelled_at IS NOT NULL)
  RETURNING d.id, d.status, d.attempt, d.envelope_id, d.tenant_id, d.channel, d.priority, d.mode, n.category,
    n.template),
noted AS (
  INSERT INTO events (delivery_id, at, kind, attempt, detail)
  SELECT id, now(), CASE WHEN status = <expired> THEN <event.expired> ELSE <event.cancelled> END, attempt,
    CASE WHEN status = <expired> THEN $3::bytea ELSE $4::bytea END FROM ended)
SELECT * FROM ended
""")
_REST = sql(f"""
SELECT d.id, n.id AS notification_id, d.tenant_id, d.user_id, d.address_id, d.channel, d.priority, d.status,
  n.category, d.attempt, d.crashes, d.expires_at, coalesce(d.next_attempt_at, now()) AS due_at,
  coalesce(d.next_attempt_at <= now() + interval '1 second', true) AS is_due,
  (d.recheck_at IS NOT NULL AND d.recheck_at <= now()) OR d.recipient_version IS DISTINCT FROM {_VERSION} AS is_stale
FROM unnest($1::uuid[], $2::uuid[]) k(id, notification_id)
JOIN deliveries d ON d.id = k.id JOIN notifications n ON n.id = k.notification_id
""")  # noqa: S608  # only our own words

_EXPIRED = detail(DeliveryStatus.EXPIRED)
_CANCELLED = detail(DeliveryStatus.CANCELLED)
_number = attrgetter("int")
_WAITING = frozenset(status.code for status in WAITING)


@dataclass(slots=True)
class Claimed:
    """A delivery that is ours until `lease_until`, with all that rendering and sending need.

    `address` is None when it was erased; of a push it is the device's id, None when that is gone or somebody else's.
    `locale` is the request's, `user_locale` the person's own.
    """

    id: UUID
    notification_id: UUID
    tenant_id: UUID
    user_id: UUID | None
    external_id: str | None
    address_id: UUID | None
    address: str | None
    name: str | None
    timezone: str | None
    user_locale: str | None
    channel: Channel
    priority: Priority
    mode: Mode
    template: str | None
    template_version: int
    locale: str | None
    category: str
    data: bytes
    attempt: int
    crashes: int
    expires_at: datetime
    envelope_id: UUID | None
    lease_token: UUID
    lease_until: datetime
    collapse_id: str | None = None
    silent_per_hour: int = 0


@dataclass(slots=True)
class Stale:
    """A delivery judged by preferences, suppressions or hours that hold no longer: decide again, then claim again."""

    id: UUID
    notification_id: UUID
    tenant_id: UUID
    user_id: UUID | None
    address_id: UUID | None
    channel: Channel
    priority: Priority
    category: str
    attempt: int
    expires_at: datetime


@dataclass(slots=True)
class Over:
    """A delivery that ended while it waited: it is `expired` now, or `cancelled` with its notification."""

    id: UUID
    tenant_id: UUID
    channel: Channel
    priority: Priority
    mode: Mode
    category: str
    template: str | None
    attempt: int
    status: DeliveryStatus


@dataclass(slots=True)
class Claim:
    """The answer for every id: ours now, not yet due (when), to be judged again, leased by somebody, or ended.

    `suspects` are due, and not ours because whoever works them may die of it: they belong to quarantine.
    `over` are those of the ended ones that this very claim has ended.
    """

    claimed: list[Claimed] = field(default_factory=list)
    not_due: list[tuple[UUID, datetime]] = field(default_factory=list)
    stale: list[Stale] = field(default_factory=list)
    suspects: list[UUID] = field(default_factory=list)
    leased: list[UUID] = field(default_factory=list)
    ended: list[UUID] = field(default_factory=list)
    over: list[Over] = field(default_factory=list)


async def claim(
    pool: asyncpg.Pool, ids: Iterable[UUID], *, lease_s: float, may_repeat: bool = False, is_alone: bool = False
) -> Claim:
    """Claim what can be sent now, each for `lease_s` seconds, and commit. Ids that do not exist count as ended.

    `is_alone`: whoever claims works nothing else meanwhile, and may have suspects too.
    With `may_repeat`, for recipients that know what they were sent, the commit does not wait for the disk: should
    PostgreSQL itself crash within the next half second, the claim is forgotten and the delivery goes again.

    Waiting deliveries past their `expires_at` end `expired`, those of a cancelled notification `cancelled`. One round
    trip when all of them are ours. Raises Unavailable, but never once something is claimed: those that could not be
    looked into then count as due in a moment.
    """
    wanted = sorted(set(ids), key=_number)
    token = uuid4()
    below = _ANY_CRASHES if is_alone else SUSPECT_FROM
    answer = Claim()
    if not wanted:
        return answer
    async with borrow(pool) as conn:
        statement = of_this_month(_CLAIM_QUICKLY if may_repeat else _CLAIM, wanted[0], wanted[-1], now=utc_now())
        rows = await conn.fetch(statement, wanted, _notifications(wanted), token, timedelta(seconds=lease_s), below)
        answer.claimed = [_claimed(row, token) for row in rows]
        if len(rows) < len(wanted):
            taken = {delivery.id for delivery in answer.claimed}
            others = [delivery for delivery in wanted if delivery not in taken]
            await _explain_if_possible(conn, others, answer, below=below)
    return answer


async def end_what_is_over(conn: asyncpg.Connection, ids: Sequence[UUID]) -> list[Over]:
    """End those of `ids` that wait past their `expires_at` or were cancelled, and release their envelopes."""
    async with conn.transaction():
        over = await conn.fetch(heard(_END), ids, _notifications(ids), _EXPIRED, _CANCELLED)
        await outbox.release(conn, [row["envelope_id"] for row in over])
    return [_over(row) for row in over]


async def _explain_if_possible(conn: asyncpg.Connection, ids: list[UUID], answer: Claim, *, below: int) -> None:
    """Explain; a failure must not cost what is claimed already its attempt."""
    try:
        with postgres_errors():
            await _explain(conn, ids, answer, below=below)
    except Unavailable:
        if not answer.claimed:
            raise
        told = {one.id for one in answer.over}
        answer.ended = sorted(told)
        answer.leased, answer.stale, answer.suspects = [], [], []
        answer.not_due = [(delivery, utc_now()) for delivery in ids if delivery not in told]


async def _explain(conn: asyncpg.Connection, ids: list[UUID], answer: Claim, *, below: int) -> None:
    """Why these were not claimed; what is over is ended here, and its envelope released."""
    answer.over = await end_what_is_over(conn, ids)
    rows = await conn.fetch(_REST, ids, _notifications(ids))
    unknown = set(ids)
    for row in rows:
        unknown.discard(row["id"])
        if row["status"] == DeliveryStatus.SENDING.code:
            answer.leased.append(row["id"])
        elif row["status"] not in _WAITING:
            answer.ended.append(row["id"])
        elif row["is_due"] and row["crashes"] >= below:
            answer.suspects.append(row["id"])
        elif row["is_due"] and row["is_stale"]:
            answer.stale.append(_stale(row))
        else:
            answer.not_due.append((row["id"], row["due_at"]))
    answer.ended.extend(sorted(unknown))


def _notifications(ids: Sequence[UUID]) -> list[UUID]:
    return [notification_of(delivery) for delivery in ids]


def _claimed(row: Any, token: UUID) -> Claimed:
    """The columns stand in the order of the fields, but for those that need another type."""
    channel, priority, mode = row[22:]
    values: tuple[Any, ...] = (
        *row[:10],
        Channel.of(channel),
        Priority.of(priority),
        Mode.of(mode),
        *row[10:19],
        token,
        *row[19:22],
    )
    return Claimed(*values)


def _over(row: Any) -> Over:
    return Over(
        id=row["id"],
        tenant_id=row["tenant_id"],
        channel=Channel.of(row["channel"]),
        priority=Priority.of(row["priority"]),
        mode=Mode.of(row["mode"]),
        category=row["category"],
        template=row["template"],
        attempt=row["attempt"],
        status=DeliveryStatus.of(row["status"]),
    )


def _stale(row: Any) -> Stale:
    return Stale(
        id=row["id"],
        notification_id=row["notification_id"],
        tenant_id=row["tenant_id"],
        user_id=row["user_id"],
        address_id=row["address_id"],
        channel=Channel.of(row["channel"]),
        priority=Priority.of(row["priority"]),
        category=row["category"],
        attempt=row["attempt"],
        expires_at=row["expires_at"],
    )
