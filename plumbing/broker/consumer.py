"""Consuming: messages go from the broker into a buffer of the caller's, and nothing is worked on in here.

They are taken right where bytes come from the socket, so a callback may only put the message down, or do what takes
as long as that; the work runs in tasks of the caller's own.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self
from uuid import uuid4

import structlog
from aio_pika.abc import AbstractIncomingMessage, AbstractQueue, AbstractRobustChannel

from plumbing.broker import frames, topology
from plumbing.broker.connection import CALL_TIMEOUT_S, Connection, broker_trouble, close_channels, is_broker_trouble
from plumbing.broker.frames import Delivery
from plumbing.broker.unanswered import Unanswered

log = structlog.get_logger(__name__)


class Incoming:
    """One message as it arrived. Whoever took it answers once, by `ack`, `reject_to_dead` or `requeue`.

    On a connection that died meanwhile an answer does nothing: the message comes again.
    """

    __slots__ = ("_header", "_tag", "_unanswered", "body", "redelivered", "routing_key")

    def __init__(self, delivery: Delivery, header: bytes, body: bytes, unanswered: Unanswered) -> None:
        self._tag = delivery.tag
        self._header = header
        self._unanswered = unanswered
        self.body = body
        self.routing_key = delivery.routing_key
        self.redelivered = delivery.is_redelivered

    @property
    def headers(self) -> dict[str, Any]:
        """What stands beside the body; read anew at each look."""
        return dict(frames.read_header(self._header).headers or {})

    @property
    def delivery_count(self) -> int:
        """How often the broker tried before; the first delivery has 0."""
        count = self.headers.get("x-delivery-count")
        return count if isinstance(count, int) else 0

    async def ack(self) -> None:
        """Done with it. The broker hears of it within some milliseconds, with others: a crash brings it again."""
        self.ack_soon()

    def ack_soon(self) -> None:
        """The same for whoever cannot wait: it never does."""
        self._unanswered.ack(self._tag)

    async def reject_to_dead(self) -> None:
        """Dead-letter it along its queue's own path (work → quarantine → dead)."""
        self._unanswered.reject(self._tag)

    async def requeue(self) -> None:
        """Put it back untouched; counts as a delivery on most versions, so only for a shutdown."""
        self._unanswered.requeue(self._tag)


OnMessage = Callable[[Incoming], None]
"""Puts the message into a buffer, at once."""


@dataclass(slots=True)
class _Source:
    """One queue on an AMQP channel of its own: prefetch is the channel's, and a trouble stays with its queue."""

    amqp_channel: AbstractRobustChannel
    queue: AbstractQueue
    tag: str | None = None


class Consumer:
    """Subscriptions on a connection that nobody publishes on. Made by `open`, ended by `close`.

    They come back by themselves after a lost connection and after a deleted queue.
    """

    def __init__(self, connection: Connection, *, declaring: AbstractRobustChannel) -> None:
        self._connection = connection
        self._declaring = declaring  # kept, so that the topology is declared again after each reconnect
        self._sources: dict[str, _Source] = {}
        self._last_delivery: float | None = None

    @classmethod
    async def open(cls, connection: Connection) -> Self:
        """Declare the topology. Raises Unavailable."""
        with broker_trouble("opening channels to consume"):
            async with asyncio.timeout(CALL_TIMEOUT_S):
                declaring = connection.channel()
                await declaring.initialize(timeout=CALL_TIMEOUT_S)
        await topology.declare(declaring)
        return cls(connection, declaring=declaring)

    @property
    def is_connected(self) -> bool:
        """Whether the connection stands right now."""
        return self._connection.connected.is_set()

    @property
    def missing(self) -> list[str]:
        """Queues that are subscribed and that the broker brings nothing of: it cancelled the consumer, or closed its
        AMQP channel. Most come back by themselves; what stays away for long comes no more."""
        known = self._connection.tap.consumers
        tags = ((name, source.tag) for name, source in self._sources.items())
        return [name for name, tag in tags if tag is not None and tag.encode() not in known]

    @property
    def last_delivery_age_s(self) -> float | None:
        """Seconds since the last message of any subscription; None before the first."""
        return None if self._last_delivery is None else time.monotonic() - self._last_delivery

    async def subscribe(self, queue: str, prefetch: int, on_message: OnMessage) -> None:
        """Hand each message of a queue of the topology to `on_message`, at most `prefetch` unanswered.

        Raises Unavailable; KeyError for a queue that the topology does not know; ValueError when subscribed.
        """
        await self._subscribe(topology.QUEUES_BY_NAME[queue], prefetch, on_message)

    async def subscribe_own(self, queue: topology.Queue, prefetch: int, on_message: OnMessage) -> None:
        """The same for a queue of the caller's own, such as a gateway's: declared here, gone with the connection.

        After a reconnect it is declared again, empty. Raises Unavailable; ValueError when subscribed.
        """
        await self._subscribe(queue, prefetch, on_message)

    async def _subscribe(self, queue: topology.Queue, prefetch: int, on_message: OnMessage) -> None:
        known = self._sources.get(queue.name)
        if known is not None and known.tag is not None:
            raise ValueError(f"{queue.name} is subscribed already")

        def take(delivery: Delivery, header: bytes, body: bytes, unanswered: Unanswered) -> None:
            self._last_delivery = time.monotonic()
            try:
                on_message(Incoming(delivery, header, body, unanswered))
            except Exception:  # it stays unanswered; raised, it would end the connection
                log.exception("consumer.message_broken", queue=queue.name)

        tag = f"{queue.name}.{uuid4().hex}"[-255:]
        with broker_trouble(f"consuming {queue.name}"):
            async with asyncio.timeout(CALL_TIMEOUT_S):
                source = known or await self._open_source(queue)
                await source.amqp_channel.set_qos(prefetch, timeout=CALL_TIMEOUT_S)
                self._connection.tap.takers[tag.encode()] = (take, prefetch)
                source.tag = await source.queue.consume(_untapped, consumer_tag=tag, timeout=CALL_TIMEOUT_S)

    async def cancel(self, queue: str | None = None) -> None:
        """Let no more messages come, of one queue or of all; those that came can still be answered."""
        names = [queue] if queue else list(self._sources)
        await asyncio.gather(*(self._cancel(name) for name in names))

    async def close(self) -> None:
        """Close the channels, within 5 s: what was not answered goes back to its queue."""
        self._connection.tap.flush()
        await close_channels([*(source.amqp_channel for source in self._sources.values()), self._declaring])
        self._sources.clear()

    async def _cancel(self, name: str) -> None:
        source = self._sources.get(name)
        if source is None or source.tag is None:
            return
        tag, source.tag = source.tag, None
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                await source.queue.cancel(tag, timeout=CALL_TIMEOUT_S)
        except BaseException as error:
            if not is_broker_trouble(error):
                raise
            log.info("consumer.cancel_lost", queue=name, error=repr(error))
        else:
            del self._connection.tap.takers[tag.encode()]

    async def _open_source(self, queue: topology.Queue) -> _Source:
        amqp_channel = self._connection.channel()
        await amqp_channel.initialize(timeout=CALL_TIMEOUT_S)
        # declared, not looked up: only then does the subscription survive that the queue is deleted
        declared = await topology.declare_queue(amqp_channel, queue)
        self._sources[queue.name] = _Source(amqp_channel, declared)
        return self._sources[queue.name]


async def _untapped(message: AbstractIncomingMessage) -> None:
    """What aio-pika wants for a consumer: its messages are taken before."""
    log.error("consumer.message_untapped", routing_key=message.routing_key)
