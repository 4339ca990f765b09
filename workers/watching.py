"""What the leading scheduler tells the alerts: what waits too long, what is stuck, what lies in the queues."""

from dataclasses import dataclass

from domain.lanes import DECLARED_LANES
from plumbing import metrics
from plumbing.broker.publisher import Publisher
from plumbing.broker.topology import work_queue
from plumbing.metrics import Duty
from tracking import waiting
from workers.leader import Led, Turn

EVERY_S = 15
STUCK_AFTER_S = 120


@dataclass(slots=True)
class Watching:
    """Sets the gauges while it leads; who leads no more says nothing, for what it knew is old."""

    publisher: Publisher
    has_told: bool = False

    def turns(self) -> list[Turn]:
        """Three questions by index, and the depth of each lane's queue."""
        return [Turn(Duty.WATCH, EVERY_S, self.look)]

    async def look(self, led: Led) -> bool:
        """Look, and set the gauges."""
        depths = {lane: await self.publisher.queue_depth(work_queue(lane)) for lane in DECLARED_LANES}
        async with led() as conn:
            oldest = await waiting.oldest_unpublished(conn)
            overdue_s = await waiting.overdue_s(conn)
            stuck = await waiting.stuck_sending(conn, over_s=STUCK_AFTER_S)
        for lane in DECLARED_LANES:
            metrics.OUTBOX_OLDEST_SECONDS.labels(lane=lane).set(oldest.get(lane, 0))
            metrics.QUEUE_READY.labels(lane=lane).set(depths[lane] or 0)
        metrics.OVERDUE_SECONDS.set(overdue_s)
        metrics.STUCK_SENDING.set(len(stuck))
        self.has_told = True
        return False

    def forget(self) -> None:
        """Another one leads: what was told is taken back."""
        if self.has_told:
            self.has_told = False
            for lane in DECLARED_LANES:
                metrics.OUTBOX_OLDEST_SECONDS.labels(lane=lane).set(0)
                metrics.QUEUE_READY.labels(lane=lane).set(0)
            metrics.OVERDUE_SECONDS.set(0)
            metrics.STUCK_SENDING.set(0)
