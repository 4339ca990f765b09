"""From a claim to an ending: render, look at the clock once more, call the provider, conclude.

It writes nothing: the finisher does.
"""

import asyncio
from collections.abc import Sequence
from functools import cache
from typing import Any

import structlog

from channels.base import Outcome, Outgoing
from channels.budget import Grace
from domain.content import PushContent
from domain.errors import Ambiguous, DeliveryFailure, NotSent, Permanent, Transient, Unavailable
from domain.holds import Hold
from domain.lanes import Channel, Lane
from domain.notification import Mode
from domain.reasons import Reason
from domain.values import value
from plumbing import metrics
from plumbing.failpoints import Failpoint, reach
from tracking.claim import Claimed
from workers.crew import Crew
from workers.endings import Attempt, conclude
from workers.holding import Ended
from workers.parcels import Piece

FRESH_S = 0.8
"""A claim's look at preferences counts for so long: an opt-out stops every provider call from 1 s after its commit."""

_TOO_LATE = NotSent(Reason.TOO_LATE, "the claim was too old to be relied on")

log = structlog.get_logger(__name__)


@value(frozen=True, slots=True)
class Work:
    """A claimed delivery, the messages that asked for it, and the loop's time before its claim was asked for."""

    claimed: Claimed
    pieces: list[Piece]
    claimed_s: float


async def send(crew: Crew, work: Work) -> tuple[Ended, Outcome]:
    """Make one attempt at a delivery; how it ended. Raises nothing but CancelledError."""
    begun_at, begun_s = crew.clock(), asyncio.get_running_loop().time()
    composed = await _compose(crew, work.claimed)
    outcome = (await _call(crew, [work], [composed]))[0] if isinstance(composed, Outgoing) else composed
    duration_ms = (asyncio.get_running_loop().time() - begun_s) * 1000
    ended = await _conclude(crew, work, Attempt(work.claimed, outcome, begun_at, duration_ms))
    return ended, outcome


async def send_together(crew: Crew, works: Sequence[Work]) -> list[Ended]:
    """Make one attempt at each of several deliveries of one channel, in one call. Raises nothing but CancelledError."""
    begun_at, begun_s = crew.clock(), asyncio.get_running_loop().time()
    composed = [await _compose(crew, work.claimed) for work in works]  # nothing in it waits, and a task has its price
    await asyncio.sleep(0)
    outcomes = await _call_by_mode(crew, works, composed)
    duration_ms = (asyncio.get_running_loop().time() - begun_s) * 1000
    return [
        await _conclude(crew, work, Attempt(work.claimed, outcome, begun_at, duration_ms, _wake(one)))
        for work, one, outcome in zip(works, composed, outcomes, strict=True)
    ]


async def _conclude(crew: Crew, work: Work, attempt: Attempt) -> Ended:
    """How the attempt ends, after a word with the category and the provider where it failed."""
    claimed, outcome = work.claimed, attempt.outcome
    may_repeat = isinstance(outcome, Ambiguous) and await _may_repeat(crew, claimed)
    is_tried_again = may_repeat or isinstance(outcome, Transient)
    grace = crew.sending.grace(claimed.channel, claimed.mode, outcome) if is_tried_again else Grace()
    if grace.put_off_s > 0:
        metrics.PUT_OFF.labels(channel=claimed.channel).inc()
    ending = conclude(attempt, may_repeat=may_repeat, grace=grace, now=crew.clock(), rng=crew.rng)
    return Ended(ending, work.pieces)


async def _call_by_mode(
    crew: Crew, works: Sequence[Work], composed: Sequence[Outgoing | DeliveryFailure]
) -> list[Outcome]:
    """A call for what is live and one for what test keys sent; what could not be composed stays as it is."""
    outcomes: list[Outcome] = [_TOO_LATE if isinstance(one, Outgoing) else one for one in composed]
    for is_test in (False, True):
        ready = [
            (place, one)
            for place, one in enumerate(composed)
            if isinstance(one, Outgoing) and (one.mode is Mode.TEST) is is_test
        ]
        answers = await _call(crew, [works[place] for place, _ in ready], [one for _, one in ready])
        for (place, _), answer in zip(ready, answers, strict=True):
            outcomes[place] = answer
    return outcomes


