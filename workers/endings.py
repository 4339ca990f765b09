"""What an attempt's outcome means for its delivery: sent, rest, failed, ambiguous, or back untouched. Pure.

Outcome                 ending
Sent                    sent; where an acknowledgement is due, it stays open until then
Stored                  stored, with a letter for the mailbox
Lapsed                  expired
Transient, Throttled    resting, by the lane's ladder; failed(retries_exhausted) after the last step or past expiry;
                        while the provider fails everybody the last step is no end, and retries wait for their budget
Permanent               failed; RecipientGone also goes on the suppression list
Ambiguous               by the category: rest and try again as long as the ladder goes, or ambiguous and hold
NotSent, CircuitOpen    given back: no attempt counted, ten seconds' parking
"""

from dataclasses import replace
from datetime import datetime, timedelta
from random import Random

from channels.base import Lapsed, Outcome, Sent, Stored
from channels.budget import Grace
from domain.delivery import DeliveryStatus
from domain.errors import Ambiguous, DeliveryFailure, NotSent, RecipientGone, Throttled, Transient
from domain.lanes import Lane
from domain.reasons import Reason
from domain.values import value
from plumbing.metrics import AttemptResult
from tracking.claim import Claimed
from tracking.events import EventKind
from tracking.finish import Finished
from workers.archive import failure_letter
from workers.backoff import NO_GRACE, Rest, rest_after

REPAIRABLE = frozenset(
    {
        Reason.TEMPLATE_MISSING_VARIABLE,
        Reason.TEMPLATE_ERROR,
        Reason.CONTENT_TOO_LARGE,
        Reason.CONTENT_REJECTED,
        Reason.PROVIDER_REJECTED,
        Reason.PROVIDER_UNCONFIGURED,
        Reason.PROVIDER_CREDENTIALS,
        Reason.RETRIES_EXHAUSTED,
    }
)
"""Failures that an operator may repair and replay: they become dead letters. The recipient's own do not."""


@value(frozen=True, slots=True)
class Attempt:
    """One provider call that was made, or was about to be: when it began and how long it took (wall time)."""

    claimed: Claimed
    outcome: Outcome
    begun_at: datetime
    duration_ms: float = 0.0
    wake: int | None = None
    """Of a push: 10, 5 or 1."""


@value(frozen=True, slots=True)
class Ending:
    """How an attempt ends. Either `finished` is written, or (None) the claim is given back for `reason`."""

    claimed: Claimed
    result: AttemptResult
    finished: Finished | None
    reason: Reason | None = None
    detail: str = ""
    rest: Rest | None = None
    is_gone: bool = False
    wake: int | None = None
    """Of a push: 10, 5 or 1."""

    @property
    def is_dead_letter(self) -> bool:
        """Whether an operator should see it: it failed, and not because of the recipient."""
        return self.finished is not None and self.finished.letter is not None


def conclude(attempt: Attempt, *, may_repeat: bool, grace: Grace = NO_GRACE, now: datetime, rng: Random) -> Ending:
    """What becomes of a delivery after `attempt`; `may_repeat` is its category's answer to an ambiguous outcome,
    `grace` its provider's to a failure."""
    outcome = attempt.outcome
    if not isinstance(outcome, Sent):
        ending = _conclude_unsent(attempt, outcome, may_repeat=may_repeat, grace=grace, now=now, rng=rng)
        return replace(ending, wake=attempt.wake)
    due_at = None if outcome.ack_within_s is None else now + timedelta(seconds=outcome.ack_within_s)
    finished = _finished(attempt, DeliveryStatus.SENT, None, next_attempt_at=due_at)
    return Ending(attempt.claimed, AttemptResult.SENT, finished, wake=attempt.wake)


