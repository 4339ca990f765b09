"""Applies what providers and devices report later, in any order: it may raise a delivery, never lower it.

One report speaks of a state that was not reached: `absent` sends what still waits for an acknowledgement back to
`queued`, and its envelope to the relay. And one speaks of another axis: `seen` leaves an event, once.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg

from domain.clock import rfc3339
from domain.delivery import MOVES, PROBLEMS, DeliveryStatus
from domain.reasons import Reason
from domain.receipts import Receipt, ReceiptKind
from plumbing.database import borrow
from tracking import outbox
from tracking.events import EventKind, detail
from tracking.sent import Acked, raise_acked
from tracking.sql import sql
from tracking.webhooks.noting import heard

_TOLD = """unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::smallint[], $5::smallint[], $6::text[], $7::text[],
  $8::smallint[], $9::bytea[]) k(id, device_id, status, problem, reason, provider, provider_id, kind, detail)"""
_IS_MEANT = "(k.device_id IS NULL OR d.address_id = k.device_id)"
_APPLY = sql(f"""
WITH raised AS (
  UPDATE deliveries d SET status = k.status, problem = k.problem, reason = k.reason, next_attempt_at = NULL,
    provider = coalesce(d.provider, k.provider), provider_id = coalesce(d.provider_id, k.provider_id),
    updated_at = now()
  FROM {_TOLD}
  WHERE d.id = k.id AND {_IS_MEANT} AND (<RANKS>)[k.status] > (<RANKS>)[d.status]
    AND (d.status * 16 + k.status) = ANY($10::int[])
  RETURNING d.id, d.attempt, d.channel, d.envelope_id, k.kind, k.detail),
noted AS (
  INSERT INTO events (delivery_id, at, kind, attempt, detail) SELECT id, now(), kind, attempt, detail FROM raised)
SELECT id, true AS is_raised, channel = <channel.push> AS is_push, envelope_id FROM raised
UNION ALL SELECT d.id, false, d.channel = <channel.push> AND {_IS_MEANT}, NULL
FROM {_TOLD} JOIN deliveries d ON d.id = k.id
""")  # noqa: S608  # only our own words
_SEEN = sql("""
WITH held AS MATERIALIZED (
  SELECT d.id, d.attempt, k.detail FROM unnest($1::uuid[], $2::uuid[], $3::bytea[]) k(id, device_id, detail)
  JOIN deliveries d ON d.id = k.id WHERE k.device_id IS NULL OR d.address_id = k.device_id
  ORDER BY d.id FOR UPDATE OF d)
INSERT INTO events (delivery_id, at, kind, attempt, detail)
SELECT h.id, now(), <event.seen>, h.attempt, h.detail FROM held h
WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.delivery_id = h.id AND e.kind = <event.seen>)
RETURNING delivery_id AS id
""")
_ABSENT = sql("""
WITH meant AS MATERIALIZED (
  SELECT d.id, d.envelope_id, d.status, k.detail
  FROM unnest($1::uuid[], $2::uuid[], $3::bytea[]) k(id, device_id, detail) JOIN deliveries d ON d.id = k.id
  WHERE d.channel = <channel.push> AND (k.device_id IS NULL OR d.address_id = k.device_id)),
held AS MATERIALIZED (
  SELECT o.id FROM outbox o WHERE o.id = ANY(ARRAY(SELECT envelope_id FROM meant)) ORDER BY o.id
  FOR UPDATE OF o SKIP LOCKED),
back AS (
  UPDATE deliveries d SET next_attempt_at = CASE WHEN h.id IS NULL THEN now() END, updated_at = now(),
    status = CASE WHEN h.id IS NULL THEN d.status ELSE <queued> END
  FROM meant m LEFT JOIN held h ON h.id = m.envelope_id
  WHERE d.id = m.id AND d.status = <sent> AND d.next_attempt_at IS NOT NULL
  RETURNING d.id, d.attempt, d.status, m.envelope_id, m.detail),
noted AS (
  INSERT INTO events (delivery_id, at, kind, attempt, detail)
  SELECT id, now(), <event.requeued>, attempt, detail FROM back WHERE status = <queued>)
SELECT d.id, b.id IS NOT NULL AS is_back, d.status = <sending> AND m.id IS NOT NULL AS is_early,
  CASE WHEN b.status = <queued> THEN b.envelope_id END AS envelope_id
