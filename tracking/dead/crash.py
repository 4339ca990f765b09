"""The dead letter of a delivery whose workers died of it: which, how often, and what is known of their deaths."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from domain.clock import rfc3339
from domain.delivery import DeliveryStatus
from domain.lanes import Lane
from domain.reasons import Reason
from plumbing.database import borrow
from tracking.dead.letters import INLINE, DeadLetter, fingerprint
from tracking.events import EventKind, detail
from tracking.sql import sql

_NOTE = sql("""
INSERT INTO events (delivery_id, at, kind, attempt, detail)
SELECT d.id, now(), <event.worker_died>, d.attempt, $2::bytea FROM deliveries d WHERE d.id = $1 AND d.status = <sending>
""")
_DEATHS = sql("""
SELECT e.delivery_id, e.at, e.kind, e.attempt, e.detail FROM unnest($1::uuid[]) k(id)
CROSS JOIN LATERAL (SELECT * FROM events WHERE delivery_id = k.id OFFSET 0) e
WHERE e.kind IN (<event.attempt_unknown>, <event.worker_died>) ORDER BY e.attempt, e.kind
""")
LOST = "its worker was lost"
"""How an attempt ended of which nobody saw the end: the process, the machine or the network went."""

Death = dict[str, Any]
"""`attempt`, `at` and `how`: of a child of quarantine its signal or exit code."""


async def note_death(pool: asyncpg.Pool, delivery_id: UUID, how: str) -> None:
    """Note how the process died that was at work on a delivery, if it is still under way. Raises Unavailable."""
    async with borrow(pool) as conn:
        await conn.execute(_NOTE, delivery_id, detail(DeliveryStatus.SENDING, how=how))


async def deaths_of(conn: asyncpg.Connection, delivery_ids: Sequence[UUID]) -> dict[UUID, list[Death]]:
    """What is known of the deaths of those who worked these deliveries, one for each attempt."""
    found: defaultdict[UUID, dict[int, Death]] = defaultdict(dict)
    for row in await conn.fetch(_DEATHS, list(delivery_ids)) if delivery_ids else ():
        how = LOST
        if row["kind"] == EventKind.WORKER_DIED.code:
            how = msgspec.json.decode(row["detail"]).get("how", LOST)
        found[row["delivery_id"]][row["attempt"]] = {"attempt": row["attempt"], "at": rfc3339(row["at"]), "how": how}
    return {delivery: list(deaths.values()) for delivery, deaths in found.items()}


def crash_letter(
    delivery_id: UUID,
    tenant_id: UUID,
    lane: Lane,
    *,
    provider: str | None,
    template: str | None,
    template_version: int,
    category: str,
    attempt: int,
    crashes: int,
    deaths: Sequence[Death] = (),
) -> DeadLetter:
    """The letter of a delivery that is buried after so many `crashes`; `deaths` are what is known of them."""
    seen = [death["how"] for death in deaths if death["how"] != LOST]
    last = f"; the last one was {seen[-1]}" if seen else ""
    return DeadLetter(
        reason=str(Reason.WORKER_CRASH),
        detail=f"{crashes} attempts ended without an outcome: whoever works this delivery dies of it{last}",
        fingerprint=fingerprint(
            lane.channel,
            f"{Reason.WORKER_CRASH}: {seen[-1]}" if seen else Reason.WORKER_CRASH,
            provider=provider,
            template=f"{template}@{template_version}" if template else INLINE,
        ),
        evidence={
            "attempt": attempt,
            "crashes": crashes,
            "category": category,
            "template": template,
            "deaths": list(deaths),
        },
        tenant_id=tenant_id,
        delivery_id=delivery_id,
        channel=lane.channel,
    )
