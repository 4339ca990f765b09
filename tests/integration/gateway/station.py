"""A gateway node in this process, on real servers, with a real WebSocket client; and what the node reported."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import aio_pika
import asyncpg
from aio_pika.abc import AbstractIncomingMessage
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from channels.push import wire
from channels.push.apps import Apps
from channels.push.gateway.admission import Admission
from channels.push.gateway.messages import Messages
from channels.push.gateway.node import Bounds, Node, Ways
from channels.push.gateway.run import bind
from channels.push.gateway.server import PATH, Door
from channels.push.letters import Letter
from channels.push.mailbox import store
from channels.push.presence import NodeFacts, Presence
from channels.push.tokens import Tokens
from domain.clock import utc_now
from domain.ids import delivery_id, notification_id
from plumbing.broker import connection as broker
from plumbing.broker.consumer import Consumer
from plumbing.broker.publisher import Publisher
from plumbing.broker.topology import RECEIPTS_QUEUE, gateway_queue
from plumbing.cache import Cache
from tests.integration.devices import SEAL, a_device, an_app

PATIENCE_S = 30.0


async def until(is_so: Callable[[], bool], what: str = "the condition") -> None:
    """Wait until it is so; AssertionError after PATIENCE_S."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline, f"{what} did not come about within {PATIENCE_S:g} s"
        await asyncio.sleep(0.01)


class Phone:
    """A device as a client sees it: token, socket, and what came over it."""

    def __init__(self, app_key: str, device: UUID, token: str) -> None:
        self.app_key = app_key
        self.device = device
        self.token = token
        self.socket: ClientConnection | None = None
        self.connection_id = ""
        self.greeting: dict[str, Any] = {}

    async def log_in(self, url: str, *, origin: str | None = None, **more: Any) -> "Phone":
        """Connect, as a page of `origin` if it is given, and say hello; returns when the server has answered."""
        headers = {} if origin is None else {"Origin": origin}
        self.socket = await connect(url, additional_headers=headers, ping_interval=None, compression=None)
        await self.say(type="hello", app_key=self.app_key, token=self.token, **more)
        self.greeting = await self.hear()
        assert self.greeting["type"] == "hello"
        self.connection_id = self.greeting["connection_id"]
        return self

    async def say(self, **frame: Any) -> None:
        """Send one frame."""
        assert self.socket is not None
        await self.socket.send(json.dumps(frame))

    async def hear(self, within_s: float = PATIENCE_S) -> dict[str, Any]:
        """The next frame that is no heartbeat."""
        assert self.socket is not None
        async with asyncio.timeout(within_s):
            while True:
                frame: dict[str, Any] = json.loads(await self.socket.recv())
                if frame:
                    return frame

    async def ack(self, *ids: str, code: int = 100) -> None:
        """Acknowledge."""
        await self.say(type="ack", ids=[{"id": one, "code": code} for one in ids])

    async def closed(self, within_s: float = PATIENCE_S) -> tuple[int, str]:
        """Code and reason with which the server ends it; what comes before is dropped."""
        assert self.socket is not None
        with contextlib.suppress(ConnectionClosed):
            async with asyncio.timeout(within_s):
                while True:
                    await self.socket.recv()
        return self.socket.close_code or 0, self.socket.close_reason or ""

    async def hang_up(self) -> None:
        """Close properly."""
        if self.socket is not None:
            await self.socket.close()


class Station:
    """The servers, one app, and the nodes that a test starts."""

    def __init__(self, pool: asyncpg.Pool, cache: Cache, publisher: Publisher, tenant: UUID, app: UUID) -> None:
        self.pool = pool
        self.cache = cache
        self.publisher = publisher
        self.tenant = tenant
        self.app = app
        self.receipts: list[dict[str, Any]] = []
        self.presence = Presence(cache)

    @property
    def app_key(self) -> str:
        return f"cn_app_{self.app.hex}"

    async def phone(self, **wishes: Any) -> Phone:
        """A registered device."""
        token = uuid4().hex
        return Phone(self.app_key, await a_device(self.pool, self.tenant, self.app, token=token, **wishes), token)

    async def push(self, node: "Running", *frames: wire.Frame) -> None:
        """Hand frames to a node as a worker does."""
        bodies = wire.encode_frames(frames)
        assert all(await self.publisher.publish_to_node(node.queue, bodies))

    async def letter(self, phone: Phone, **wishes: Any) -> str:
        """Put a push into the mailbox of a device; its delivery's id."""
        letter = a_letter(self.tenant, phone.device, **wishes)
        async with self.pool.acquire() as conn, conn.transaction():
            result = await store(conn, [letter])
        assert letter.delivery_id in result.stored
        return str(letter.delivery_id)

    def reported(self, kind: str) -> list[str]:
        """The deliveries of which this was reported, in order."""
        return [one["delivery_id"] for one in self.receipts if one["kind"] == kind]


