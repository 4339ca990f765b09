"""What only one scheduler at a time does: sweep, make and drop partitions, count, purge. A lease with an epoch decides.

Each duty runs in a transaction that first asks whether this process still leads: one that was stopped for a minute
believes in a lease that another has taken.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import asyncpg
import structlog

from domain.clock import Clock, utc_now
from domain.errors import CarillonError, Unavailable
from domain.lanes import DECLARED_CHANNELS, DECLARED_LANES, Channel, Lane
from fanout.publish import enclose
from plumbing import metrics
from plumbing.broker.publisher import Publisher
from plumbing.broker.topology import RETRY_LEVELS_S, retry_queue, work_queue
from plumbing.database import connect, is_conflict, postgres_errors
from plumbing.metrics import Duty, SweepOutcome
from plumbing.partitions import drop_old_partitions, ensure_partitions
from tracking import rollups
from tracking.leader import is_still_leader, lead, resign
from tracking.once import forget_expired
from tracking.sweep import Policy, SweepReport, sweep

LEADER = "scheduler"
BEAT_S = 5.0
SWEEP_LIMIT = 200
PURGE_LIMIT = 2000
COUNT_BACK = timedelta(hours=2)
"""Hours that are counted afresh: later changes of older deliveries are found by the daily recount."""

COUNT_BACK_DAILY = timedelta(days=3)
LOOK_TIMEOUT_S = 5.0

AfterCommit = Callable[[], Awaitable[None]]
Work = Callable[[asyncpg.Connection], Awaitable[AfterCommit | None]]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Duties:
    """Where the duties are done, and what they need to know."""

    publisher: Publisher
    policy: Policy
    retention_months: int
    clock: Clock = utc_now

    async def sweep(self, conn: asyncpg.Connection) -> AfterCommit:
        """See to everything of which nothing was heard in time; suspects of a crash go to quarantine after COMMIT."""
        drained = await self.drained_lanes()
        report = await sweep(conn, limit=SWEEP_LIMIT, drained=drained, policy=self.policy)

        async def publish_suspects() -> None:
            for row in report.quarantine:
                if not await self.publisher.publish_quarantine(enclose(row)):
                    log.warning("quarantine.left_to_sweeper", envelope_id=str(row.id))
            _tell(report)

        return publish_suspects

    async def drained_lanes(self) -> list[Lane]:
        """Lanes of which the broker holds nothing, neither to be worked nor resting; none while it does not answer."""
        try:
            async with asyncio.timeout(LOOK_TIMEOUT_S):
                resting = {channel: await self._rests(channel) for channel in DECLARED_CHANNELS}
                return [
                    lane
                    for lane in DECLARED_LANES
                    if not resting[lane.channel] and await self.publisher.queue_depth(work_queue(lane)) == 0
                ]
        except TimeoutError:
            return []

    async def _rests(self, channel: Channel) -> bool:
        depths = [await self.publisher.queue_depth(retry_queue(channel, level)) for level in RETRY_LEVELS_S]
        return any(depth != 0 for depth in depths)

    async def partitions(self, conn: asyncpg.Connection) -> None:
        """Make the coming months' partitions, drop what is past retention."""
        made = await ensure_partitions(conn, self.clock())
        dropped = await drop_old_partitions(conn, self.clock(), self.retention_months)
        if made or dropped:
            log.info("partitions.changed", made=made, dropped=dropped)

    async def count(self, conn: asyncpg.Connection) -> None:
        """Count the recent hours' deliveries afresh."""
        await rollups.refresh(conn, self.clock() - COUNT_BACK)

    async def recount(self, conn: asyncpg.Connection) -> None:
        """Count the last days again: receipts come late."""
        await rollups.refresh(conn, self.clock() - COUNT_BACK_DAILY)

    async def purge(self, conn: asyncpg.Connection) -> None:
        """Forget expired idempotency keys and dedupe windows, a small batch at a time."""
        await forget_expired(conn, limit=PURGE_LIMIT)


