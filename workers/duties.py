"""What only one scheduler at a time does: sweep, end what expired, make and drop partitions, purge; and count."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import structlog

from channels.push import mailbox
from domain.clock import Clock, utc_now
from domain.delivery import DeliveryStatus
from domain.lanes import DECLARED_CHANNELS, DECLARED_LANES, Channel, Lane
from domain.reasons import Reason
from fanout.publish import enclose
from plumbing import metrics, push_metrics
from plumbing.beats import forget_silent
from plumbing.broker.publisher import Publisher
from plumbing.broker.topology import RETRY_LEVELS_S, quarantine_queue, retry_queue, work_queue
from plumbing.metrics import Duty, SweepOutcome
from plumbing.partitions import drop_old_partitions, ensure_partitions
from plumbing.push_metrics import ExpiredWhere
from tracking import rollups
from tracking.dead import forget
from tracking.ending import End, end
from tracking.once import forget_expired
from tracking.set_aside import let_go
from tracking.sweep import Policy, SweepReport, is_any_due, sweep
from tracking.webhooks import messages
from workers.leader import BEAT_S, Led, Turn
from workers.telling import tell_late, tell_over

SWEEP_LIMIT = 200
PURGE_LIMIT = 10_000
LET_GO_LIMIT = 1000
"""Envelopes of released holds in one transaction."""

MAIL_LIMIT = 500
WEBHOOK_LIMIT = 2000
LETTER_LIMIT = 1000
HOUR = timedelta(hours=1)
RECOUNTED_HOURS = 72
"""Receipts come late: each of the last hours is counted again once a day, one every RECOUNT_EVERY_S."""

RECOUNT_EVERY_S = 86_400 / RECOUNTED_HOURS
LOOK_TIMEOUT_S = 5.0
_EXPIRED = DeliveryStatus.EXPIRED

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Duties:
    """Where the duties are done, and what they need to know."""

    publisher: Publisher
    policy: Policy
    retention_months: int
    clock: Clock = utc_now
    recounted: int = 0

    def urgent(self) -> list[Turn]:
        """What must not wait for anything."""
        return [
            Turn(Duty.PARTITIONS, 3600, self.make_partitions),
            Turn(Duty.SWEEP, BEAT_S, self.sweep),
            Turn(Duty.MAILBOX, BEAT_S, self.expire_mail),
            Turn(Duty.HOLDS, BEAT_S, self.let_go),
            Turn(Duty.PURGE, 30, self.purge),
            Turn(Duty.PARTITIONS, 3600, self.drop_partitions),
        ]

    def counting(self) -> list[Turn]:
        """What may take half a minute: the current and the last hour every minute, older ones over the day."""
        return [
            Turn(Duty.MAILBOX, 30, self.count_mail),
            Turn(Duty.WEBHOOKS, 600, self.forget_webhooks),
            Turn(Duty.PURGE, 3600, self.forget_letters),
            Turn(Duty.ROLLUPS, 60, self.count),
            Turn(Duty.ROLLUPS, RECOUNT_EVERY_S, self.recount),
        ]

    async def sweep(self, led: Led) -> bool:
        """See to everything of which nothing was heard in time; suspects of a crash go to quarantine after COMMIT."""
        async with led() as conn:
            if not await is_any_due(conn):
                return False  # nearly always, and 33 questions to the broker are spared
        drained = await self.drained_lanes()  # before BEGIN: no lock waits for the broker
        async with led() as conn:
            report = await sweep(conn, limit=SWEEP_LIMIT, drained=drained, policy=self.policy)
        for row in report.quarantine:
            if not await self.publisher.publish_quarantine(enclose(row)):
                log.warning("quarantine.left_to_sweeper", envelope_id=str(row.id))
        _tell(report)
        return report.looked_at >= SWEEP_LIMIT

    async def let_go(self, led: Led) -> bool:
        """Make available what was set aside under a hold that is released by now."""
        async with led() as conn:
            return await let_go(conn, limit=LET_GO_LIMIT) >= LET_GO_LIMIT

    async def expire_mail(self, led: Led) -> bool:
        """End pushes whose time was over before their device came back."""
        async with led() as conn:
            late = await mailbox.expire(conn, MAIL_LIMIT)
            ends = [End(one.delivery_id, _EXPIRED, Reason.EXPIRED, {"where": ExpiredWhere.SWEEPER}) for one in late]
            ended = await end(conn, ends)
        tell_late([one for one in late if one.delivery_id in ended])
        return len(late) >= MAIL_LIMIT

    async def count_mail(self, led: Led) -> bool:
        """Count what waits in mailboxes."""
        async with led() as conn:
            push_metrics.PENDING.set(await mailbox.count(conn))
        return False

    async def drained_lanes(self) -> list[Lane]:
        """Lanes of which the broker holds nothing, neither to be worked nor resting nor in quarantine; none while it
        does not answer."""
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
        queues = [*(retry_queue(channel, level) for level in RETRY_LEVELS_S), quarantine_queue(channel)]
        depths = [await self.publisher.queue_depth(queue) for queue in queues]
        return any(depth != 0 for depth in depths)

    async def make_partitions(self, led: Led) -> bool:
        """Make the coming months' partitions."""
        async with led() as conn:
            made = await ensure_partitions(conn, self.clock())
        if made:
            log.info("partitions.made", partitions=made)
        return False

    async def drop_partitions(self, led: Led) -> bool:
        """Drop what is past retention; a table that is read for hours keeps no month from being made."""
        async with led() as conn:
            dropped = await drop_old_partitions(conn, self.clock(), self.retention_months)
        if dropped:
            log.info("partitions.dropped", partitions=dropped)
        return False

    async def count(self, led: Led) -> bool:
        """Count the current hour's deliveries afresh, then the last hour's, each in its own time."""
        for back in range(2):
            async with led() as conn:
                await rollups.refresh(conn, self.clock() - back * HOUR)
        return False

    async def recount(self, led: Led) -> bool:
        """Count one older hour again, the next one at the next turn."""
        self.recounted = self.recounted % RECOUNTED_HOURS + 1
        async with led() as conn:
            await rollups.refresh(conn, self.clock() - (1 + self.recounted) * HOUR)
        return False

    async def purge(self, led: Led) -> bool:
        """Forget expired idempotency keys and dedupe windows, a batch at a time until none is left."""
        async with led() as conn:
            await forget_silent(conn)
            return await forget_expired(conn, limit=PURGE_LIMIT) >= PURGE_LIMIT

    async def forget_webhooks(self, led: Led) -> bool:
        """Forget what webhooks were told a month ago, and what is left of deleted ones; count those that fail."""
        async with led() as conn:
            metrics.WEBHOOKS_FAILING.set(await messages.count_failing(conn))
            return await messages.forget(conn, self.clock(), limit=WEBHOOK_LIMIT) >= WEBHOOK_LIMIT

    async def forget_letters(self, led: Led) -> bool:
        """Forget dead letters past retention, with their edits and their trail."""
        before = self.clock() - timedelta(days=31 * self.retention_months)
        async with led() as conn:
            return await forget.forget(conn, before, limit=LETTER_LIMIT) >= LETTER_LIMIT


def _tell(report: SweepReport) -> None:
    counts = {
        SweepOutcome.UNKNOWN: len(report.unknown),
        SweepOutcome.OVERDUE: len(report.overdue),
        SweepOutcome.REPUBLISHED: report.published_again,
        SweepOutcome.QUARANTINED: len(report.quarantine),
        SweepOutcome.DEAD_LETTERED: len(report.buried),
        SweepOutcome.DELETED: report.deleted,
    }
    tell_over(report.ended)
    for outcome, count in counts.items():
        metrics.SWEPT.labels(outcome=outcome).inc(count)
    if report.unknown or report.published_again or report.buried:
        log.info("sweep.acted", looked_at=report.looked_at, **{str(name): count for name, count in counts.items()})
