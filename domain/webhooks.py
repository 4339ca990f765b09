"""Status webhooks as the outside knows them: names of events, when they are tried again, what an answer means. Pure.

The form is that of Standard Webhooks (standardwebhooks.com, specification 1.0.0), and so is the schedule.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from random import Random

from domain.delivery import DeliveryStatus

TEST_EVENT = "webhook.test"
_PREFIX = "notification.delivery."
TOLD = (
    DeliveryStatus.SENT,
    DeliveryStatus.DELIVERED,
    DeliveryStatus.FAILED,
    DeliveryStatus.BOUNCED,
    DeliveryStatus.EXPIRED,
    DeliveryStatus.SUPPRESSED,
    DeliveryStatus.CANCELLED,
    DeliveryStatus.COLLAPSED,
    DeliveryStatus.AMBIGUOUS,
    DeliveryStatus.DEAD_LETTERED,
)
"""The statuses that are told: every end, `sent`, and `ambiguous`, which waits for a person. The others are steps."""

EVENTS = {f"{_PREFIX}{status}": status for status in TOLD}

WAITS_S = (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 36_000.0)
"""The first attempt is made at once; so long after each failure comes the next: eight in all, over 27 hours."""

JITTER = 0.1
"""Of a wait, at most so much is added: endpoints that were away are not run over when they come back."""

MAX_RETRY_AFTER_S = 6 * 3600.0
DISABLED_AFTER = timedelta(days=5)
"""Nothing but failure for so long, and an endpoint is disabled."""


class Disabled(StrEnum):
    """Why an endpoint is told nothing."""

    GONE = "gone"
    """It answered 410."""
    FAILING = "failing"
    BY_HAND = "by_hand"


class TellingOutcome(StrEnum):
    """How one attempt to tell a message ended."""

    DELIVERED = "delivered"
    RETRIED = "retried"
    FAILED = "failed"
    DISABLED = "disabled"


def event_of(status: DeliveryStatus | None) -> str:
    """The name of the event that a status is told by; None is a test."""
    return TEST_EVENT if status is None else f"{_PREFIX}{status}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows from one attempt. `next_attempt_at` only of one that is tried again; `disabled` of the endpoint."""

    outcome: TellingOutcome
    next_attempt_at: datetime | None = None
    disabled: Disabled | None = None


def judge(
    status_code: int | None,
    *,
    attempts: int,
    retry_after_s: float | None,
    failing_since: datetime | None,
    now: datetime,
    rng: Random,
) -> Verdict:
    """What becomes of a message after its attempt number `attempts`; `status_code` None when there was no answer.

    2xx is success and everything else is failure, redirects too. 410 disables at once, whatever else would follow; so
    does the end of five days without any success.
    """
    if status_code is not None and 200 <= status_code < 300:
        return Verdict(TellingOutcome.DELIVERED)
    wait_s = _wait_s(attempts, retry_after_s, rng)
    next_attempt_at = None if wait_s is None else now + timedelta(seconds=wait_s)
    if status_code == 410:
        return Verdict(TellingOutcome.DISABLED, next_attempt_at, Disabled.GONE)
    if failing_since is not None and now - failing_since >= DISABLED_AFTER:
        return Verdict(TellingOutcome.DISABLED, next_attempt_at, Disabled.FAILING)
    return Verdict(TellingOutcome.FAILED if next_attempt_at is None else TellingOutcome.RETRIED, next_attempt_at)


def _wait_s(attempts: int, retry_after_s: float | None, rng: Random) -> float | None:
    """How long to wait after so many attempts, longer where the endpoint asks for it; None when it was the last."""
    if attempts > len(WAITS_S):
        return None
    wait_s = WAITS_S[attempts - 1] * (1 + JITTER * rng.random())
    return max(wait_s, min(retry_after_s or 0.0, MAX_RETRY_AFTER_S))
