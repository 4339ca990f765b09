"""What operators order breakers to do, over all workers; `auto` means that each judges for itself."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import asyncpg

_SET = """
INSERT INTO breaker_orders (provider, state, why, ordered_by) VALUES ($1, $2, $3, $4)
ON CONFLICT (provider) DO UPDATE SET state = excluded.state, why = excluded.why, ordered_by = excluded.ordered_by,
  ordered_at = now() WHERE breaker_orders.state <> excluded.state
"""
_ALL = "SELECT provider, state, why, ordered_by, ordered_at FROM breaker_orders ORDER BY provider"
_STATES = "SELECT provider, state FROM breaker_orders WHERE state <> 'auto'"


class BreakerWish(StrEnum):
    """What a breaker is to do."""

    AUTO = "auto"
    OPEN = "open"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Order:
    """The last order for a provider."""

    provider: str
    state: BreakerWish
    why: str
    ordered_by: str
    ordered_at: datetime


async def give_order(conn: asyncpg.Connection, provider: str, state: BreakerWish, *, why: str, who: str) -> None:
    """Order it; the same again changes nothing."""
    await conn.execute(_SET, provider, state, why, who)


async def orders(conn: asyncpg.Connection) -> dict[str, Order]:
    """The last order for each provider that ever had one."""
    rows = await conn.fetch(_ALL)
    return {
        row["provider"]: Order(
            row["provider"], BreakerWish(row["state"]), row["why"], row["ordered_by"], row["ordered_at"]
        )
        for row in rows
    }


async def wishes(conn: asyncpg.Connection) -> dict[str, BreakerWish]:
    """The orders that hold now, by provider; whoever is not named judges for itself."""
    return {row["provider"]: BreakerWish(row["state"]) for row in await conn.fetch(_STATES)}
