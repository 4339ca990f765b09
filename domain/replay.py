"""Sending dead letters again, a few before the many: the states of a run, and how it goes on. Pure."""

from collections.abc import Iterable
from enum import StrEnum

from domain.delivery import DeliveryStatus

TEN = 10
"""So many are sent after the canary and before the rest."""

MAX_LETTERS = 100_000
"""Of one run: whoever has more asks for them in parts."""

REPLAYABLE = (DeliveryStatus.FAILED, DeliveryStatus.DEAD_LETTERED)
"""Where a delivery with an open letter stands, unless late news came."""


class RunStatus(StrEnum):
    """Where a run stands. The first three are its stages; the others are its ends."""

    CANARY = "canary"
    TEN = "ten"
    REST = "rest"
    STOPPED = "stopped"
    FINISHED = "finished"
    CANCELLED = "cancelled"

    @property
    def is_over(self) -> bool:
        return self in {RunStatus.STOPPED, RunStatus.FINISHED, RunStatus.CANCELLED}


NEXT = {RunStatus.CANARY: RunStatus.TEN, RunStatus.TEN: RunStatus.REST, RunStatus.REST: RunStatus.REST}


class Refusal(StrEnum):
    """Why a letter is not sent again."""

    EXPIRED = "expired"
    SUPPRESSED = "suppressed"
    """The recipient's wish, or the suppression list; the trail names the reason."""
    DUPLICATE = "duplicate"
    """The recipient has got this news by another notification since."""
    ALREADY_SETTLED = "already_settled"
    UNREADABLE = "unreadable"
    """There is no delivery: the message could not be read, or came back too often."""
    CANCELLED = "cancelled"
    MOVED_ON = "moved_on"
    """Late news came: it has arrived, or bounced."""
    GONE = "gone"
    """The delivery went with its month."""


class StageVerdict(StrEnum):
    """What the deliveries of a stage say."""

    WAIT = "wait"
    FAILED = "failed"
    PASSED = "passed"
    SAID_NOTHING = "said_nothing"
    """None of them was tried: they were withdrawn, or wait for the morning. Others have to say it."""


_S = DeliveryStatus
_GOOD = frozenset({_S.SENT, _S.STORED, _S.DELIVERED, _S.COLLAPSED})
_BAD = frozenset({_S.FAILED, _S.DEAD_LETTERED, _S.BOUNCED, _S.AMBIGUOUS, _S.RESTING})
"""A rest is an attempt that did not work out: what was wrong is not right yet."""
_UNDER_WAY = frozenset({_S.QUEUED, _S.SENDING})


def stage_verdict(statuses: Iterable[DeliveryStatus]) -> StageVerdict:
    """How a stage went, by where its deliveries stand now. Any failure is one."""
    seen = frozenset(statuses)
    if seen & _BAD:
        return StageVerdict.FAILED
    if seen & _UNDER_WAY:
        return StageVerdict.WAIT
    return StageVerdict.PASSED if seen & _GOOD else StageVerdict.SAID_NOTHING
