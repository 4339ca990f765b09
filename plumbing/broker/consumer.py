"""Consuming: messages go from the broker into a buffer of the caller's, and nothing is worked on in here.

aio-pika cancels whatever runs in its callbacks when a connection drops, in the middle of a provider call if it
must; so a callback may only put the message down, and the work runs in tasks of the caller's own.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Self

import structlog
from aio_pika.abc import AbstractIncomingMessage, AbstractQueue, AbstractRobustChannel, AbstractRobustConnection

from plumbing.broker import topology
from plumbing.broker.connection import CALL_TIMEOUT_S, broker_trouble, close_channels, is_broker_trouble

log = structlog.get_logger(__name__)


class Incoming:
    """One message as it arrived. Whoever took it answers once, by `ack`, `reject_to_dead` or `requeue`."""

    __slots__ = ("_message", "body", "delivery_count", "headers", "redelivered", "routing_key")

    def __init__(self, message: AbstractIncomingMessage) -> None:
        self._message = message
        self.body: bytes = message.body
        self.routing_key: str = message.routing_key or ""
        self.redelivered: bool = bool(message.redelivered)
        self.headers: dict[str, Any] = dict(message.headers)
        count = self.headers.get("x-delivery-count")
        self.delivery_count: int = count if isinstance(count, int) else 0
        """How often the broker tried before; the first delivery has 0."""

    async def ack(self) -> None:
        """Done with it. On a connection that died meanwhile this does nothing: the message comes again."""
        await self._answer(self._message.ack())

    async def reject_to_dead(self) -> None:
        """Dead-letter it along its queue's own path (work → quarantine → dead)."""
        await self._answer(self._message.reject(requeue=False))

    async def requeue(self) -> None:
        """Put it back untouched; counts as a delivery on most versions, so only for a shutdown."""
        await self._answer(self._message.nack(requeue=True))

    async def _answer(self, answering: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                await answering
        except BaseException as error:
            if not is_broker_trouble(error):
                raise
            log.info("message.answer_lost", routing_key=self.routing_key, error=repr(error))


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

    def __init__(self, connection: AbstractRobustConnection, *, declaring: AbstractRobustChannel) -> None:
        self._connection = connection
        self._declaring = declaring  # kept, so that the topology is declared again after each reconnect
        self._sources: dict[str, _Source] = {}
        self._last_delivery: float | None = None

    @classmethod
    async def open(cls, connection: AbstractRobustConnection) -> Self:
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

        async def take(message: AbstractIncomingMessage) -> None:
            self._last_delivery = time.monotonic()
            on_message(Incoming(message))

        with broker_trouble(f"consuming {queue.name}"):
            async with asyncio.timeout(CALL_TIMEOUT_S):
                source = known or await self._open_source(queue)
                await source.amqp_channel.set_qos(prefetch, timeout=CALL_TIMEOUT_S)
                source.tag = await source.queue.consume(take, timeout=CALL_TIMEOUT_S)

    async def cancel(self, queue: str | None = None) -> None:
        """Let no more messages come, of one queue or of all; those that came can still be answered."""
        names = [queue] if queue else list(self._sources)
        await asyncio.gather(*(self._cancel(name) for name in names))

    async def close(self) -> None:
        """Close the channels, within 5 s: what was not answered goes back to its queue."""
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

    async def _open_source(self, queue: topology.Queue) -> _Source:
        amqp_channel = self._connection.channel()
        await amqp_channel.initialize(timeout=CALL_TIMEOUT_S)
        # declared, not looked up: only then does the subscription survive that the queue is deleted
        declared = await topology.declare_queue(amqp_channel, queue)
        self._sources[queue.name] = _Source(amqp_channel, declared)
        return self._sources[queue.name]
