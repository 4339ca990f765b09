"""Admission: how much each lane of RabbitMQ may still take; the rest of a backlog waits in PostgreSQL.

Asked by the relay for everything it publishes, and by accept before it publishes beside an answer.
"""

import math
import time
from collections.abc import Collection, Iterable

from domain.lanes import DECLARED_LANES, Lane
from plumbing.broker.publisher import Publisher
from plumbing.broker.topology import work_queue
from tracking.rows import OutboxRow

LANE_LIMIT = 10_000
"""Deliveries that a lane of the broker holds at most, about."""

LOOK_EVERY_S = 1.0
"""For who only wants to know whether a lane is open; the relay looks more often while it has a backlog to bring."""


class Admission:
    """How many deliveries each lane still has room for, by the depth of its queue, asked at most every `look_every_s`.

    A look is a question to the broker for each lane, one after the other: ask of those from which something is wanted.
    The broker counts messages; how many deliveries one of them carries is taken from what was published last.
    """

    def __init__(self, publisher: Publisher, *, limit: int = LANE_LIMIT, look_every_s: float = LOOK_EVERY_S) -> None:
        self._publisher = publisher
        self._limit = limit
        self._look_every_s = look_every_s
        self._room: dict[Lane, float] = {}
        self._per_message: dict[Lane, float] = {}
        self._looked_s: dict[Lane, float] = {}

    async def open_lanes(self, lanes: Collection[Lane] = DECLARED_LANES) -> list[Lane]:
        """Those of these lanes with room; none at all while the broker does not answer."""
        now_s = time.monotonic()
        for lane in lanes:
            if now_s - self._looked_s.get(lane, -math.inf) >= self._look_every_s and not await self._look(lane):
                self._room.clear()
                self._looked_s = dict.fromkeys(DECLARED_LANES, now_s)
                break  # who asks on waits for a time-out twelve times
        return [lane for lane in lanes if self._room.get(lane, 0.0) > 0]

    async def _look(self, lane: Lane) -> bool:
        """Whether the broker answers."""
        looked_s = time.monotonic()
        depth = await self._publisher.queue_depth(work_queue(lane))
        if depth is None:
            return False
        self._room[lane] = self._limit - depth * self._per_message.get(lane, 1.0)
        self._looked_s[lane] = looked_s
        return True

    async def open_envelopes(self, at_most: int, lanes: Collection[Lane] = DECLARED_LANES) -> dict[Lane, int]:
        """How many envelopes of each of these lanes with room are worth looking for: not more than it will take."""
        return {
            lane: min(at_most, math.ceil(self._room[lane] / self._per_message.get(lane, 1.0)))
            for lane in await self.open_lanes(lanes)
        }

    def admit(self, rows: Iterable[OutboxRow]) -> list[OutboxRow]:
        """The rows that still find room, in order; the last of a lane may go a little beyond."""
        admitted = []
        for row in rows:
            if self._room.get(row.lane, 0.0) > 0:
                size = len(row.delivery_ids)
                self._room[row.lane] -= size
                known = self._per_message.get(row.lane, float(size))
                self._per_message[row.lane] = known + (size - known) * 0.1
                admitted.append(row)
        return admitted
