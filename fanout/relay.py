"""The relay: publishes due outbox rows, as many as the lanes have room for. Any number may run at once.

Locks are held for one bounded publish; a row is marked only when RabbitMQ has confirmed it. A crash in between
publishes it again, which is harmless. What finds no room waits in PostgreSQL, where it can be seen and cancelled.
"""

import asyncio
import time

import asyncpg
import structlog

from domain.errors import CarillonError
from fanout.admission import LANE_LIMIT, Admission
from fanout.publish import publish_now
from plumbing import metrics
from plumbing.broker.publisher import Publisher
from plumbing.database import borrow
from plumbing.failpoints import Failpoint, reach
from tracking import outbox

MAX_ROWS = 200
"""Envelopes of one lane in one turn."""

LOOK_EVERY_S = 0.25
BUSY_PAUSE_S = 0.2
IDLE_PAUSE_S = 1.0

log = structlog.get_logger(__name__)


class Relay:
    """Runs in every scheduler; `turn` is one look, `run` goes on until it is cancelled."""

    def __init__(self, pool: asyncpg.Pool, publisher: Publisher, *, limit: int = LANE_LIMIT) -> None:
        self._pool = pool
        self._publisher = publisher
        self._admission = Admission(publisher, limit=limit, look_every_s=LOOK_EVERY_S)
        self.turned_s = time.monotonic()
        """When it last looked (monotonic); the watchdog reads it."""

    async def run(self) -> None:
        """Publish what is due, look again soon: at once when there was a full turn's work."""
        while True:
            try:
                found = await self.turn()
            except CarillonError as error:
                log.warning("relay.failed", error=str(error))
                metrics.DUTY_FAILURES.labels(duty=metrics.Duty.RELAY).inc()
                found = 0
            if found < MAX_ROWS:
                await asyncio.sleep(BUSY_PAUSE_S if found else IDLE_PAUSE_S)

    async def turn(self) -> int:
        """Publish at most MAX_ROWS due envelopes of each lane; how many were confirmed. Unavailable for PostgreSQL."""
        self.turned_s = time.monotonic()
        if not self._publisher.is_connected:
            return 0
        async with borrow(self._pool) as conn:
            lanes = await outbox.due_lanes(conn)
        if not lanes:  # nearly always: then neither a transaction is begun nor the broker asked
            return 0
        envelopes = await self._admission.open_envelopes(MAX_ROWS, lanes)
        async with borrow(self._pool) as conn, conn.transaction():
            rows = self._admission.admit(await outbox.due(conn, envelopes))
            confirmed = await publish_now(self._publisher, rows)
            if confirmed:
                reach(Failpoint.RELAY_AFTER_CONFIRM)
                await outbox.mark_published(conn, confirmed)
        for row in rows:
            if row.id in confirmed:
                metrics.RELAYED.labels(lane=row.lane).inc(len(row.delivery_ids))
        return len(confirmed)
