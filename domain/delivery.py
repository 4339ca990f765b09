"""The life of a delivery: its statuses, their rank, and the moves that are legal.

One delivery per address or device. docs/lifecycle.md draws what stands here; a test keeps the two in step.
Codes are what PostgreSQL stores; they never change.
"""

from domain.codes import CodedEnum


class DeliveryStatus(CodedEnum):
    """Where a delivery is in its life. Engagement (seen, opened, clicked, complained) is a second axis."""

    QUEUED = "queued", 1
    DEFERRED = "deferred", 6
    SUPPRESSED = "suppressed", 11
    SENDING = "sending", 2
    RESTING = "resting", 3
    STORED = "stored", 10
    AMBIGUOUS = "ambiguous", 8
    SENT = "sent", 4
    DELIVERED = "delivered", 5
    FAILED = "failed", 7
    BOUNCED = "bounced", 12
    EXPIRED = "expired", 13
    COLLAPSED = "collapsed", 14
    CANCELLED = "cancelled", 9
    DEAD_LETTERED = "dead_lettered", 15

    @property
    def rank(self) -> int:
        return RANKS[self]


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
            _S.COLLAPSED,
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
