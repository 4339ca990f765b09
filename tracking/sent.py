"""The two commonest writes, each one statement: attempts that went well, and devices' acknowledgements of such.

Only the plain case is written here: what stands as it was left, `sending` under its own token, or waits for its
acknowledgement; that may come before the attempt's end is written. Whatever else has come first is left as it is, for
`tracking.finish` and `tracking.receipts`.
"""

import contextlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg

from domain.clock import utc_now
from domain.errors import Unavailable
from plumbing.database import borrow, postgres_errors
from tracking import outbox
from tracking.months import of_this_month
from tracking.sql import sql
from tracking.webhooks.noting import heard

ACK_MARGIN_S = 1.0
"""So long after an acknowledgement was due the sweeper comes by."""

_by_id = attrgetter("id.int")
_LEAVE = """
leaving AS MATERIALIZED (
  SELECT o.id, e.due_at, cardinality(o.delivery_ids) = 1 AS is_single FROM outbox o JOIN (
    SELECT envelope_id, min(due_at) AS due_at FROM done WHERE envelope_id IS NOT NULL GROUP BY 1) e
    ON o.id = e.envelope_id
  ORDER BY o.id FOR UPDATE OF o SKIP LOCKED),
left_ AS (
  DELETE FROM outbox USING leaving l WHERE outbox.id = l.id AND l.is_single AND l.due_at IS NULL
  RETURNING outbox.id)"""
"""An envelope of one delivery goes with it, in the same statement; larger ones are looked into afterwards, when others
that were written meanwhile are seen as well."""

_SENT = sql(f"""
WITH done AS (
  UPDATE deliveries d SET status = CASE WHEN k.ack IS NULL AND d.status = <sending> THEN <sent> ELSE <delivered> END,
    next_attempt_at = CASE WHEN k.ack IS NULL AND d.status = <sending> THEN k.due_at END, problem = NULL,
    reason = NULL, provider = k.provider,
    provider_id = coalesce(k.provider_id, d.provider_id), lease_token = NULL, lease_until = NULL, updated_at = now()
  FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::text[], $5::text[], $6::bytea[], $7::bytea[])
    k(id, token, due_at, provider, provider_id, detail, ack)
  WHERE d.id = k.id AND d.lease_token = k.token
    AND (d.status = <sending> OR d.status = <delivered> AND k.ack IS NULL)
  RETURNING d.id, d.envelope_id, d.attempt, d.next_attempt_at AS due_at, k.detail, k.ack),
noted AS (
  INSERT INTO events (delivery_id, at, kind, attempt, detail)
  SELECT id, now(), <event.attempt_sent>, attempt, detail FROM done
  UNION ALL SELECT id, now(), <event.delivered>, attempt, ack FROM done WHERE ack IS NOT NULL),{_LEAVE},
watched AS (
  UPDATE outbox SET published_at = coalesce(published_at, now()), watch_at = l.due_at + $8::interval
  FROM leaving l WHERE outbox.id = l.id AND l.due_at IS NOT NULL)
SELECT id, CASE WHEN due_at IS NULL THEN envelope_id END AS envelope_id, true AS is_done FROM done
UNION ALL SELECT NULL, id, false FROM left_
""")  # noqa: S608  # only our own words
_ACKED = sql(f"""
WITH done AS (
  UPDATE deliveries d SET status = <delivered>, problem = NULL, reason = NULL, next_attempt_at = NULL,
    provider = coalesce(d.provider, k.provider), provider_id = coalesce(d.provider_id, k.provider_id),
    updated_at = now()
  FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::bytea[])
    k(id, device_id, provider, provider_id, detail)
  WHERE d.id = k.id AND d.status IN (<sending>, <sent>) AND d.channel = <channel.push>
    AND (k.device_id IS NULL OR d.address_id = k.device_id)
  RETURNING d.id, d.envelope_id, d.attempt, d.next_attempt_at AS due_at, k.detail),
noted AS (
  INSERT INTO events (delivery_id, at, kind, attempt, detail)
  SELECT id, now(), <event.delivered>, attempt, detail FROM done),{_LEAVE}
SELECT id, envelope_id, true AS is_done FROM done UNION ALL SELECT NULL, id, false FROM left_
""")  # noqa: S608  # only our own words


class SentAttempt(NamedTuple):
    """An attempt that the provider took. With `due_at` it waits for its acknowledgement until then.

    `detail` is its event's; `ack` that of the event of its device's acknowledgement, where that is there already.
    """

    id: UUID
    lease_token: UUID
    due_at: datetime | None
    provider: str | None
    provider_id: str | None
    detail: bytes
    ack: bytes | None = None


class Acked(NamedTuple):
    """A device's acknowledgement of a push; `device_id` None: of whatever device."""

    id: UUID
    device_id: UUID | None
    provider: str
    provider_id: str | None
    detail: bytes


async def write_sent(pool: asyncpg.Pool, attempts: Sequence[SentAttempt]) -> set[UUID]:
    """Write that these were sent, or delivered at once, and commit; answers those that were written.

    The others were not ours any more, or a receipt came first: finish them by `tracking.finish`. Raises Unavailable.
    """
    if not attempts:
        return set()
    columns = zip(*sorted(attempts, key=_by_id), strict=True)
    async with borrow(pool) as conn:
        return await _write(conn, _SENT, list(columns), timedelta(seconds=ACK_MARGIN_S))


async def raise_acked(conn: asyncpg.Connection, acks: Sequence[Acked]) -> set[UUID]:
    """Write that these devices have their pushes, in a transaction of its own; answers those that were raised.

    What is `sent` or `sending` has no letter in a mailbox, so none need be removed.
    """
    return await _write(conn, _ACKED, list(zip(*sorted(acks, key=_by_id), strict=True))) if acks else set()


async def _write(
    conn: asyncpg.Connection, statement: str, columns: Sequence[Sequence[Any]], *arguments: Any
) -> set[UUID]:
    """Write, then release the envelopes of several: when this does not happen, the sweeper does it."""
    written: set[UUID] = set()
    closed: set[UUID] = set()
    gone: set[UUID] = set()
    ids = columns[0]
    statement = of_this_month(heard(statement), ids[0], ids[-1], now=utc_now())
    for delivery, envelope, is_done in await conn.fetch(statement, *columns, *arguments):
        if not is_done:
            gone.add(envelope)
            continue
        written.add(delivery)
        if envelope is not None:
            closed.add(envelope)
    if closed != gone:
        with contextlib.suppress(Unavailable), postgres_errors():
            await outbox.release(conn, closed - gone)
    return written
