"""For the AMQP contracts: both brokers by URL, a cable that can be cut, and a bench that cleans up after itself."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from uuid import uuid4

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange, AbstractIncomingMessage, AbstractQueue

DEADLINE_S = 20.0
QUORUM = {"x-queue-type": "quorum", "x-overflow": "reject-publish"}


class EmbeddedBroker:
    """Our own broker as a process; may be killed and started again on its port, empty."""

    def __init__(self) -> None:
        self.port = 0
        self.process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"amqp://carillon:loopback-only@127.0.0.1:{self.port}/"

    def start(self) -> None:
        argv = [sys.executable, "-m", "ops.stack.broker", "--port", str(self.port), "--user", "carillon"]
        environment = {**os.environ, "CARILLON_BROKER_PASSWORD": "loopback-only"}
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=environment)
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        assert said.startswith("listening on "), f"the broker said {said!r}"
        self.port = int(said.rsplit(":", 1)[1])

    def kill(self) -> int:
        """End it without a farewell."""
        assert self.process is not None
        self.process.kill()
        return self._reap()

    def stop(self) -> int:
        """Ask it to end; its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self._reap()

    def _reap(self) -> int:
        assert self.process is not None
        code = self.process.wait(timeout=DEADLINE_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


@contextmanager
def embedded_broker() -> Iterator[EmbeddedBroker]:
    """An embedded broker for a while."""
    broker = EmbeddedBroker()
    broker.start()
    try:
        yield broker
    finally:
        if broker.process is not None and broker.process.returncode is None:
            broker.stop()


@pytest.fixture(scope="session")
def embedded_url() -> Iterator[str]:
    """An embedded broker of this session."""
    with embedded_broker() as broker:
        yield broker.url


@pytest.fixture(params=["embedded", "rabbitmq"])
async def broker_url(request: pytest.FixtureRequest) -> str:
    """One broker after the other; the second only where a real RabbitMQ is at hand."""
    if request.param == "embedded":
        return str(request.getfixturevalue("embedded_url"))
    url = str(request.getfixturevalue("amqp_url"))
    connection = await aio_pika.connect(url)
    product = connection.transport.connection.server_properties.get("product") if connection.transport else None
    await connection.close()
    if product != "RabbitMQ":
        pytest.skip("no real RabbitMQ on this machine")
    return url


@dataclass
class Bench:
    """A plain connection with names of its own; what was declared by it is deleted at the end."""

    url: str
    connection: AbstractConnection
    amqp_channel: AbstractChannel
    prefix: str = field(default_factory=lambda: f"conformance.{uuid4().hex[:12]}")
    queues: list[str] = field(default_factory=list)
    exchanges: list[str] = field(default_factory=list)

    async def queue(self, name: str = "queue", **arguments: str | int) -> AbstractQueue:
        """A durable quorum queue; `dead_letter_exchange=` stands for x-dead-letter-exchange."""
        full = f"{self.prefix}.{name}"
        self.queues.append(full)
        more = {f"x-{key.replace('_', '-')}": value for key, value in arguments.items()}
        return await self.amqp_channel.declare_queue(full, durable=True, arguments={**QUORUM, **more})

    async def exchange(self, kind: str, name: str = "exchange") -> AbstractExchange:
        full = f"{self.prefix}.{name}"
        self.exchanges.append(full)
        return await self.amqp_channel.declare_exchange(full, kind, durable=True)

    async def send(self, queue: AbstractQueue, *bodies: bytes) -> None:
        """Publish straight into a queue, each confirmed."""
        for body in bodies:
            await self.amqp_channel.default_exchange.publish(persistent(body), queue.name)

    async def close(self) -> None:
        cleaning = await self.connection.channel()
        for queue in self.queues:
            await cleaning.queue_delete(queue)
        for exchange in self.exchanges:
            await cleaning.exchange_delete(exchange)
        await self.connection.close()


@pytest.fixture
async def bench(broker_url: str) -> AsyncIterator[Bench]:
    connection = await aio_pika.connect(broker_url)
    amqp_channel = await connection.channel(on_return_raises=True)
    bench = Bench(broker_url, connection, amqp_channel)
    yield bench
    await bench.close()


def persistent(body: bytes) -> aio_pika.Message:
    return aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT, message_id=uuid4().hex)


class Buffer:
    """Where a consumer puts what it gets."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()

    async def put(self, message: AbstractIncomingMessage) -> None:
        self.messages.put_nowait(message)

    async def next(self) -> AbstractIncomingMessage:
        async with asyncio.timeout(DEADLINE_S):
            return await self.messages.get()


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Wait for something to become true; TimeoutError when it does not."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            if await is_so():
                return
            await asyncio.sleep(0.02)


async def get(queue: AbstractQueue) -> AbstractIncomingMessage:
    """The next message of a queue, when it comes."""
    got: list[AbstractIncomingMessage] = []

    async def came() -> bool:
        message = await queue.get(fail=False)
        got.extend([message] if message else [])
        return bool(got)

    await until(came)
    return got[0]


async def depth(queue: AbstractQueue) -> int:
    """Messages ready in a queue."""
    return (await queue.declare()).message_count or 0


class Cable:
    """A wire between client and broker that can be cut, frozen and mended."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)
        self._writers: set[asyncio.StreamWriter] = set()
        self._joints: set[asyncio.Future[None]] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        return self._url._replace(netloc=f"{self._url.username}:{self._url.password}@127.0.0.1:{port}").geturl()

    async def __aenter__(self) -> "Cable":
        self._server = await asyncio.start_server(self._join, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.mend()
        self.cut()
        await asyncio.gather(*self._joints)

    def cut(self) -> None:
        """Break every connection without a farewell."""
        for writer in self._writers:
            writer.transport.abort()

    def freeze(self) -> None:
        """Let nothing through any more, and say nothing."""
        self._flows.clear()

    def mend(self) -> None:
        self._flows.set()

    def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        joint = asyncio.ensure_future(self._carry(reader, writer))
        self._joints.add(joint)
        joint.add_done_callback(self._joints.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(self._url.hostname, self._url.port)
        self._writers |= {writer, there_writer}
        await asyncio.gather(self._pump(reader, there_writer), self._pump(there_reader, writer))
        self._writers -= {writer, there_writer}

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                await self._flows.wait()
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass  # cut
        finally:
            writer.close()
