"""From a claim to an ending: render, look at the clock once more, call the provider, conclude.

It writes nothing: the finisher does.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from channels.base import Outcome, Outgoing
from domain.errors import Ambiguous, DeliveryFailure, NotSent, Permanent, Unavailable
from domain.reasons import Reason
from plumbing import metrics
from plumbing.failpoints import Failpoint, reach
from tracking.claim import Claimed
from workers.crew import Crew
from workers.endings import Attempt, conclude
from workers.finisher import Ended
from workers.parcels import Piece

FRESH_S = 0.8
"""A claim's look at preferences counts for so long: an opt-out stops every provider call from 1 s after its commit."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Work:
    """A claimed delivery, the messages that asked for it, and the loop's time before its claim was asked for."""

    claimed: Claimed
    pieces: Sequence[Piece]
    claimed_s: float


async def send(crew: Crew, work: Work) -> tuple[Ended, Outcome]:
    """Make one attempt at a delivery; how it ended. Raises nothing but CancelledError."""
    begun_at, begun_s = crew.clock(), asyncio.get_running_loop().time()
    composed = await _compose(crew, work.claimed)
    outcome = await _call(crew, work, composed) if isinstance(composed, Outgoing) else composed
    duration_ms = (asyncio.get_running_loop().time() - begun_s) * 1000
    may_repeat = isinstance(outcome, Ambiguous) and await _may_repeat(crew, work.claimed)
    attempt = Attempt(work.claimed, outcome, begun_at, duration_ms)
    return Ended(conclude(attempt, may_repeat=may_repeat, now=crew.clock(), rng=crew.rng), work.pieces), outcome


async def _compose(crew: Crew, claimed: Claimed) -> Outgoing | DeliveryFailure:
    """The delivery's words and address; a failure where they cannot be made. One bad template errs alone."""
    if claimed.address is None:
        return Permanent(Reason.RECIPIENT_ERASED, "the address was erased")
    try:
        return await crew.compose(claimed)
    except DeliveryFailure as failure:
        return failure
    except Unavailable as error:
        return NotSent(Reason.TOO_LATE, f"could not be rendered in time: {error}")
    except Exception as error:
        log.exception("template.failed", delivery_id=str(claimed.id), template=claimed.template)
        return Permanent(Reason.TEMPLATE_ERROR, type(error).__name__)


async def _call(crew: Crew, work: Work, outgoing: Outgoing) -> Outcome:
    loop = asyncio.get_running_loop()
    begun_s = loop.time()
    if begun_s - work.claimed_s > FRESH_S:
        return NotSent(Reason.TOO_LATE, "the claim was too old to be relied on")
    for piece in work.pieces[:1]:
        lane = piece.parcel.envelope.lane
        metrics.QUEUE_WAIT_SECONDS.labels(lane=lane).observe(begun_s - piece.parcel.arrived_s)
    reach(Failpoint.WORKER_BEFORE_SEND)
    try:
        [outcome] = await crew.sending.send(outgoing.channel, outgoing.mode, [outgoing])
    except Exception as error:  # a channel promises to raise nothing; if it does, nobody knows what left
        log.exception("channel.broke_its_promise", delivery_id=str(outgoing.id))
        outcome = Ambiguous(Reason.PROVIDER_SILENT, type(error).__name__)
    reach(Failpoint.WORKER_AFTER_SEND)
    metrics.PROVIDER_SECONDS.labels(channel=outgoing.channel).observe(loop.time() - begun_s)
    return outcome


async def _may_repeat(crew: Crew, claimed: Claimed) -> bool:
    try:
        return await crew.may_repeat(claimed)
    except Exception as error:  # without the category's word, a person decides
        log.warning("category.unknown", delivery_id=str(claimed.id), error=repr(error))
        return False
