"""Ends deliveries for a reason that no attempt brought: expired or dropped in a mailbox, collapsed, withdrawn.

For rooms above, inside a transaction of theirs that also removes what they kept of the delivery.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg

from domain.delivery import MOVES, PROBLEMS, DeliveryStatus
from domain.reasons import Reason
from tracking import outbox
from tracking.events import EventKind, detail
from tracking.sql import sql
from tracking.webhooks.noting import heard

_END = sql("""
WITH ended AS (
  UPDATE deliveries d SET status = k.status, problem = k.problem, reason = k.reason, next_attempt_at = NULL,
    updated_at = now()
  FROM unnest($1::uuid[], $2::smallint[], $3::smallint[], $4::smallint[], $5::smallint[], $6::bytea[])
    k(id, status, problem, reason, kind, detail)
  WHERE d.id = k.id AND (<RANKS>)[k.status] > (<RANKS>)[d.status] AND (d.status * 100 + k.status) = ANY($7::int[])
  RETURNING d.id, d.attempt, d.envelope_id, k.kind, k.detail),
noted AS (
  INSERT INTO events (delivery_id, at, kind, attempt, detail) SELECT id, now(), kind, attempt, detail FROM ended)
SELECT id, envelope_id FROM ended
""")
_KINDS = {
    DeliveryStatus.EXPIRED: EventKind.EXPIRED,
    DeliveryStatus.COLLAPSED: EventKind.COLLAPSED,
    DeliveryStatus.CANCELLED: EventKind.CANCELLED,
    DeliveryStatus.FAILED: EventKind.FAILED,
    DeliveryStatus.SUPPRESSED: EventKind.SUPPRESSED,
}
_LEGAL = [before.code * 100 + after.code for before, moves in MOVES.items() for after in moves if after in _KINDS]


@dataclass(frozen=True, slots=True)
class End:
    """How one delivery ends: expired, collapsed, cancelled, failed or suppressed. `facts` go into its event."""

    delivery_id: UUID
    status: DeliveryStatus
    reason: Reason | None = None
    facts: dict[str, Any] = field(default_factory=dict)


async def end(conn: asyncpg.Connection, ends: Sequence[End]) -> set[UUID]:
    """End these deliveries in the caller's transaction, and release their envelopes; answers those that were ended.

    What has ended already, or cannot end so from where it stands, is left alone. Of several ends of one delivery the
    first counts. KeyError for a status that is none of the above.
    """
    first: dict[UUID, End] = {}
    for one in ends:
        first.setdefault(one.delivery_id, one)
    if not first:
        return set()
    rows = await conn.fetch(heard(_END), *zip(*(_values(first[one]) for one in sorted(first)), strict=True), _LEGAL)
    await outbox.release(conn, [row["envelope_id"] for row in rows])
    return {row["id"] for row in rows}


def _values(one: End) -> tuple[Any, ...]:
    return (
        one.delivery_id,
        one.status.code,
        one.status.code if one.status in PROBLEMS else None,
        one.reason.code if one.reason is not None else None,
        _KINDS[one.status].code,
        detail(one.status, reason=one.reason, **one.facts),
    )
