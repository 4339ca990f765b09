"""While a slice of pushes is on its way, others gather and leave together; a slice that is stuck holds up nobody."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import UUID

from channels.base import Outcome, Outgoing
from domain.lanes import Channel
from domain.notification import Mode
from plumbing.broker.envelope import Envelope
from tests.integration.push.people import an_owner, kept, pushes
from tests.integration.push.stage import PushStage
from tests.integration.workers.stage import PATIENCE_S, eventually
from tracking.rows import Records
from workers.crew import Crew, Sending
from workers.dispatcher import Dispatcher
from workers.finisher import Finisher
from workers.parcels import Parcel


class Gated:
    """Channels whose first call waits until it may go on; remembers how much each call was given."""

    def __init__(self, inner: Sending) -> None:
        self._inner = inner
        self.gate = asyncio.Event()
        self.sizes: list[int] = []

    def timeout_s(self, channel: Channel) -> float:
        return self._inner.timeout_s(channel)

    async def send(self, channel: Channel, mode: Mode, slice_: Sequence[Outgoing]) -> list[Outcome]:
        if slice_:
            self.sizes.append(len(slice_))
            if len(self.sizes) == 1:
                await self.gate.wait()
        return await self._inner.send(channel, mode, slice_)


class Message:
    """A message of which only the acknowledgement matters."""

    async def ack(self) -> None:
        """Done with it."""


def _parcel(made: Records) -> Parcel:
    [row] = made.outbox
    return Parcel(Envelope(row.id, row.tenant_id, row.lane, tuple(row.delivery_ids)), Message(), 0.0)


@asynccontextmanager
async def _dispatching(crew: Crew, ahead_s: float) -> AsyncIterator[Dispatcher]:
    finisher = Finisher(crew)
    dispatcher = Dispatcher(Channel.PUSH, crew, finisher, slots=128, ahead_s=ahead_s)
    finisher.open()
    dispatcher.open()
    try:
        yield dispatcher
    finally:
        await dispatcher.drain(PATIENCE_S)
        await finisher.drain(PATIENCE_S)


async def _accepted(push: PushStage, tenant: UUID, count: int) -> list[Records]:
    owner = await an_owner(push.pool, tenant)
    made = [pushes(owner) for _ in range(count)]
    for one in made:
        await kept(push.pool, one)
    return made


async def test_what_comes_while_a_slice_is_on_its_way_leaves_together(push: PushStage, tenant: UUID) -> None:
    crew = push.crew()
    gated = Gated(crew.sending)
    first, *others = await _accepted(push, tenant, 5)

    async with _dispatching(replace(crew, sending=gated), ahead_s=PATIENCE_S) as dispatcher:
        dispatcher.put(_parcel(first))
        await eventually(lambda: _are(gated, [1]), what="the first slice")
        for one in others:
            dispatcher.put(_parcel(one))
            await asyncio.sleep(0.01)
        gated.gate.set()
        await eventually(lambda: _are(gated, [1, 4]), what="one slice of all the others")


async def test_a_slice_that_is_stuck_holds_up_nobody(push: PushStage, tenant: UUID) -> None:
    crew = push.crew()
    gated = Gated(crew.sending)
    first, second = await _accepted(push, tenant, 2)

    async with _dispatching(replace(crew, sending=gated), ahead_s=0.01) as dispatcher:
        dispatcher.put(_parcel(first))
        await eventually(lambda: _are(gated, [1]), what="the first slice")
        dispatcher.put(_parcel(second))
        await eventually(lambda: _are(gated, [1, 1]), what="a slice beside the stuck one")
        gated.gate.set()


async def _are(gated: Gated, sizes: list[int]) -> bool:
    return gated.sizes == sizes
