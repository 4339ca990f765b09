"""One worker: consumers, dispatchers and side roads (receipts, archive, quarantine), started and drained in order."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

import structlog

from channels.push import mailbox
from domain.lanes import Channel, Lane, Priority
from plumbing import metrics
from plumbing.broker import topology
from plumbing.broker.consumer import Consumer, Incoming
from plumbing.broker.envelope import UnreadableEnvelope, decode
from workers import archive, quarantine, receipts
from workers.crew import Crew
from workers.dispatcher import Dispatcher
from workers.fairness import cap
from workers.finisher import Finisher
from workers.parcels import Parcel

SENDS_END_S = 20.0
"""At a stop, provider calls in flight have so long to end; then their leases run out and the sweeper judges them."""

WRITES_END_S = 3.0
SMALLEST_PREFETCH = 4
GREATEST_PREFETCH = 256
"""Envelopes of push hold up to 500 deliveries: more of them would be a queue in memory."""

log = structlog.get_logger(__name__)


def prefetch(priority: Priority, slots: int) -> int:
    """Messages a lane's consumer holds unacknowledged: urgent lanes never wait for the broker, the others share."""
    if priority in (Priority.CRITICAL, Priority.HIGH):
        return min(2 * cap(priority, slots), GREATEST_PREFETCH)
    return min(max(SMALLEST_PREFETCH, cap(priority, slots)), GREATEST_PREFETCH)


class Worker:
    """Works off the lanes of `slots`' channels at `priorities`; `start` and `stop` once each."""

    def __init__(
        self,
        crew: Crew,
        consumer: Consumer,
        *,
        slots: Mapping[Channel, int],
        priorities: Sequence[Priority] = tuple(Priority),
        quarantine_child: Sequence[str] = quarantine.CHILD,
    ) -> None:
        self._crew = crew
        self._consumer = consumer
        self._slots = slots
        self._priorities = priorities
        self._finisher = Finisher(crew)
        self._dispatchers = {
            channel: Dispatcher(channel, crew, self._finisher, slots=count) for channel, count in slots.items()
        }
        self._receipts = receipts.Receipts(
            crew.pool, crew.publisher.publish_dead, forget=mailbox.forget, meet=self._finisher.meet
        )
        self._archive = archive.Archive(crew.pool)
        self._quarantine = quarantine.Quarantine(crew.publisher, pool=crew.pool, child=quarantine_child)
        self._burials: set[asyncio.Task[None]] = set()
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open everything, then let messages come. Raises Unavailable."""
        self._crew.holds.heed.append(self._heed)
        await self._crew.holds.refresh()
        self._watch = asyncio.create_task(self._crew.holds.run(), name="holds")
        self._finisher.open()
        for dispatcher in self._dispatchers.values():
            dispatcher.open()
        for side_road in (self._receipts, self._archive, self._quarantine):
            side_road.open()
        for channel, count in self._slots.items():
            for priority in self._priorities:
                queue = topology.work_queue(Lane(channel, priority))
                await self._consumer.subscribe(queue, prefetch(priority, count), self._taker(channel))
        await self._subscribe_side_roads()

    async def _subscribe_side_roads(self) -> None:
        subscribe = self._consumer.subscribe
        for channel in self._slots:
            await subscribe(topology.quarantine_queue(channel), quarantine.PREFETCH, self._quarantiner(channel))
            await subscribe(topology.dead_queue(channel), archive.PREFETCH, self._archiver(channel))
        await subscribe(topology.dead_queue(topology.RECEIPTS_QUEUE), archive.PREFETCH, self._archiver("receipts"))
        await subscribe(topology.RECEIPTS_QUEUE, receipts.PREFETCH, self._receipts.put)

    async def stop(self) -> None:
        """Take no more, end what was begun, park the rest: within 30 s, and nothing is lost."""
        await self._consumer.cancel()
        drains = [dispatcher.drain(SENDS_END_S) for dispatcher in self._dispatchers.values()]
        await asyncio.gather(*drains, self._quarantine.close(SENDS_END_S))
        if not await self._finisher.drain(WRITES_END_S):
            log.warning("worker.stopped_with_unwritten_ends", count=self._finisher.backlog)
        for side_road in (self._receipts, self._archive):
            await side_road.close()
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        if self._burials:
            await asyncio.wait(self._burials, timeout=1)

    @property
    def lanes(self) -> list[str]:
        """The lanes it works off."""
        return [str(Lane(channel, priority)) for channel in self._slots for priority in self._priorities]

    def _heed(self, _orders: object) -> None:
        """An operator has ordered a breaker: who waits for one looks again."""
        for dispatcher in self._dispatchers.values():
            dispatcher.resume()

    @property
    def waiting(self) -> int:
        """Deliveries held and not claimed, over all channels."""
        return sum(dispatcher.waiting for dispatcher in self._dispatchers.values())

    def trouble(self) -> str | None:
        """What does not work at this moment, for the watchdog."""
        if not self._consumer.is_connected:
            return "RabbitMQ has been away"
        if missing := self._consumer.missing:
            return f"RabbitMQ has brought nothing from {', '.join(missing)}"
        for channel, dispatcher in self._dispatchers.items():
            if not dispatcher.is_alive:
                return f"the dispatcher of {channel} has not moved"
        return None

    def _taker(self, channel: Channel) -> Callable[[Incoming], None]:
        loop = asyncio.get_running_loop()

        def take(message: Incoming) -> None:
            try:
                envelope = decode(message.body)
                if envelope.lane.channel is not channel:
                    raise UnreadableEnvelope(f"an envelope of {envelope.lane} in a queue of {channel}")
            except UnreadableEnvelope as error:
                task = loop.create_task(self._bury(channel, message, str(error)))
                self._burials.add(task)
                task.add_done_callback(self._burials.discard)
                return
            self._dispatchers[channel].put(Parcel(envelope, message, loop.time()))

        return take

    def _quarantiner(self, channel: Channel) -> Callable[[Incoming], None]:
        return lambda message: self._quarantine.put(channel, message)

    def _archiver(self, of: str) -> Callable[[Incoming], None]:
        return lambda message: self._archive.put(of, message)

    async def _bury(self, channel: Channel, message: Incoming, detail: str) -> None:
        """What nobody can read is a dead letter at first sight; acknowledged when the broker has it there.

        Where it could not be published it goes by the queue's own path: kept unanswered it would block its lane.
        """
        metrics.UNREADABLE.labels(channel=channel).inc()
        headers: dict[str, str | int] = {"x-reason": "unreadable_message", "x-detail": detail[:200]}
        if await self._crew.publisher.publish_dead(channel, message.body, headers):
            await message.ack()
        else:
            await message.reject_to_dead()
