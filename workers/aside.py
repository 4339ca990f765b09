"""What a claim did not get: not due, to be judged again, a suspect, somebody else's, or over. Nothing of it is lost."""

import asyncio
from collections import defaultdict
from uuid import UUID

import structlog

from domain.errors import CarillonError
from plumbing import metrics
from tracking.claim import Claim
from workers.backoff import PARKING_LEVEL, rest_for
from workers.crew import Crew
from workers.parcels import Piece, by_parcel, settle

log = structlog.get_logger(__name__)


async def set_aside(crew: Crew, answer: Claim, pieces: list[Piece]) -> list[Piece]:
    """Settle what this worker need not do; answers the pieces that passed the second judgement, to be claimed again.

    Leased and ended ones are settled (their owner, or the sweeper, sees to them); those not due rest in the broker,
    and what may have killed two workers goes to quarantine, be it a copy of a message from before.
    """
    held: defaultdict[UUID, list[Piece]] = defaultdict(list)
    for piece in pieces:
        held[piece.id].append(piece)
    again = await _judge_again(crew, answer, held)
    await _let_rest(crew, answer, held)
    await _set_apart(crew, [held[delivery][0] for delivery in answer.suspects])
    await settle([piece for copies in held.values() for piece in copies])
    return again


async def _judge_again(crew: Crew, answer: Claim, held: defaultdict[UUID, list[Piece]]) -> list[Piece]:
    """Take what may be claimed again out of `held`; what could not be judged now is parked and tried later."""
    if not answer.stale:
        return []
    try:
        passed = await crew.rejudge(answer.stale)
    except Exception as error:
        told = log.warning if isinstance(error, CarillonError) else log.exception
        told("rejudge.failed", size=len(answer.stale), error=str(error))
        await _publish(crew, [piece for stale in answer.stale for piece in held[stale.id]], PARKING_LEVEL)
        return []
    return [piece for delivery in passed for piece in held.pop(delivery, [])]


async def _let_rest(crew: Crew, answer: Claim, held: defaultdict[UUID, list[Piece]]) -> None:
    """Publish what is not due to the level that ends after it is; beyond two hours PostgreSQL has it anyway."""
    now = crew.clock()
    by_level: defaultdict[str, list[Piece]] = defaultdict(list)
    for delivery, due_at in answer.not_due:
        level = rest_for((due_at - now).total_seconds()).level
        if level is not None:
            by_level[level].extend(held[delivery][:1])
    await asyncio.gather(*(_publish(crew, pieces, level) for level, pieces in by_level.items()))


async def _set_apart(crew: Crew, suspects: list[Piece]) -> None:
    for parcel, ids in by_parcel(suspects):
        if not await crew.publisher.publish_quarantine(parcel.part(ids)):
            log.warning("quarantine.left_to_sweeper", deliveries=len(ids))


async def _publish(crew: Crew, pieces: list[Piece], level: str) -> None:
    for parcel, ids in by_parcel(pieces):
        if await crew.publisher.publish_retry(parcel.part(ids), level):
            metrics.PARKED.labels(lane=parcel.envelope.lane).inc(len(ids))
        else:
            log.warning("rest.left_to_sweeper", deliveries=len(ids))
