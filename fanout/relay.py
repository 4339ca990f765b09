"""The relay: publishes due outbox rows, as many as the lanes have room for. Any number may run at once.

Locks are held for one bounded publish; a row is marked only when RabbitMQ has confirmed it. A crash in between
publishes it again, which is harmless. What finds no room waits in PostgreSQL, where it can be seen and cancelled.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable

import asyncpg
import structlog

from domain.errors import CarillonError
from domain.lanes import DECLARED_LANES, Lane
from fanout.publish import publish_now
from plumbing import metrics
from plumbing.broker.publisher import Publisher
from plumbing.broker.topology import work_queue
from plumbing.database import borrow
from plumbing.failpoints import Failpoint, reach
from tracking import outbox
from tracking.rows import OutboxRow

LANE_LIMIT = 10_000
"""Deliveries that a lane of the broker holds at most, about."""

MAX_ROWS = 200
BUSY_PAUSE_S = 0.2
IDLE_PAUSE_S = 1.0
LOOK_EVERY_S = 1.0

log = structlog.get_logger(__name__)


class Admission:
    """How many deliveries each lane still has room for, by the depth of its queue, asked at most once a second.

    The broker counts messages; how many deliveries one of them carries is taken from what was published last.
    """

    def __init__(self, publisher: Publisher, *, limit: int = LANE_LIMIT) -> None:
        self._publisher = publisher
        self._limit = limit
        self._room: dict[Lane, float] = {}
        self._per_message: defaultdict[Lane, float] = defaultdict(lambda: 1.0)
        self._looked_s = float("-inf")

    async def open_lanes(self) -> list[Lane]:
        """Lanes with room; none of those whose queue cannot be asked."""
        now_s = time.monotonic()
        if now_s - self._looked_s >= LOOK_EVERY_S:
            for lane in DECLARED_LANES:
                depth = await self._publisher.queue_depth(work_queue(lane))
                self._room[lane] = 0.0 if depth is None else self._limit - depth * self._per_message[lane]
            self._looked_s = now_s
        return [lane for lane in DECLARED_LANES if self._room[lane] > 0]

    def admit(self, rows: Iterable[OutboxRow]) -> list[OutboxRow]:
        """The rows that still find room, in order; the last of a lane may go a little beyond."""
        admitted = []
        for row in rows:
            if self._room.get(row.lane, 0.0) > 0:
                self._room[row.lane] -= len(row.delivery_ids)
                self._per_message[row.lane] += (len(row.delivery_ids) - self._per_message[row.lane]) * 0.1
                admitted.append(row)
        return admitted


class Relay:
    """Runs in every scheduler; `turn` is one look, `run` goes on until it is cancelled."""

    def __init__(self, pool: asyncpg.Pool, publisher: Publisher, *, limit: int = LANE_LIMIT) -> None:
        self._pool = pool
        self._publisher = publisher
        self._admission = Admission(publisher, limit=limit)
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
        """Publish at most MAX_ROWS due envelopes; how many were confirmed. Raises Unavailable for PostgreSQL."""
        self.turned_s = time.monotonic()
        if not self._publisher.is_connected:
            return 0
        lanes = await self._admission.open_lanes()
        async with borrow(self._pool) as conn, conn.transaction():
            rows = self._admission.admit(await outbox.due(conn, lanes, MAX_ROWS))
            confirmed = await publish_now(self._publisher, rows)
            if confirmed:
                reach(Failpoint.RELAY_AFTER_CONFIRM)
                await outbox.mark_published(conn, confirmed)
        for row in rows:
            if row.id in confirmed:
                metrics.RELAYED.labels(lane=row.lane).inc(len(row.delivery_ids))
        return len(confirmed)