@dataclass(slots=True)
class _Turn:
    """One duty, how often it is due, and when next (monotonic)."""

    duty: Duty
    every_s: float
    work: Work
    due_s: float = 0.0


class Leader:
    """Tries to lead every five seconds, and while it leads does the duties; `run` goes on until it is cancelled."""

    def __init__(self, database_url: str, duties: Duties, *, owner: str) -> None:
        self._url = database_url
        self._owner = owner
        self._turns = [
            _Turn(Duty.PARTITIONS, 3600, duties.partitions),
            _Turn(Duty.SWEEP, BEAT_S, duties.sweep),
            _Turn(Duty.ROLLUPS, 15, duties.count),
            _Turn(Duty.ROLLUPS, 86_400, duties.recount),
            _Turn(Duty.PURGE, 30, duties.purge),
        ]
        self.turned_s = time.monotonic()
        """When it last looked (monotonic); the watchdog reads it."""

    async def run(self) -> None:
        """Lead when nobody else does."""
        while True:
            try:
                await self._beat_on_one_connection()
            except CarillonError as error:
                log.warning("leader.disturbed", error=str(error))
            finally:
                metrics.IS_LEADER.set(0)
            await asyncio.sleep(1)

    async def _beat_on_one_connection(self) -> None:
        conn = await connect(self._url, application_name="carillon leader")
        try:
            with postgres_errors():
                while True:
                    await self._beat(conn)
                    await asyncio.sleep(BEAT_S)
        finally:
            with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
                await resign(conn, LEADER, self._owner)
            await conn.close(timeout=2)

    async def _beat(self, conn: asyncpg.Connection) -> None:
        """Renew the lease and do what is due, the lease renewed before each duty."""
        for turn in self._turns:
            self.turned_s = time.monotonic()
            epoch = await self._lead(conn)
            metrics.IS_LEADER.set(epoch is not None)
            if epoch is None:
                return
            if turn.due_s <= time.monotonic():
                turn.due_s = time.monotonic() + turn.every_s
                await self._do(conn, turn, epoch)

    async def _lead(self, conn: asyncpg.Connection) -> int | None:
        """The epoch, or None while another one leads, or is at work and holds its lease's row."""
        try:
            with postgres_errors():
                return await lead(conn, LEADER, self._owner)
        except Unavailable as error:
            if is_conflict(error):
                return None
            raise

    async def _do(self, conn: asyncpg.Connection, turn: _Turn, epoch: int) -> None:
        """One duty; its failure is told and does not keep the others from their turn."""
        try:
            with postgres_errors():
                async with conn.transaction():
                    if not await is_still_leader(conn, LEADER, epoch):
                        return
                    after_commit = await turn.work(conn)
                if after_commit is not None:
                    await after_commit()
        except CarillonError as error:
            metrics.DUTY_FAILURES.labels(duty=turn.duty).inc()
            log.warning("duty.failed", duty=turn.duty, error=str(error))
            if conn.is_closed():
                raise
        except Exception:
            metrics.DUTY_FAILURES.labels(duty=turn.duty).inc()
            log.exception("duty.failed", duty=turn.duty)


def _tell(report: SweepReport) -> None:
    counts = {
        SweepOutcome.UNKNOWN: len(report.unknown),
        SweepOutcome.REPUBLISHED: report.published_again,
        SweepOutcome.QUARANTINED: len(report.quarantine),
        SweepOutcome.DEAD_LETTERED: len(report.buried),
        SweepOutcome.DELETED: report.deleted,
    }
    for outcome, count in counts.items():
        metrics.SWEPT.labels(outcome=outcome).inc(count)
    if report.unknown or report.published_again or report.buried:
        log.info("sweep.acted", looked_at=report.looked_at, **{str(name): count for name, count in counts.items()})
