"""Reads the life of one delivery out of its events, and says where it has a gap or makes an illegal move. Pure."""

from dataclasses import dataclass

from domain.delivery import BEGINNINGS, MOVES, DeliveryStatus
from ops.chaos.history import Event, Kept
from tracking.events import EventKind

_OUTCOMES = frozenset(kind for kind in EventKind if kind.code <= EventKind.NOT_SENT.code)
"""Events that end an attempt; the last of them gives it back, and its number is used again."""

_BESIDE = frozenset({EventKind.WORKER_DIED, EventKind.SEEN, EventKind.HELD})
"""They tell of a delivery and do not move it."""


@dataclass(slots=True)
class _Life:
    status: DeliveryStatus
    attempt: int = 0
    is_settled: bool = True
    """Whether the outcome of `attempt` is known; an acknowledgement may come before it."""


def faults_of(delivery: Kept) -> list[str]:
    """Every step that is not legal, and whatever is missing between the beginning and what the row says; [] when whole.

    A life begins queued, deferred or suppressed: whichever of these leads on without a fault.
    """
    tries = [_walk(delivery, beginning) for beginning in BEGINNINGS]
    return min(tries, key=len)


def _walk(delivery: Kept, beginning: DeliveryStatus) -> list[str]:
    life, faults = _Life(beginning), []
    for event in delivery.events:
        faults += _step(life, event)
    if life.status is not delivery.status and not _is_under_way(life, delivery):
        faults.append(f"the events end {life.status}, the row says {delivery.status}")
    expected = life.attempt + (delivery.status is DeliveryStatus.SENDING)
    if delivery.attempt != expected:
        faults.append(f"the events know {expected} attempts, the row {delivery.attempt}")
    return faults


def _is_under_way(life: _Life, delivery: Kept) -> bool:
    return delivery.status is DeliveryStatus.SENDING and DeliveryStatus.SENDING in MOVES[life.status]


def _step(life: _Life, event: Event) -> list[str]:
    """Apply one event to the life, and say what was wrong with it."""
    if event.kind in _BESIDE or event.status is None:
        return []
    faults = _begin(life, event)
    if event.kind in _OUTCOMES:
        if life.is_settled:
            return [*faults, f"{event.kind} of attempt {event.attempt}, which had ended before"]
        life.is_settled = True
    if event.kind is EventKind.NOT_SENT:
        life.attempt -= 1
    if event.kind in _OUTCOMES and life.status is not DeliveryStatus.SENDING:
        return faults  # a receipt came first, and an outcome lowers nothing
    if event.status is life.status:
        return faults
    if event.status not in MOVES[life.status]:
        faults.append(f"{life.status} → {event.status} by {event.kind} of attempt {event.attempt}")
    life.status = event.status
    return faults


def _begin(life: _Life, event: Event) -> list[str]:
    """Begin the attempt that the event speaks of, unless it has begun: no event tells of a claim."""
    if event.attempt == life.attempt:
        return []
    faults = []
    if event.attempt != life.attempt + 1:
        faults.append(f"attempt {event.attempt} follows attempt {life.attempt}")
    if not life.is_settled and life.status is DeliveryStatus.SENDING:
        faults.append(f"attempt {event.attempt} began before attempt {life.attempt} had ended")
    if DeliveryStatus.SENDING not in MOVES[life.status]:
        faults.append(f"{life.status} → sending before {event.kind} of attempt {event.attempt}")
    life.status, life.attempt, life.is_settled = DeliveryStatus.SENDING, event.attempt, False
    return faults