async def _compose(crew: Crew, claimed: Claimed) -> Outgoing | DeliveryFailure:
    """The delivery's words and address; a failure where they cannot be made. One bad template errs alone."""
    if (hold := crew.holds.over(claimed)) is not None:
        return _held(hold)
    if claimed.address is None:
        if claimed.channel is Channel.PUSH:
            return Permanent(Reason.DEVICE_GONE, "the device is gone, or somebody else's")
        return Permanent(Reason.RECIPIENT_ERASED, "the address was erased")
    try:
        composed = await crew.compose(claimed)
        hold = crew.holds.over(claimed)  # what was held while it was rendered is not sent either
        return composed if hold is None else _held(hold)
    except DeliveryFailure as failure:
        return failure
    except Unavailable as error:
        return NotSent(Reason.TOO_LATE, f"could not be rendered in time: {error}")
    except Exception as error:
        log.exception("template.failed", delivery_id=str(claimed.id), template=claimed.template)
        return Permanent(Reason.TEMPLATE_ERROR, type(error).__name__)


def _held(hold: Hold) -> NotSent:
    return NotSent(Reason.HELD, f"hold {hold.id} of {hold.kind} {hold.subject}: {hold.why}"[:200])


async def _call(crew: Crew, works: Sequence[Work], outgoings: Sequence[Outgoing]) -> list[Outcome]:
    """One call for all of these, of one channel and mode."""
    if not outgoings:
        return []
    loop = asyncio.get_running_loop()
    begun_s = loop.time()
    if any(begun_s - work.claimed_s > FRESH_S for work in works):
        return [_TOO_LATE for _ in works]
    for parcel in {work.pieces[0].parcel for work in works if work.pieces}:
        _queue_wait(parcel.envelope.lane).observe(begun_s - parcel.arrived_s)
    channel, mode = outgoings[0].channel, outgoings[0].mode
    crew.tempo.begin(channel, [one.priority for one in outgoings])
    reach(Failpoint.WORKER_BEFORE_SEND, (str(one.address) for one in outgoings))
    try:
        outcomes = await crew.sending.send(channel, mode, outgoings)
    except Exception as error:  # a channel promises to raise nothing; if it does, nobody knows what left
        log.exception("channel.broke_its_promise", delivery_id=str(outgoings[0].id), size=len(outgoings))
        outcomes = [Ambiguous(Reason.PROVIDER_SILENT, type(error).__name__) for _ in outgoings]
    reach(Failpoint.WORKER_AFTER_SEND)
    _provider_seconds(channel).observe(loop.time() - begun_s)
    return outcomes


@cache
def _queue_wait(lane: Lane) -> Any:
    """The lane's own histogram: looking it up costs more than observing."""
    return metrics.QUEUE_WAIT_SECONDS.labels(lane=lane)


@cache
def _provider_seconds(channel: Channel) -> Any:
    return metrics.PROVIDER_SECONDS.labels(channel=channel)


def _wake(composed: Outgoing | DeliveryFailure) -> int | None:
    content = composed.content if isinstance(composed, Outgoing) else None
    return int(content.wake) if isinstance(content, PushContent) else None


async def _may_repeat(crew: Crew, claimed: Claimed) -> bool:
    if claimed.channel is Channel.PUSH:
        return True  # devices know what they were sent
    try:
        return await crew.may_repeat(claimed)
    except Exception as error:  # without the category's word, a person decides
        log.warning("category.unknown", delivery_id=str(claimed.id), error=repr(error))
        return False
