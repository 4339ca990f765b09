"""Applies what providers and devices report later, in any order: it may raise a delivery, never lower it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg

from domain.clock import rfc3339
from domain.delivery import MOVES, PROBLEMS, DeliveryStatus
from domain.receipts import Receipt, ReceiptKind
from plumbing.database import borrow
from tracking.events import EventKind, detail
from tracking.sql import sql

_APPLY = sql("""
WITH raised AS (
  UPDATE deliveries d SET status = k.status, problem = k.problem, reason = k.reason, next_attempt_at = NULL,
    provider = coalesce(d.provider, k.provider), provider_id = coalesce(d.provider_id, k.provider_id),
    updated_at = now()
  FROM unnest($1::uuid[], $2::smallint[], $3::smallint[], $4::smallint[], $5::text[], $6::text[], $7::smallint[],
    $8::bytea[]) k(id, status, problem, reason, provider, provider_id, kind, detail)
  WHERE d.id = k.id AND (<RANKS>)[k.status] > (<RANKS>)[d.status]
    AND (d.status * 16 + k.status) = ANY($9::int[])
  RETURNING d.id, d.attempt, k.kind, k.detail),
noted AS (
  INSERT INTO events (delivery_id, at, kind, attempt, detail) SELECT id, now(), kind, attempt, detail FROM raised)
SELECT id, true AS is_raised FROM raised
UNION ALL SELECT d.id, false FROM unnest($1::uuid[]) k(id) JOIN deliveries d ON d.id = k.id
""")

_KINDS = {
    ReceiptKind.DELIVERED: EventKind.DELIVERED,
    ReceiptKind.BOUNCED: EventKind.BOUNCED,
    ReceiptKind.FAILED: EventKind.FAILED_RECEIPT,
}
_LEGAL = [
    before.code * 16 + after.code
    for before, moves in MOVES.items()
    for after in moves
    if after in {kind.status for kind in ReceiptKind}
]


@dataclass(slots=True)
class Applied:
    """What became of a batch: raised a delivery, told nothing new, or found none (`unmatched`: try again later)."""

    applied: int = 0
    ignored: int = 0
    unmatched: list[Receipt] = field(default_factory=list)


async def apply(pool: asyncpg.Pool, receipts: Sequence[Receipt]) -> Applied:
    """Raise the deliveries that these receipts speak of, and commit; several for one act in order of rank.

    Matched by our reference, the delivery's id, alone: an index on the provider's id would cost every finish its
    heap-only update, so a receipt without our reference is answered as unmatched. Raises Unavailable.
    """
    answer = Applied(unmatched=[one for one in receipts if one.delivery_id is None])
    waves = _waves([one for one in receipts if one.delivery_id is not None])
    async with borrow(pool) as conn:
        for wave in waves:
            ids = sorted(wave)
            rows = await conn.fetch(_APPLY, *zip(*[_values(wave[one]) for one in ids], strict=True), _LEGAL)
            # what is there was seen by the very statement that raises: a row that came since is tried again
            raised = {row["id"] for row in rows if row["is_raised"]}
            there = {row["id"] for row in rows}
            answer.applied += len(raised)
            answer.ignored += len(there - raised)
            answer.unmatched.extend(wave[one] for one in ids if one not in there)
    return answer


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
    facts = detail(
        status,
        reason=one.reason,
        provider=one.provider,
        provider_id=one.provider_id,
        reported_at=rfc3339(one.at),
        answer=one.detail[:500] or None,
    )
    return (
        one.delivery_id,
        status.code,
        status.code if status in PROBLEMS else None,
        one.reason.code if one.reason is not None else None,
        one.provider,
        one.provider_id,
        _KINDS[one.kind].code,
        facts,
    )
