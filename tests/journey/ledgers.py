"""Compares what was promised with what PostgreSQL says and what the providers' own ledger holds."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import asyncpg

from domain.delivery import OPEN, DeliveryStatus
from ops.simulated.ledger import LedgerReader

_TAKEN = (DeliveryStatus.SENT, DeliveryStatus.DELIVERED)


@dataclass
class Verdict:
    """What does not agree. `duplicates` counts messages beyond the first of a delivery, explained ones aside."""

    lost: list[UUID] = field(default_factory=list)
    phantoms: list[str] = field(default_factory=list)
    unfounded: list[UUID] = field(default_factory=list)
    duplicates: int = 0
    unexplained: list[str] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)


async def settle(database_url: str, *, within_s: float) -> Counter[str]:
    """Wait until no delivery is open any more; the statuses then, or when the time is over."""
    conn = await asyncpg.connect(database_url)
    try:
        async with asyncio.timeout(within_s):
            while True:
                statuses = await _statuses(conn)
                if not any(statuses[status] for status in OPEN):
                    return statuses
                await asyncio.sleep(0.25)
    except TimeoutError:
        return await _statuses(conn)
    finally:
        await conn.close()


async def _statuses(conn: asyncpg.Connection) -> Counter[str]:
    rows = await conn.fetch("SELECT status, count(*) AS count FROM deliveries GROUP BY status")
    return Counter({str(DeliveryStatus.of(row["status"])): row["count"] for row in rows})


async def compare(database_url: str, ledger: Path, accepted: set[UUID]) -> Verdict:
    """A set checker: lost = accepted - known, phantom = ledger - known, unfounded = sent without a ledger line."""
    conn = await asyncpg.connect(database_url)
    try:
        rows = await conn.fetch("SELECT id, status, crashes FROM deliveries")
        notifications = {row["id"] for row in await conn.fetch("SELECT id FROM notifications")}
    finally:
        await conn.close()
    taken = LedgerReader.read(ledger).taken()
    known = {str(row["id"]): row for row in rows}
    verdict = Verdict(lost=sorted(accepted - notifications), phantoms=sorted(set(taken) - set(known)))
    for delivery, row in known.items():
        status = DeliveryStatus.of(row["status"])
        verdict.statuses[status] += 1
        copies = taken.get(delivery, 0)
        if status in _TAKEN and not copies:
            verdict.unfounded.append(row["id"])
        verdict.duplicates += max(0, copies - 1)
        if copies - 1 > row["crashes"]:
            verdict.unexplained.append(delivery)
    return verdict
