"""What happened to a delivery, one event each: the kinds and the detail they carry. Events are only ever added.

Attempts are read from here: the row of a delivery knows only its newest.
"""

from enum import StrEnum
from typing import Any, Self

import msgspec

from domain.delivery import DeliveryStatus


class EventKind(StrEnum):
    """Kinds of events, with the codes that PostgreSQL stores; they never change.

    Outcomes of an attempt come first: where two events of a delivery have one time, the lower code happened first.
    """

    ATTEMPT_SENT = "attempt_sent"
    ATTEMPT_STORED = "attempt_stored"
    ATTEMPT_FAILED = "attempt_failed"
    ATTEMPT_RESTING = "attempt_resting"
    ATTEMPT_AMBIGUOUS = "attempt_ambiguous"
    ATTEMPT_UNKNOWN = "attempt_unknown"
    NOT_SENT = "not_sent"
    DEFERRED = "deferred"
    REQUEUED = "requeued"
    SUPPRESSED = "suppressed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    COLLAPSED = "collapsed"
    DEAD_LETTERED = "dead_lettered"
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    FAILED_RECEIPT = "failed_receipt"
    RESOLVED = "resolved"

    @property
    def code(self) -> int:
        return _CODES[self]

    @classmethod
    def of(cls, code: int) -> Self:
        return cls(_BY_CODE[code])


_CODES = {
    EventKind.ATTEMPT_SENT: 1,
    EventKind.ATTEMPT_STORED: 2,
    EventKind.ATTEMPT_FAILED: 3,
    EventKind.ATTEMPT_RESTING: 4,
    EventKind.ATTEMPT_AMBIGUOUS: 5,
    EventKind.ATTEMPT_UNKNOWN: 6,
    EventKind.NOT_SENT: 7,
    EventKind.DEFERRED: 20,
    EventKind.REQUEUED: 21,
    EventKind.SUPPRESSED: 22,
    EventKind.EXPIRED: 23,
    EventKind.CANCELLED: 24,
    EventKind.COLLAPSED: 25,
    EventKind.DEAD_LETTERED: 26,
    EventKind.DELIVERED: 40,
    EventKind.BOUNCED: 41,
    EventKind.FAILED_RECEIPT: 42,
    EventKind.RESOLVED: 60,
}
_BY_CODE = {code: kind for kind, code in _CODES.items()}

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
