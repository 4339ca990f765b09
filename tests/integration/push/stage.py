"""A worker of push on a stage: real PostgreSQL, RabbitMQ and Redis; and a gateway that does what it is told."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg
import msgspec
from aio_pika.abc import AbstractRobustConnection

from channels.push import hints, wire
from channels.push.channel import PushChannel
from channels.push.letters import Letter
from channels.push.presence import Entry, NodeFacts, Presence
from channels.registry import Channels
from channels.simulated import SimulatedChannel
from domain.clock import utc_now
from domain.delivery import DeliveryStatus
from domain.ids import uuid7
from domain.lanes import Channel
from domain.receipts import Receipt, ReceiptKind
from fanout.publish import publish_now
from plumbing.broker import topology
from plumbing.broker.connection import connect
from plumbing.broker.consumer import Consumer, Incoming
from plumbing.broker.publisher import Publisher
from plumbing.cache import Cache
from plumbing.limiter import Limiter
from preferences.categories import Categories
from templates.catalog import SHIPPED, Catalog
from tests.integration.push.fleet import SEAL
from tests.integration.push.people import kept
from tests.integration.tracking.builders import status_of
from tests.integration.workers.stage import PATIENCE_S, Lowest, eventually
from tracking.claim import Claimed, Stale
from tracking.events import EventKind
from tracking.rows import Records
from workers.crew import Crew
from workers.words import Composer
from workers.worker import Worker


@dataclass
class FakeGateway:
    """A node that takes frames and hints down and answers nothing by itself."""

    facts: NodeFacts
    connection: AbstractRobustConnection
    consumer: Consumer
    presence: Presence
    publisher: Publisher
    frames: list[wire.Frame] = field(default_factory=list)
    drains: list[UUID] = field(default_factory=list)
    withdrawn: list[tuple[UUID, UUID]] = field(default_factory=list)
    messages: int = 0

    async def beat(self) -> None:
        """Say that it lives, for 15 s."""
        await self.presence.beat(self.facts)

    async def login(self, device: UUID, *, is_napping: bool = False) -> Entry:
        """A device connects here."""
        entry = Entry(device, uuid7().hex, is_napping)
        await self.presence.announce(self.facts, [entry])
        return entry

    def take(self, message: Incoming) -> None:
        """One message of a worker."""
        told = wire.decode(message.body)
        self.messages += 1
        self.frames += told.frames
        self.drains += [UUID(bytes=device) for device in told.devices]
        self.withdrawn += [
            (UUID(bytes=device), UUID(bytes=one)) for device, deliveries in told.withdrawals for one in deliveries
        ]

    @property
    def deliveries(self) -> list[UUID]:
        """What it was told to hand over, in order."""
        return [UUID(bytes=frame.delivery) for frame in self.frames]

    async def report(self, kind: ReceiptKind, *reported: tuple[UUID, UUID], detail: str = "") -> None:
        """Receipts for `(device, delivery)`, as one message."""
        receipts = [
            Receipt("gateway", kind, utc_now(), delivery_id=delivery, device_id=device, detail=detail)
            for device, delivery in reported
        ]
        assert await self.publisher.publish_receipts([msgspec.json.encode(receipts)]) == 1


class PushStage:
    """What a test of push works with."""

    def __init__(self, pool: asyncpg.Pool, amqp_url: str, publisher: Publisher, cache: Cache) -> None:
        self.pool = pool
        self.amqp_url = amqp_url
        self.publisher = publisher
        self.presence = Presence(cache)
        self.seen_by_workers = self.presence
        self.limiter = Limiter(cache)
        self.announced: list[Letter] = []

    def use(self, cache: Cache) -> None:
        """Let workers ask another Redis from now on."""
        self.seen_by_workers, self.limiter = Presence(cache), Limiter(cache)

    def crew(self) -> Crew:
        """A crew whose channel is the real one."""

        async def rejudge(stale: list[Stale]) -> set[UUID]:
            return set()

        async def may_repeat(claimed: Claimed) -> bool:
            return True

        async def suppress(claimed: Claimed) -> None:
            raise AssertionError("push suppresses nobody")

        async def announce(letters: Sequence[Letter]) -> None:
            self.announced.extend(letters)
            await hints.announce(self.publisher, self.seen_by_workers, letters, now=utc_now())

        push = PushChannel(self.publisher, self.seen_by_workers, self.limiter)
        composer = Composer(
            self.pool, catalog=Catalog([SHIPPED]), categories=Categories(), seal=SEAL, public_url="http://localhost"
        )
        return Crew(
            pool=self.pool,
            publisher=self.publisher,
            sending=Channels({Channel.PUSH: push}, {Channel.PUSH: SimulatedChannel(Channel.PUSH)}),
            compose=composer,
            rejudge=rejudge,
            may_repeat=may_repeat,
            suppress=suppress,
            announce=announce,
            rng=Lowest(),
        )

    @asynccontextmanager
    async def worker(self, crew: Crew | None = None) -> AsyncIterator[Worker]:
        """A worker of push at work; stopped in order at the end."""
        connection = await connect(self.amqp_url, "test worker")
        consumer = await Consumer.open(connection)
        worker = Worker(crew or self.crew(), consumer, slots={Channel.PUSH: 128})
        await worker.start()
        try:
            yield worker
        finally:
            await worker.stop()
            await consumer.close()
            await connection.close()

    @asynccontextmanager
    async def gateway(self, name: str = "north", region: str = "local") -> AsyncIterator[FakeGateway]:
        """A node that is alive while the block runs."""
        facts = NodeFacts(name, uuid7().hex, region, f"ws://{name}")
        connection = await connect(self.amqp_url, f"test gateway {name}")
        consumer = await Consumer.open(connection)
        gateway = FakeGateway(facts, connection, consumer, self.presence, self.publisher)
        await consumer.subscribe_own(topology.gateway_queue(name, facts.boot), 0, gateway.take)
        await gateway.beat()
        try:
            yield gateway
        finally:
            await self.presence.end(facts)
            await consumer.close()
            await connection.close()

    async def accept(self, made: Records) -> list[UUID]:
        """Record and publish, as accept does; the deliveries' ids."""
        ids = await kept(self.pool, made)
        assert len(await publish_now(self.publisher, made.outbox)) == len(made.outbox)
        return ids

    async def reaches(self, delivery: UUID, status: DeliveryStatus, *, within_s: float = PATIENCE_S) -> None:
        """Wait until a delivery stands there."""

        async def stands() -> bool:
            return await status_of(self.pool, delivery) is status

        await eventually(stands, within_s=within_s, what=f"{delivery} {status}")

    async def events(self, delivery: UUID) -> list[EventKind]:
        """Kinds of a delivery's events, in order."""
        rows = await self.pool.fetch("SELECT kind FROM events WHERE delivery_id = $1 ORDER BY at, kind", delivery)
        return [EventKind.of(row["kind"]) for row in rows]

    async def row(self, delivery: UUID) -> asyncpg.Record:
        """A delivery's row."""
        return await self.pool.fetchrow("SELECT * FROM deliveries WHERE id = $1", delivery)

    async def mail(self, *devices: UUID) -> list[UUID]:
        """The deliveries whose letters lie in these devices' mailboxes, by id."""
        rows = await self.pool.fetch("SELECT delivery_id FROM mailbox WHERE device_id = ANY($1::uuid[])", devices)
        return sorted(row["delivery_id"] for row in rows)

    async def is_watched(self, made: Records) -> bool:
        """Whether the envelope of `made` is still on the to-do list."""
        ids = [row.id for row in made.outbox]
        return bool(await self.pool.fetchval("SELECT count(*) FROM outbox WHERE id = ANY($1::uuid[])", ids))
