"""One of several schedulers leads: a lease with an epoch decides which, and only the leader does duties.

Each transaction of a duty first asks whether this process still leads: one that was stopped for a minute believes in
a lease that another has taken.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import asyncpg
import structlog

from domain.errors import CarillonError, Unavailable
from plumbing import metrics
from plumbing.database import connect, is_conflict, postgres_errors
from plumbing.metrics import Duty
from tracking.leader import is_still_leader, lead, resign

BEAT_S = 5.0

Led = Callable[[], AbstractAsyncContextManager[asyncpg.Connection]]
"""Opens a transaction of the leader's; raises NoLongerLeading when it is none any more."""

Work = Callable[[Led], Awaitable[bool]]
"""One turn of a duty; whether more of it waits already. What needs no transaction it does outside of one."""

log = structlog.get_logger(__name__)


class NoLongerLeading(CarillonError):
    """Another process leads by now: whatever was begun is undone."""


@dataclass(slots=True)
class Turn:
    """One duty, how often it is due, and when next (monotonic)."""

    duty: Duty
    every_s: float
    work: Work
    due_s: float = 0.0


class Leader:
    """Tries to lead every five seconds, and while it leads does its duties; `run` goes on until it is cancelled.

    Leaders of another `name` are led by leases of their own: what takes long keeps nothing urgent waiting.
    """

    def __init__(self, database_url: str, turns: Sequence[Turn], *, name: str, owner: str) -> None:
        self._url = database_url
        self._name = name
        self._owner = owner
        self._turns = turns
        self.is_leading = False
        self.turned_s = time.monotonic()
        """When it last looked (monotonic); the watchdog reads it."""

    async def run(self) -> None:
        """Lead when nobody else does."""
        while True:
            try:
                await self._beat_on_one_connection()
            except CarillonError as error:
                log.warning("leader.disturbed", leader=self._name, error=str(error))
            finally:
                self.is_leading = False
            await asyncio.sleep(1)

    async def _beat_on_one_connection(self) -> None:
        conn = await connect(self._url, application_name=f"carillon {self._name}", is_hot=True)
        try:
            while True:
                has_more = await self._beat(conn)
                await asyncio.sleep(0 if has_more else BEAT_S)
        finally:
            # a server that fell silent must cost neither the next try nor the end
            with contextlib.suppress(CarillonError), postgres_errors():
                await conn.reset(timeout=2)  # stopped while it said BEGIN: the resignation would be rolled back
                await resign(conn, self._name, self._owner)
                await conn.close(timeout=2)
            conn.terminate()

    async def _beat(self, conn: asyncpg.Connection) -> bool:
        """Renew the lease, once more before each further duty that is due; whether some of it is not done."""
        has_more = False
        epoch = await self._renewed(conn)
        is_fresh = True
        for turn in self._turns:
            if turn.due_s > time.monotonic():
                continue  # a lease is a write, and most looks find little to do
            if not is_fresh:
                epoch = await self._renewed(conn)
            if epoch is None:
                return False
            is_fresh = False
            turn.due_s = time.monotonic() + turn.every_s
            if await self._do(conn, turn, epoch):
                turn.due_s = 0.0
                has_more = True
        return has_more

    async def _renewed(self, conn: asyncpg.Connection) -> int | None:
        """The epoch, or None: noted for who asks whether we lead, and when we last looked."""
        self.turned_s = time.monotonic()
        epoch = await self._lead(conn)
        self.is_leading = epoch is not None
        return epoch

    async def _lead(self, conn: asyncpg.Connection) -> int | None:
        """The epoch, or None while another one leads, or takes the lead at this moment."""
        try:
            with postgres_errors():
                return await lead(conn, self._name, self._owner)
        except Unavailable as error:
            if is_conflict(error):
                return None
            raise

    async def _do(self, conn: asyncpg.Connection, turn: Turn, epoch: int) -> bool:
        """One duty, and whether more of it waits; its failure is told and does not keep the others from their turn."""

        @asynccontextmanager
        async def led() -> AsyncIterator[asyncpg.Connection]:
            with postgres_errors():
                async with conn.transaction():
                    if not await is_still_leader(conn, self._name, epoch):
                        raise NoLongerLeading(f"another process is the {self._name} now")
                    yield conn

        try:
            return await turn.work(led)
        except NoLongerLeading as error:
            log.warning("duty.undone", duty=turn.duty, error=str(error))
        except CarillonError as error:
            metrics.DUTY_FAILURES.labels(duty=turn.duty).inc()
            log.warning("duty.failed", duty=turn.duty, error=str(error))
            if conn.is_closed():
                raise
        except Exception:
            metrics.DUTY_FAILURES.labels(duty=turn.duty).inc()
            log.exception("duty.failed", duty=turn.duty)
        return False
