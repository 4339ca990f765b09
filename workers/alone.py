"""One delivery worked from claim to finish by itself, as a child of quarantine does it."""

import asyncio
from uuid import UUID

from domain.lanes import Channel
from tracking.claim import Claim, claim
from workers.crew import Crew
from workers.dispatcher import LEASE_MARGIN_S
from workers.finisher import Finisher
from workers.sending import Work, send
from workers.telling import tell_over

WRITES_END_S = 10.0


async def work_alone(crew: Crew, channel: Channel, delivery: UUID) -> bool:
    """One attempt at one delivery, written down; False when it could not be written in time. Raises Unavailable."""
    finisher = Finisher(crew)
    finisher.open()
    loop = asyncio.get_running_loop()
    claimed_s = loop.time()
    await crew.holds.keep_fresh()
    if await crew.holds.set_aside([delivery]):
        return await finisher.drain(WRITES_END_S)
    answer = await _claim(crew, channel, delivery)
    if answer.stale and await crew.rejudge(answer.stale):
        claimed_s = loop.time()
        answer = await _claim(crew, channel, delivery)
    tell_over(answer.over)
    for claimed in answer.claimed:
        ended, _ = await send(crew, Work(claimed, [], claimed_s))
        finisher.add(ended)
    return await finisher.drain(WRITES_END_S)


async def _claim(crew: Crew, channel: Channel, delivery: UUID) -> Claim:
    lease_s = crew.sending.timeout_s(channel) + LEASE_MARGIN_S
    return await claim(crew.pool, [delivery], lease_s=lease_s, is_alone=True)
