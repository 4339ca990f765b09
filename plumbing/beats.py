"""Signs of life: each worker and each scheduler writes every three seconds that it lives, and what it sees."""

import asyncio
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg
import msgspec
import structlog

from domain.errors import CarillonError
from domain.ids import uuid7
from plumbing.database import borrow

BEAT_S = 3.0
ALIVE_S = 10.0
"""A role that was not heard of for so long counts as gone."""

_BEAT = """
INSERT INTO role_beats (name, role, begun_at, at, facts) VALUES ($1, $2, now(), now(), $3::text::jsonb)
ON CONFLICT (name) DO UPDATE SET at = now(), facts = excluded.facts
"""
_END = "DELETE FROM role_beats WHERE name = $1"
_READ = """
SELECT name, role, begun_at, at, facts::text AS facts, extract(epoch FROM now() - at)::float8 AS age_s
FROM role_beats WHERE at > now() - interval '1 hour' ORDER BY role, begun_at
"""
_FORGET = "DELETE FROM role_beats WHERE at < now() - interval '1 hour'"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Beat:
    """The last sign of life of one process; `age_s` by the database's clock."""

    name: str
    role: str
    begun_at: datetime
    at: datetime
    age_s: float
    facts: dict[str, Any]

    @property
    def is_alive(self) -> bool:
        return self.age_s < ALIVE_S


class Beats:
    """Beats for one process from `open` to `close`; `facts` is asked before each beat and must be quick."""

    def __init__(self, pool: asyncpg.Pool, role: str, facts: Callable[[], Mapping[str, Any]]) -> None:
        self._pool = pool
        self._role = role
        self._facts = facts
        self.name = f"{role}:{socket.gethostname()}:{os.getpid()}:{uuid7().hex[-6:]}"
        self._run: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin to beat."""
        self._run = asyncio.create_task(self._beat(), name="beats")

    async def close(self) -> None:
        """Stop, and say goodbye if PostgreSQL listens."""
        if self._run is not None:
            self._run.cancel()
            await asyncio.gather(self._run, return_exceptions=True)
        try:
            async with borrow(self._pool) as conn:
                await conn.execute(_END, self.name)
        except CarillonError as error:
            log.info("beat.goodbye_unheard", error=str(error))

    async def _beat(self) -> None:
        while True:
            try:
                facts = msgspec.json.encode(self._facts()).decode()
                async with borrow(self._pool) as conn:
                    await conn.execute(_BEAT, self.name, self._role, facts)
            except CarillonError as error:
                log.debug("beat.missed", error=str(error))
            except Exception:
                log.exception("beat.failed")
            await asyncio.sleep(BEAT_S)


async def beats(conn: asyncpg.Connection) -> list[Beat]:
    """Who was heard of within the last hour."""
    return [
        Beat(row["name"], row["role"], row["begun_at"], row["at"], row["age_s"], msgspec.json.decode(row["facts"]))
        for row in await conn.fetch(_READ)
    ]


async def forget_silent(conn: asyncpg.Connection) -> None:
    """Forget who was not heard of for an hour."""
    await conn.execute(_FORGET)
