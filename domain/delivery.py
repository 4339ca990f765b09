"""The life of a delivery: its statuses, their rank, and the moves that are legal.

One delivery per address or device. docs/lifecycle.md draws what stands here; a test keeps the two in step.
Codes are what PostgreSQL stores; they never change.
"""

from enum import StrEnum
from typing import Self


class DeliveryStatus(StrEnum):
    """Where a delivery is in its life. Engagement (seen, opened, clicked, complained) is a second axis."""

    QUEUED = "queued"
    DEFERRED = "deferred"
    SUPPRESSED = "suppressed"
    SENDING = "sending"
    RESTING = "resting"
    STORED = "stored"
    AMBIGUOUS = "ambiguous"
    SENT = "sent"
    DELIVERED = "delivered"
    FAILED = "failed"
    BOUNCED = "bounced"
    EXPIRED = "expired"
    COLLAPSED = "collapsed"
    CANCELLED = "cancelled"
    DEAD_LETTERED = "dead_lettered"

    @property
    def code(self) -> int:
        return _CODES[self]

    @property
    def rank(self) -> int:
        return RANKS[self]

    @classmethod
    def of(cls, code: int) -> Self:
        return cls(_BY_CODE[code])


_CODES = {
    DeliveryStatus.QUEUED: 1,
    DeliveryStatus.SENDING: 2,
    DeliveryStatus.RESTING: 3,
    DeliveryStatus.SENT: 4,
    DeliveryStatus.DELIVERED: 5,
    DeliveryStatus.DEFERRED: 6,
    DeliveryStatus.FAILED: 7,
    DeliveryStatus.AMBIGUOUS: 8,
    DeliveryStatus.CANCELLED: 9,
    DeliveryStatus.STORED: 10,
    DeliveryStatus.SUPPRESSED: 11,
    DeliveryStatus.BOUNCED: 12,
    DeliveryStatus.EXPIRED: 13,
    DeliveryStatus.COLLAPSED: 14,
    DeliveryStatus.DEAD_LETTERED: 15,
}
_BY_CODE = {code: status for status, code in _CODES.items()}

RANKS = {
    DeliveryStatus.QUEUED: 0,
    DeliveryStatus.DEFERRED: 0,
    DeliveryStatus.SENDING: 1,
    DeliveryStatus.RESTING: 2,
    DeliveryStatus.STORED: 2,
    DeliveryStatus.AMBIGUOUS: 2,
    DeliveryStatus.SENT: 3,
    DeliveryStatus.SUPPRESSED: 4,
    DeliveryStatus.CANCELLED: 4,
    DeliveryStatus.EXPIRED: 4,
    DeliveryStatus.COLLAPSED: 4,
    DeliveryStatus.FAILED: 4,
    DeliveryStatus.DEAD_LETTERED: 4,
    DeliveryStatus.DELIVERED: 5,
    DeliveryStatus.BOUNCED: 6,
}
"""Nothing lowers a delivery's rank but the sweeper, a replay and the return of an unsent claim, which say so."""

WAITING = (DeliveryStatus.QUEUED, DeliveryStatus.DEFERRED, DeliveryStatus.RESTING)
"""A worker may still claim these; a cancellation withdraws them."""

OPEN = (*WAITING, DeliveryStatus.SENDING)
"""The platform still has something to do: an outbox row watches over each of these."""

PROBLEMS = (
    DeliveryStatus.SUPPRESSED,
    DeliveryStatus.FAILED,
    DeliveryStatus.BOUNCED,
    DeliveryStatus.EXPIRED,
    DeliveryStatus.DEAD_LETTERED,
    DeliveryStatus.AMBIGUOUS,
)
"""Ends that somebody should be able to list quickly; only these fill the column `problem`."""

ENDED = tuple(status for status in DeliveryStatus if RANKS[status] >= RANKS[DeliveryStatus.SENT])
"""Nothing more will be sent for these by itself."""

BEGINNINGS = (DeliveryStatus.QUEUED, DeliveryStatus.DEFERRED, DeliveryStatus.SUPPRESSED)

_S = DeliveryStatus
MOVES: dict[DeliveryStatus, frozenset[DeliveryStatus]] = {
    _S.QUEUED: frozenset(
        {
            _S.SENDING,
            _S.DEFERRED,
            _S.SUPPRESSED,
            _S.CANCELLED,
            _S.EXPIRED,
            _S.DEAD_LETTERED,
            _S.DELIVERED,
            _S.BOUNCED,
        }
    ),
    _S.DEFERRED: frozenset(
        {_S.SENDING, _S.QUEUED, _S.DEFERRED, _S.SUPPRESSED, _S.CANCELLED, _S.EXPIRED, _S.DELIVERED, _S.BOUNCED}
    ),
    _S.SENDING: frozenset(
        {
            _S.SENT,
            _S.STORED,
            _S.RESTING,
            _S.FAILED,
            _S.AMBIGUOUS,
            _S.QUEUED,
            _S.DEFERRED,
            _S.EXPIRED,
            _S.CANCELLED,
            _S.COLLAPSED,
            _S.DEAD_LETTERED,
            _S.DELIVERED,
            _S.BOUNCED,
        }
    ),
    _S.RESTING: frozenset(
        {_S.SENDING, _S.DEFERRED, _S.SUPPRESSED, _S.CANCELLED, _S.EXPIRED, _S.DEAD_LETTERED, _S.DELIVERED, _S.BOUNCED}
    ),
    _S.STORED: frozenset({_S.SENT, _S.DELIVERED, _S.EXPIRED, _S.COLLAPSED, _S.CANCELLED, _S.FAILED, _S.QUEUED}),
    _S.AMBIGUOUS: frozenset({_S.QUEUED, _S.SENT, _S.FAILED, _S.DELIVERED, _S.BOUNCED, _S.CANCELLED}),
    _S.SENT: frozenset({_S.DELIVERED, _S.BOUNCED, _S.FAILED, _S.QUEUED, _S.EXPIRED, _S.COLLAPSED}),
    _S.DELIVERED: frozenset({_S.BOUNCED}),
    _S.FAILED: frozenset({_S.QUEUED, _S.DELIVERED, _S.BOUNCED}),
    _S.DEAD_LETTERED: frozenset({_S.QUEUED, _S.CANCELLED, _S.DELIVERED, _S.BOUNCED}),
    _S.EXPIRED: frozenset({_S.QUEUED, _S.DELIVERED, _S.BOUNCED}),
    _S.CANCELLED: frozenset({_S.DELIVERED, _S.BOUNCED}),
    _S.SUPPRESSED: frozenset(),
    _S.COLLAPSED: frozenset({_S.DELIVERED}),
    _S.BOUNCED: frozenset(),
}
"""Legal moves. A late receipt may still raise an ended delivery; a replay or the sweeper may queue one again."""