class Running:
    """A node that runs."""

    def __init__(self, node: Node, facts: NodeFacts, door: Door) -> None:
        self.node = node
        self.facts = facts
        self.door = door

    @property
    def url(self) -> str:
        return self.facts.url

    @property
    def queue(self) -> str:
        return gateway_queue(self.facts.node, self.facts.boot).name


def a_letter(tenant: UUID, device: UUID, **wishes: Any) -> Letter:
    now = utc_now()
    defaults: dict[str, Any] = {
        "delivery_id": delivery_id(notification_id(), 1),
        "tenant_id": tenant,
        "device_id": device,
        "wake": 10,
        "collapse_id": None,
        "topic": None,
        "payload": b'{"aps":{"alert":"stored"}}',
        "not_before": now - timedelta(seconds=1),
        "expires_at": now + timedelta(hours=1),
    }
    return Letter(**{**defaults, **wishes})


def a_frame(phone: Phone, **wishes: Any) -> wire.Frame:
    """A live push as a worker makes it."""
    identifier: UUID = wishes.pop("delivery_id", None) or delivery_id(notification_id(), 1)
    wake, collapse_id = wishes.pop("wake", 10), wishes.pop("collapse_id", None)
    expires_at = utc_now() + wishes.pop("life", timedelta(hours=1))
    text = wire.notification_frame(
        delivery_id=identifier,
        payload=wishes.pop("payload", b'{"aps":{"alert":"live"}}'),
        wake=wake,
        collapse_id=collapse_id,
        topic=None,
        expires_at=expires_at,
        stored=False,
    )
    assert not wishes
    return wire.Frame(phone.device.bytes, identifier.bytes, wake, collapse_id, expires_at.timestamp(), text)


def id_of(frame: wire.Frame) -> str:
    return str(UUID(bytes=frame.delivery))


@asynccontextmanager
async def a_station(pool: asyncpg.Pool, cache: Cache, amqp_url: str, tenant: UUID) -> AsyncIterator[Station]:
    """Real servers with one new app; receipts are collected as they come."""
    async with AsyncExitStack() as stack:
        connection = await broker.connect(amqp_url, "test publishing")
        stack.push_async_callback(connection.close)
        publisher = await Publisher.open(connection)
        stack.push_async_callback(publisher.close)
        station = Station(pool, cache, publisher, tenant, await an_app(pool, tenant, f"com.example.{uuid4().hex[:8]}"))
        reading = await aio_pika.connect(amqp_url)
        stack.push_async_callback(reading.close)
        queue = await (await reading.channel()).get_queue(RECEIPTS_QUEUE)
        await queue.purge()

        async def note(message: AbstractIncomingMessage) -> None:
            decoded = json.loads(message.body)
            station.receipts += decoded if isinstance(decoded, list) else [decoded]
            await message.ack()

        await queue.consume(note)
        yield station


@asynccontextmanager
async def a_node(
    station: Station,
    amqp_url: str,
    *,
    name: str = "north-1",
    region: str = "north",
    heartbeat_s: float = 15.0,
    handshakes_per_s: float = 5000,
    max_devices: int = 10_000,
    cache: Cache | None = None,
) -> AsyncIterator[Running]:
    """A node on a port of its own, with everything real around it."""
    async with AsyncExitStack() as stack:
        connection = await broker.connect(amqp_url, "test gateway")
        stack.push_async_callback(connection.close)
        consumer = await Consumer.open(connection)
        stack.push_async_callback(consumer.close)
        own = cache or station.cache
        listening = bind("127.0.0.1", 0)
        facts = NodeFacts(name, uuid4().hex[:12], region, f"ws://127.0.0.1:{listening.getsockname()[1]}{PATH}")
        ways = Ways(
            pool=station.pool,
            presence=Presence(own),
            admission=Admission(Apps(station.pool).by_key, Tokens(station.pool, own), SEAL.token_hash),
            tell=station.publisher.publish_to_node,
            publish_receipts=station.publisher.publish_receipts,
        )
        node = Node(facts, ways, Bounds(heartbeat_s, max_devices))
        stack.push_async_callback(node.close)
        await node.open()
        messages = Messages(consumer, gateway_queue(facts.node, facts.boot), node.inbox.take)
        stack.push_async_callback(messages.close)
        await messages.open()
        door = Door(node, handshakes_per_s=handshakes_per_s)
        await door.open(listening)
        stack.push_async_callback(_hang_up, node)
        stack.callback(door.shut)
        yield Running(node, facts, door)


async def _hang_up(node: Node) -> None:
    node.connections.wave(len(node.connections), 1)
    await until(lambda: not len(node.connections), "the end of all connections")


async def all_hear(phones: Iterable[Phone]) -> Sequence[dict[str, Any]]:
    """The next frame of each."""
    return await asyncio.gather(*(phone.hear() for phone in phones))
