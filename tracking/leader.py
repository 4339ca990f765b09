"""One leader among several processes: a lease by the database's clock, with an epoch that grows with each holder."""

import asyncpg

_LEAD = """
INSERT INTO leader AS held (name, owner, epoch, until) VALUES ($1, $2, 1, now() + make_interval(secs => $3))
ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, until = excluded.until,
  epoch = held.epoch + CASE WHEN held.owner = excluded.owner AND held.until > now() THEN 0 ELSE 1 END
WHERE held.owner = excluded.owner OR held.until <= now()
RETURNING epoch
"""
_STILL = "SELECT 1 FROM leader WHERE name = $1 AND epoch = $2 AND until > now()"
_RESIGN = "UPDATE leader SET until = now() WHERE name = $1 AND owner = $2"


async def lead(conn: asyncpg.Connection, name: str, owner: str, *, ttl_s: float = 15.0) -> int | None:
    """Become or stay the leader for `ttl_s` seconds: the epoch, or None while another one leads.

    `owner` is unique to the process. Call it several times within `ttl_s`.
    """
    epoch: int | None = await conn.fetchval(_LEAD, name, owner, ttl_s)
    return epoch


async def is_still_leader(conn: asyncpg.Connection, name: str, epoch: int) -> bool:
    """Whether `epoch` leads now. Ask before a leader's writes: a process that was stopped for a minute still believes
    in a lease that another has taken. Writes that cannot bear two leaders carry the epoch in their own WHERE."""
    return await conn.fetchval(_STILL, name, epoch) is not None


async def resign(conn: asyncpg.Connection, name: str, owner: str) -> None:
    """Let another one lead at once: for a clean stop."""
    await conn.execute(_RESIGN, name, owner)
