"""What happened to a delivery, one event each: the kinds and the detail they carry. Events are only ever added.

Attempts are read from here: the row of a delivery knows only its newest.
"""

from typing import Any

import msgspec

from domain.codes import CodedEnum
from domain.delivery import DeliveryStatus


class EventKind(CodedEnum):
    """Kinds of events, with the codes that PostgreSQL stores; they never change.

    Outcomes of an attempt come first: where two events of a delivery have one time, the lower code happened first.
    """

    ATTEMPT_SENT = "attempt_sent", 1
    ATTEMPT_STORED = "attempt_stored", 2
    ATTEMPT_FAILED = "attempt_failed", 3
    ATTEMPT_RESTING = "attempt_resting", 4
    ATTEMPT_AMBIGUOUS = "attempt_ambiguous", 5
    ATTEMPT_UNKNOWN = "attempt_unknown", 6
    NOT_SENT = "not_sent", 7
    DEFERRED = "deferred", 20
    REQUEUED = "requeued", 21
    SUPPRESSED = "suppressed", 22
    EXPIRED = "expired", 23
    CANCELLED = "cancelled", 24
    COLLAPSED = "collapsed", 25
    DEAD_LETTERED = "dead_lettered", 26
    FAILED = "failed", 27
    HELD = "held", 28
    WORKER_DIED = "worker_died", 29
    DELIVERED = "delivered", 40
    BOUNCED = "bounced", 41
    FAILED_RECEIPT = "failed_receipt", 42
    RESOLVED = "resolved", 60
    SEEN = "seen", 80


ATTEMPT_OUTCOMES = {
    DeliveryStatus.SENT: EventKind.ATTEMPT_SENT,
    DeliveryStatus.STORED: EventKind.ATTEMPT_STORED,
    DeliveryStatus.FAILED: EventKind.ATTEMPT_FAILED,
    DeliveryStatus.RESTING: EventKind.ATTEMPT_RESTING,
    DeliveryStatus.AMBIGUOUS: EventKind.ATTEMPT_AMBIGUOUS,
    DeliveryStatus.EXPIRED: EventKind.EXPIRED,
    DeliveryStatus.CANCELLED: EventKind.CANCELLED,
    DeliveryStatus.COLLAPSED: EventKind.COLLAPSED,
    DeliveryStatus.DEAD_LETTERED: EventKind.DEAD_LETTERED,
}
"""Which event an attempt leaves when it ends in this status; a worker finishes with no other."""

_encoder = msgspec.json.Encoder()


def detail(status: DeliveryStatus, **facts: Any) -> bytes:
    """The detail of an event as JSON: the status it led to, and the facts that are known."""
    return _encoder.encode({"status": status, **{name: fact for name, fact in facts.items() if fact is not None}})