FROM unnest($1::uuid[]) k(id) JOIN deliveries d ON d.id = k.id
LEFT JOIN meant m ON m.id = d.id LEFT JOIN back b ON b.id = d.id
""")

_KINDS = {
    ReceiptKind.DELIVERED: EventKind.DELIVERED,
    ReceiptKind.BOUNCED: EventKind.BOUNCED,
    ReceiptKind.FAILED: EventKind.FAILED_RECEIPT,
    ReceiptKind.SEEN: EventKind.DELIVERED,
    ReceiptKind.COLLAPSED: EventKind.COLLAPSED,
}
_LEGAL = [
    before.code * 16 + after.code
    for before, moves in MOVES.items()
    for after in moves
    if after in {kind.status for kind in _KINDS}
]

Forget = Callable[[asyncpg.Connection, Sequence[UUID]], Awaitable[int]]
"""Removes what the mailbox keeps of deliveries, in the transaction it is given."""


@dataclass(slots=True)
class Applied:
    """What became of a batch: raised a delivery, told nothing new, or found none (`unmatched`: try again later).

    `early`: the device was absent before the worker could note that it had sent; try again in a moment.
    """

    applied: int = 0
    ignored: int = 0
    unmatched: list[Receipt] = field(default_factory=list)
    early: list[Receipt] = field(default_factory=list)


async def apply(pool: asyncpg.Pool, receipts: Sequence[Receipt], *, forget: Forget | None = None) -> Applied:
    """Raise the deliveries that these receipts speak of, and commit; several for one act in order of rank.

    Matched by our reference, the delivery's id, alone: an index on the provider's id would cost every finish its
    heap-only update, so a receipt without our reference is answered as unmatched. Where it names a device, only a
    delivery to that device is meant. Raises Unavailable.
    """
    answer = Applied(unmatched=[one for one in receipts if one.delivery_id is None])
    async with borrow(pool) as conn:
        rest = await _raise_acked(conn, [one for one in receipts if one.delivery_id is not None], answer)
        for wave in _waves(rest):
            async with conn.transaction():
                absent = {one: told for one, told in wave.items() if told.kind is ReceiptKind.ABSENT}
                raising = {one: told for one, told in wave.items() if told.kind is not ReceiptKind.ABSENT}
                if raising:
                    await _raise(conn, raising, answer, forget)
                if absent:
                    await _send_back(conn, absent, answer)
    return answer


async def _raise_acked(conn: asyncpg.Connection, receipts: Sequence[Receipt], answer: Applied) -> list[Receipt]:
    """The plain case in one statement: devices acknowledge what was sent to them. Answers what is left."""
    plain = {one.delivery_id: one for one in receipts if _is_ack(one)}
    several = {one.delivery_id for one in receipts if plain.get(one.delivery_id, one) is not one}
    acks = [
        Acked(delivery, one.device_id, one.provider, one.provider_id, facts_of(one))
        for delivery, one in plain.items()
        if delivery is not None and delivery not in several
    ]
    raised = await raise_acked(conn, acks)
    answer.applied += len(raised)
    return [one for one in receipts if one.delivery_id not in raised]


def _is_ack(one: Receipt) -> bool:
    """Whether a device says that it has its push, and nothing else."""
    return one.kind is ReceiptKind.DELIVERED and one.device_id is not None and one.reason is None


async def _raise(conn: asyncpg.Connection, wave: dict[UUID, Receipt], answer: Applied, forget: Forget | None) -> None:
    ids = sorted(wave)
    rows = await conn.fetch(heard(_APPLY), *zip(*[_values(wave[one]) for one in ids], strict=True), _LEGAL)
    # what is there was seen by the very statement that raises: a row that came since is tried again
    new = {row["id"] for row in rows if row["is_raised"]}
    there = {row["id"] for row in rows}
    seen = [wave[one] for one in ids if wave[one].kind is ReceiptKind.SEEN]
    if seen:
        told = await conn.fetch(_SEEN, *zip(*map(_brief, seen), strict=True))
        new |= {row["id"] for row in told}
    if forget is not None:
        await forget(conn, sorted({row["id"] for row in rows if row["is_push"]}))
    await outbox.release(conn, [row["envelope_id"] for row in rows if row["is_push"]])
    answer.applied += len(new)
    answer.ignored += len(there - new)
    answer.unmatched.extend(wave[one] for one in ids if one not in there)


async def _send_back(conn: asyncpg.Connection, wave: dict[UUID, Receipt], answer: Applied) -> None:
    """Queue again what was sent to a device that is not there; where its envelope is locked, the sweeper does."""
    ids = sorted(wave)
    rows = await conn.fetch(_ABSENT, *zip(*(_brief(wave[one]) for one in ids), strict=True))
    await outbox.publish_again(conn, [row["envelope_id"] for row in rows])
    there = {row["id"] for row in rows}
    early = {row["id"] for row in rows if row["is_early"]}
    back = sum(row["is_back"] for row in rows)
    answer.applied += back
    answer.ignored += len(there) - back - len(early)
    answer.early.extend(wave[one] for one in ids if one in early)
    answer.unmatched.extend(wave[one] for one in ids if one not in there)


def _waves(receipts: Sequence[Receipt]) -> list[dict[UUID, Receipt]]:
    """The receipts in waves of at most one per delivery, lower ranks first: each of them gets its event."""
    waves: list[dict[UUID, Receipt]] = []
    for one in sorted(receipts, key=lambda receipt: receipt.kind.status.rank):
        if one.delivery_id is None:
            continue
        wave = next((wave for wave in waves if one.delivery_id not in wave), None)
        if wave is None:
            waves.append(wave := {})
        wave[one.delivery_id] = one
    return waves


def _values(one: Receipt) -> tuple[Any, ...]:
    status: DeliveryStatus = one.kind.status
    return (
        one.delivery_id,
        one.device_id,
        status.code,
        status.code if status in PROBLEMS else None,
        reason.code if (reason := _reason(one)) is not None else None,
        one.provider,
        one.provider_id,
        _KINDS[one.kind].code,
        facts_of(one),
    )


def _brief(one: Receipt) -> tuple[Any, ...]:
    return one.delivery_id, one.device_id, facts_of(one)


def _reason(one: Receipt) -> Reason | None:
    return Reason.SUPERSEDED if one.kind is ReceiptKind.COLLAPSED else one.reason


def facts_of(one: Receipt) -> bytes:
    """The detail of a receipt's event; a collapsed delivery names its successor."""
    is_collapsed = one.kind is ReceiptKind.COLLAPSED
    reason = Reason.DEVICE_OFFLINE if one.kind is ReceiptKind.ABSENT else _reason(one)
    return detail(
        one.kind.status,
        reason=reason,
        provider=one.provider,
        provider_id=one.provider_id,
        reported_at=rfc3339(one.at),
        answer=None if is_collapsed else one.detail[:500] or None,
        by=one.detail[:36] if is_collapsed else None,
    )
