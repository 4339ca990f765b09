"""The canonical line of a delivery, one for each attempt and each end, and the counts that go with it.

Pushes that were simply sent share a line: their own are for who debugs, and their events tell it all anyway.
"""

import logging
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any
from uuid import UUID

import structlog

from domain.delivery import DeliveryStatus
from domain.lanes import Channel, Lane
from domain.push import wake_of
from plumbing import metrics, push_metrics
from plumbing.metrics import AttemptResult
from plumbing.push_metrics import ExpiredWhere, PushStatus
from tracking.claim import Over
from tracking.ending import End
from tracking.finish import Finished, FinishResult
from workers.endings import Ending

_EVENTS = {
    DeliveryStatus.SENT: "delivery.sent",
    DeliveryStatus.RESTING: "delivery.rested",
    DeliveryStatus.FAILED: "delivery.failed",
    DeliveryStatus.AMBIGUOUS: "delivery.left_ambiguous",
    DeliveryStatus.EXPIRED: "delivery.expired",
    DeliveryStatus.CANCELLED: "delivery.cancelled",
    DeliveryStatus.STORED: "delivery.stored",
    DeliveryStatus.COLLAPSED: "delivery.collapsed",
}
_PUSH = {
    DeliveryStatus.SENT: PushStatus.SENT,
    DeliveryStatus.STORED: PushStatus.STORED,
    DeliveryStatus.EXPIRED: PushStatus.EXPIRED,
    DeliveryStatus.COLLAPSED: PushStatus.COLLAPSED,
    DeliveryStatus.FAILED: PushStatus.FAILED,
}

log = structlog.get_logger(__name__)


def tell(ending: Ending, instead: End | None = None) -> None:
    """The line and the counts of one delivery's attempt; `instead` is what the mailbox made of it."""
    claimed, finished = ending.claimed, ending.finished
    if finished is not None and instead is not None:
        finished = replace(finished, status=instead.status, reason=instead.reason)
    lane = Lane(claimed.channel, claimed.priority)
    metrics.ATTEMPTS.labels(channel=claimed.channel, result=ending.result).inc()
    if finished is None:
        metrics.PARKED.labels(lane=lane).inc()
    else:
        metrics.DELIVERIES.labels(channel=claimed.channel, status=finished.status).inc()
        _count_push(ending.wake, finished.status)
    if ending.rest is not None:
        metrics.RETRIES.labels(lane=lane).inc()
    if ending.is_dead_letter:
        metrics.DEAD_LETTERS_ARCHIVED.inc()
    _write_line(logging.INFO, ending, finished)


def tell_sent(endings: Sequence[Ending]) -> None:
    """The lines and the counts of attempts that were sent, and nothing else."""
    pushes = [ending for ending in endings if ending.claimed.channel is Channel.PUSH]
    for ending in endings if len(pushes) < len(endings) else ():
        if ending.claimed.channel is not Channel.PUSH:
            tell(ending)
    if not pushes:
        return
    _attempts_sent().inc(len(pushes))
    _pushes_sent().inc(len(pushes))
    for wake, count in Counter(ending.wake for ending in pushes).items():
        _count_push(wake, DeliveryStatus.SENT, count)
    log.info("pushes.sent", count=len(pushes), first_delivery_id=str(pushes[0].claimed.id))
    if log.is_enabled_for(logging.DEBUG):
        for ending in pushes:
            _write_line(logging.DEBUG, ending, ending.finished)


def _write_line(level: int, ending: Ending, finished: Finished | None) -> None:
    claimed = ending.claimed
    log.log(
        level,
        "delivery.parked" if finished is None else _EVENTS[finished.status],
        delivery_id=str(claimed.id),
        tenant_id=str(claimed.tenant_id),
        lane=str(Lane(claimed.channel, claimed.priority)),
        mode=claimed.mode,
        category=claimed.category,
        template=claimed.template,
        attempt=claimed.attempt,
        result=ending.result,
        reason=finished.reason if finished is not None else ending.reason,
        provider=finished.provider if finished else None,
        duration_ms=round(finished.duration_ms, 1) if finished else None,
        rest=ending.rest.level if ending.rest else None,
    )


def tell_displaced(result: FinishResult, own: Container[UUID]) -> None:
    """The counts of older pushes that had to make room in a mailbox."""
    for one in result.ended.values():
        if one.delivery_id not in own:
            metrics.DELIVERIES.labels(channel=Channel.PUSH, status=one.status).inc()
            log.info(_EVENTS[one.status], delivery_id=str(one.delivery_id), reason=one.reason, **one.facts)


def tell_late(late: Iterable[tuple[UUID, int]]) -> None:
    """The lines and the counts of pushes, with their wakes, whose time ended in a mailbox."""
    for delivery, wake in late:
        metrics.DELIVERIES.labels(channel=Channel.PUSH, status=DeliveryStatus.EXPIRED).inc()
        push_metrics.EXPIRED.labels(where=ExpiredWhere.SWEEPER).inc()
        _count_push(wake, DeliveryStatus.EXPIRED)
        log.info(_EVENTS[DeliveryStatus.EXPIRED], delivery_id=str(delivery), where=ExpiredWhere.SWEEPER)


def _count_push(wake: int | None, status: DeliveryStatus, count: int = 1) -> None:
    if wake is None or status not in _PUSH:
        return
    _pushes(wake, _PUSH[status]).inc(count)
    if status is DeliveryStatus.STORED:
        push_metrics.QUEUED.inc()


@cache
def _attempts_sent() -> Any:
    """Counters of what is counted most, looked up once."""
    return metrics.ATTEMPTS.labels(channel=Channel.PUSH, result=AttemptResult.SENT)


@cache
def _pushes_sent() -> Any:
    return metrics.DELIVERIES.labels(channel=Channel.PUSH, status=DeliveryStatus.SENT)


@cache
def _pushes(wake: int, status: PushStatus) -> Any:
    return push_metrics.SENT.labels(priority=str(wake), status=status)


def tell_over(over: Iterable[Over]) -> None:
    """The lines and the counts of deliveries that ended while they waited, without another attempt."""
    for one in over:
        metrics.DELIVERIES.labels(channel=one.channel, status=one.status).inc()
        if one.channel is Channel.PUSH and one.status is DeliveryStatus.EXPIRED:
            push_metrics.EXPIRED.labels(where=ExpiredWhere.CLAIM).inc()
            _count_push(wake_of(one.priority, {}), one.status)  # it was not rendered: the wake of its lane
        log.info(
            _EVENTS[one.status],
            delivery_id=str(one.id),
            tenant_id=str(one.tenant_id),
            lane=str(Lane(one.channel, one.priority)),
            mode=one.mode,
            category=one.category,
            template=one.template,
            attempt=one.attempt,
        )