def _conclude_unsent(
    attempt: Attempt,
    outcome: Stored | Lapsed | DeliveryFailure,
    *,
    may_repeat: bool,
    grace: Grace,
    now: datetime,
    rng: Random,
) -> Ending:
    claimed = attempt.claimed
    if isinstance(outcome, Stored):
        finished = _finished(attempt, DeliveryStatus.STORED, outcome.reason)
        finished.mail = outcome.letter
        return Ending(claimed, AttemptResult.STORED, finished, outcome.reason, outcome.answer)
    if isinstance(outcome, Lapsed):
        finished = _finished(attempt, DeliveryStatus.EXPIRED, outcome.reason)
        return Ending(claimed, AttemptResult.LAPSED, finished, outcome.reason, outcome.answer)
    if isinstance(outcome, NotSent):
        return Ending(claimed, AttemptResult.NOT_SENT, None, outcome.reason, outcome.answer)
    result = _result(outcome)
    if isinstance(outcome, Transient) or (isinstance(outcome, Ambiguous) and may_repeat):
        return _rest(attempt, outcome, result, grace=grace, now=now, rng=rng)
    if isinstance(outcome, Ambiguous):
        return _hold(attempt, outcome)
    return _fail(attempt, result, outcome.reason, outcome.answer)


def _hold(attempt: Attempt, outcome: Ambiguous) -> Ending:
    finished = _finished(attempt, DeliveryStatus.AMBIGUOUS, outcome.reason)
    return Ending(attempt.claimed, AttemptResult.AMBIGUOUS, finished, outcome.reason, outcome.answer)


def _fail(attempt: Attempt, result: AttemptResult, reason: Reason, detail: str) -> Ending:
    """Failed for good; with a letter to the operator when it was not because of the recipient."""
    claimed = attempt.claimed
    finished = _finished(attempt, DeliveryStatus.FAILED, reason, answer=detail)
    if reason in REPAIRABLE:
        finished.letter = failure_letter(claimed, reason, detail)
    return Ending(claimed, result, finished, reason, detail, is_gone=isinstance(attempt.outcome, RecipientGone))


def _rest(
    attempt: Attempt, failure: DeliveryFailure, result: AttemptResult, *, grace: Grace, now: datetime, rng: Random
) -> Ending:
    claimed = attempt.claimed
    rest = rest_after(
        Lane(claimed.channel, claimed.priority),
        claimed.attempt,
        left_s=(claimed.expires_at - now).total_seconds(),
        retry_after_s=failure.retry_after_s if isinstance(failure, Transient) else None,
        grace=grace,
        rng=rng,
    )
    if rest is None and isinstance(failure, Ambiguous):
        return _hold(attempt, failure)  # nobody knows, so "failed" would be a guess
    if rest is None:
        last = f"{failure.reason}: {failure.answer}" if failure.answer else str(failure.reason)
        return _fail(attempt, result, Reason.RETRIES_EXHAUSTED, last)
    finished = _finished(
        attempt, DeliveryStatus.RESTING, failure.reason, next_attempt_at=now + timedelta(seconds=rest.wait_s)
    )
    finished.is_kept_here = rest.level is None
    if isinstance(failure, Ambiguous):
        finished.outcome = EventKind.ATTEMPT_AMBIGUOUS
    return Ending(claimed, result, finished, failure.reason, failure.answer, rest)


def _result(failure: DeliveryFailure) -> AttemptResult:
    if isinstance(failure, Throttled):
        return AttemptResult.THROTTLED
    if isinstance(failure, Transient):
        return AttemptResult.TRANSIENT
    return AttemptResult.AMBIGUOUS if isinstance(failure, Ambiguous) else AttemptResult.PERMANENT


def _finished(
    attempt: Attempt,
    status: DeliveryStatus,
    reason: Reason | None,
    *,
    answer: str | None = None,
    next_attempt_at: datetime | None = None,
) -> Finished:
    claimed, outcome = attempt.claimed, attempt.outcome
    sent = outcome if isinstance(outcome, Sent) else None
    return Finished(
        id=claimed.id,
        lease_token=claimed.lease_token,
        attempt=claimed.attempt,
        envelope_id=claimed.envelope_id,
        status=status,
        reason=reason,
        provider=sent.provider if sent else None,
        provider_id=sent.provider_id if sent else None,
        next_attempt_at=next_attempt_at,
        begun_at=attempt.begun_at,
        answer=outcome.answer if answer is None else answer,
        duration_ms=sent.duration_ms if sent else attempt.duration_ms,
    )
