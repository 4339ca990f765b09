"""The leader's duty of replays: each run one step further at every beat, and what is due by its pace."""

from dataclasses import dataclass

import structlog

from domain.replay import RunStatus
from fanout.publish import enclose
from fanout.replaying import Step, step
from plumbing.broker.publisher import Publisher
from plumbing.metrics import Duty
from preferences.categories import Categories
from tracking.dead import runs
from tracking.dead.runs import Run
from workers.leader import BEAT_S, Led, Turn

MAX_STEPS = 6
"""Batches of one run per beat: the others of the leader's duties wait as long."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Replays:
    """Where suspects are published, and what the rules need to know."""

    publisher: Publisher
    categories: Categories

    def turn(self) -> Turn:
        """The duty, as the leader does it."""
        return Turn(Duty.REPLAY, BEAT_S, self.work)

    async def work(self, led: Led) -> bool:
        """Take every run further; one that has much to do goes on at the next beat."""
        async with led() as conn:
            run_ids = await runs.under_way(conn)
        for run_id in run_ids:
            for _ in range(MAX_STEPS):
                async with led() as conn:
                    done = await step(conn, self.categories, run_id)
                if done is None:
                    break
                await self._publish(done)
                _tell(done.run)
                if not done.has_more:
                    break
        return False

    async def _publish(self, done: Step) -> None:
        for row in done.quarantine:
            if not await self.publisher.publish_quarantine(enclose(row)):
                log.warning("quarantine.left_to_sweeper", envelope_id=str(row.id))


def _tell(run: Run) -> None:
    if run.status.is_over:
        tell = log.warning if run.status is RunStatus.STOPPED else log.info
        tell("replay.ended", run_id=str(run.id), status=run.status, replayed=run.replayed, why=run.why)
