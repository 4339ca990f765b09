"""The canonical line of a delivery, one for each attempt and each end, and the counts that go with it."""

from collections.abc import Iterable

import structlog

from domain.delivery import DeliveryStatus
from domain.lanes import Lane
from plumbing import metrics
from tracking.claim import Over
from workers.endings import Ending

_EVENTS = {
    DeliveryStatus.SENT: "delivery.sent",
    DeliveryStatus.RESTING: "delivery.rested",
    DeliveryStatus.FAILED: "delivery.failed",
    DeliveryStatus.AMBIGUOUS: "delivery.left_ambiguous",
    DeliveryStatus.EXPIRED: "delivery.expired",
    DeliveryStatus.CANCELLED: "delivery.cancelled",
}

log = structlog.get_logger(__name__)


def tell(ending: Ending) -> None:
    """The line and the counts of one delivery's attempt."""
    claimed, finished = ending.claimed, ending.finished
    lane = Lane(claimed.channel, claimed.priority)
    metrics.ATTEMPTS.labels(channel=claimed.channel, result=ending.result).inc()
    if finished is None:
        metrics.PARKED.labels(lane=lane).inc()
    else:
        metrics.DELIVERIES.labels(channel=claimed.channel, status=finished.status).inc()
    if ending.rest is not None:
        metrics.RETRIES.labels(lane=lane).inc()
    if ending.is_dead_letter:
        metrics.DEAD_LETTERS_ARCHIVED.inc()
    log.info(
        "delivery.parked" if finished is None else _EVENTS[finished.status],
        delivery_id=str(claimed.id),
        tenant_id=str(claimed.tenant_id),
        lane=str(lane),
        mode=claimed.mode,
        category=claimed.category,
        template=claimed.template,
        attempt=claimed.attempt,
        result=ending.result,
        reason=ending.reason,
        provider=finished.provider if finished else None,
        duration_ms=round(finished.duration_ms, 1) if finished else None,
        rest=ending.rest.level if ending.rest else None,
    )


def tell_over(over: Iterable[Over]) -> None:
    """The lines and the counts of deliveries that ended while they waited, without another attempt."""
    for one in over:
        metrics.DELIVERIES.labels(channel=one.channel, status=one.status).inc()
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
