"""Which way a push goes: to its device at once, into the mailbox, or nowhere. Pure.

| the push                        | its device                  | way                                 |
|---------------------------------|-----------------------------|-------------------------------------|
| second attempt or later         |                             | mailbox                             |
| silent, over its device's budget|                             | mailbox, later, folded with others  |
| wake 1                          |                             | mailbox: several go in one frame    |
|                                 | Redis does not say where    | mailbox, and every gateway is asked |
|                                 | away                        | mailbox                             |
| wake 5                          | napping                     | mailbox, until its window           |
| anything else                   | connected                   | live                                |

What is for this moment only is live where its device is connected, napping or not, and lapses where the table says
mailbox; only without Redis it is kept for the half minute that it has, for nobody knows who is connected.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from channels.push.letters import Letter
from channels.push.presence import Whereabouts
from domain.content import PushContent
from domain.push import Wake
from domain.reasons import Reason


class Way(StrEnum):
    """How a push goes on."""

    LIVE = "live"
    MAILBOX = "mailbox"
    LAPSE = "lapse"


@dataclass(frozen=True, slots=True)
class Route:
    """A way, and why it is not the live one."""

    way: Way
    reason: Reason | None = None
    answer: str = ""


LIVE = Route(Way.LIVE)
AWAY = Route(Way.MAILBOX, Reason.DEVICE_OFFLINE, "the device is away")
_AGAIN = Route(Way.MAILBOX, Reason.ACK_OVERDUE, "it was handed over before, and nobody acknowledged it")
_OVER_BUDGET = Route(Way.MAILBOX, Reason.SILENT_BUDGET, "the device had its silent pushes of this hour")
_BATCHED = Route(Way.MAILBOX, Reason.POWER_NAP, "it goes together with others")
_UNKNOWN = Route(Way.MAILBOX, None, "nobody knows where the device is connected")
_NAPPING = Route(Way.MAILBOX, Reason.POWER_NAP, "the device takes it at its next window")


def route(
    push: PushContent, place: Whereabouts | None, *, attempt: int, is_over_budget: bool, is_known: bool = True
) -> Route:
    """The table above; `place` None: away, or with `is_known` false nobody knows."""
    wished = _wish(push, place, attempt=attempt, is_over_budget=is_over_budget, is_known=is_known)
    if push.is_live_only and wished.way is Way.MAILBOX and wished is not _UNKNOWN:
        reason = Reason.SILENT_BUDGET if wished is _OVER_BUDGET else Reason.DEVICE_OFFLINE
        return Route(Way.LAPSE, reason, f"it was for this moment only: {wished.answer}")
    return wished


def _wish(push: PushContent, place: Whereabouts | None, *, attempt: int, is_over_budget: bool, is_known: bool) -> Route:
    if attempt > 1:
        return _AGAIN
    if is_over_budget:
        return _OVER_BUDGET
    if push.wake is Wake.BATCH and not push.is_live_only:
        return _BATCHED
    if not is_known:
        return _UNKNOWN
    if place is None:
        return AWAY
    if push.wake is Wake.NAP and place.is_napping and not push.is_live_only:
        return _NAPPING
    return LIVE


def wants_hint(letter: Letter, place: Whereabouts, *, now: datetime) -> bool:
    """Whether a letter that was just stored should be fetched at once by the gateway that has its device."""
    if letter.not_before > now or letter.wake == Wake.BATCH:
        return False
    return letter.wake == Wake.NOW or not place.is_napping
