"""A worker on a stage: real PostgreSQL and RabbitMQ, a scripted channel in place of the providers."""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any
from uuid import UUID

import asyncpg
from aio_pika import DeliveryMode, Message

from channels.base import Outcome, Outgoing, Sent
from channels.budget import Grace
from channels.push.letters import Letter
from domain.content import EmailContent
from domain.delivery import DeliveryStatus
from domain.lanes import Channel
from domain.notification import Mode
from fanout.publish import publish_now
from plumbing.broker import topology
from plumbing.broker.connection import connect
from plumbing.broker.consumer import Consumer
from plumbing.broker.publisher import Publisher
from tests.integration.tracking.builders import recorded, status_of
from tracking.claim import Claimed, Stale
from tracking.rows import Records
from workers import quarantine
from workers.crew import Crew
from workers.held import Holds
from workers.worker import Worker

PATIENCE_S = 30.0
"""More than anything here takes by itself: the lease of a leader that was killed is 15 s, a beat 5 s."""


class ScriptedChannels:
    """Answers by script, per delivery and in order; without one, everything is sent. Remembers each call."""

    def __init__(self) -> None:
        self.scripts: defaultdict[UUID, deque[Outcome]] = defaultdict(deque)
        self.calls: list[tuple[UUID, float]] = []
        self.delay_s = 0.0
        self.gate: asyncio.Event | None = None
        self.in_flight = 0

    def timeout_s(self, channel: Channel) -> float:
        return 5.0

    async def send(self, channel: Channel, mode: Mode, slice_: Sequence[Outgoing]) -> list[Outcome]:
        return [await self._send_one(outgoing) for outgoing in slice_]

    def room(self, channel: Channel) -> int:
        return 1_000_000

    def grace(self, channel: Channel, mode: Mode, outcome: Outcome) -> Grace:
        return Grace()

    async def _send_one(self, outgoing: Outgoing) -> Outcome:
        self.calls.append((outgoing.id, time.time()))
        self.in_flight += 1
        try:
            if self.gate is not None:
                await self.gate.wait()
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
        finally:
            self.in_flight -= 1
        script = self.scripts[outgoing.id]
        return script.popleft() if script else Sent("scripted", f"p-{outgoing.id}", "250 OK", 1.0)

    def count(self, delivery: UUID) -> int:
        """How many calls were made for a delivery."""
        return sum(called == delivery for called, _ in self.calls)


class Lowest(Random):
    """No jitter: of two retry levels always the shorter one."""

    def choice(self, seq: Any) -> Any:
        return seq[0]


async def outgoing(claimed: Claimed) -> Outgoing:
    """What composing makes of a claim, with one sentence for all."""
    assert claimed.address is not None
    return Outgoing(
        id=claimed.id,
        notification_id=claimed.notification_id,
        tenant_id=claimed.tenant_id,
        attempt=claimed.attempt,
        channel=claimed.channel,
        mode=claimed.mode,
        category=claimed.category,
        address=claimed.address,
        content=EmailContent("Subject", "Text"),
        priority=claimed.priority,
    )


class Stage:
    """What a test of the workers works with."""

    def __init__(self, pool: asyncpg.Pool, amqp_url: str, publisher: Publisher) -> None:
        self.pool = pool
        self.amqp_url = amqp_url
        self.publisher = publisher
        self.channels = ScriptedChannels()
        self.suppressed: list[UUID] = []
        self.announced: list[Letter] = []
        self.repeats = True
        self.passes: set[UUID] = set()

    def crew(self) -> Crew:
        async def rejudge(stale: list[Stale]) -> set[UUID]:
            await self.pool.executemany(
                "UPDATE deliveries SET recipient_version = recipient_version + 1, recheck_at = NULL WHERE id = $1",
                [(one.id,) for one in stale],
            )
            return {one.id for one in stale} & self.passes

        async def may_repeat(claimed: Claimed) -> bool:
            return self.repeats

        async def suppress(claimed: Claimed) -> None:
            self.suppressed.append(claimed.id)

        async def announce(letters: Sequence[Letter]) -> None:
            self.announced.extend(letters)

        return Crew(
            pool=self.pool,
            publisher=self.publisher,
            sending=self.channels,
            compose=outgoing,
            rejudge=rejudge,
            may_repeat=may_repeat,
            suppress=suppress,
            announce=announce,
            rng=Lowest(),
            holds=Holds(self.pool),
        )

    @asynccontextmanager
    async def worker(
        self,
        slots: Mapping[Channel, int] | None = None,
        *,
        crew: Crew | None = None,
        child: Sequence[str] = quarantine.CHILD,
    ) -> AsyncIterator[Worker]:
        """A worker at work; stopped in order at the end."""
        connection = await connect(self.amqp_url, "test worker")
        consumer = await Consumer.open(connection)
        worker = Worker(crew or self.crew(), consumer, slots=slots or {Channel.EMAIL: 8}, quarantine_child=child)
        await worker.start()
        try:
            yield worker
        finally:
            await worker.stop()
            await consumer.close()
            await connection.close()

    async def accept(self, made: Records) -> list[UUID]:
        """Record and publish, as accept does; the deliveries' ids."""
        ids = await recorded(self.pool, made)
        assert len(await publish_now(self.publisher, made.outbox)) == len(made.outbox)
        return ids

    async def publish_raw(
        self, routing_key: str, body: bytes, *, exchange: str = topology.WORK, headers: Mapping[str, Any] | None = None
    ) -> None:
        """Publish a body as a stranger might."""
        connection = await connect(self.amqp_url, "test stranger")
        async with connection, connection.channel() as amqp_channel:
            target = await amqp_channel.get_exchange(exchange)
            message = Message(body, headers=dict(headers or {}), delivery_mode=DeliveryMode.PERSISTENT)
            await target.publish(message, routing_key)

    async def reaches(self, delivery: UUID, status: DeliveryStatus, *, within_s: float = PATIENCE_S) -> None:
        """Wait until a delivery stands there."""

        async def stands() -> bool:
            return await status_of(self.pool, delivery) is status

        await eventually(stands, within_s=within_s, what=f"{delivery} {status}")

    async def is_drained(self, channel: Channel = Channel.EMAIL) -> bool:
        """Whether the channel's work queues hold nothing, unacknowledged messages included (as far as can be seen)."""
        depths = [
            await self.publisher.queue_depth(queue.name)
            for queue in topology.QUEUES
            if queue.name.startswith(f"work.{channel}")
        ]
        return not any(depths)

    async def events(self, delivery: UUID) -> list[int]:
        """Kinds of a delivery's events, in order."""
        rows = await self.pool.fetch("SELECT kind FROM events WHERE delivery_id = $1 ORDER BY at, kind", delivery)
        return [row["kind"] for row in rows]


async def eventually(
    condition: Callable[[], Awaitable[bool]], *, within_s: float = PATIENCE_S, what: str = "the condition"
) -> None:
    """Wait until `condition` answers True; fail when it does not in time."""
    deadline = time.monotonic() + within_s
    while not await condition():
        assert time.monotonic() < deadline, f"{what} was not reached within {within_s} s"
        await asyncio.sleep(0.02)
