"""Publishing with proof: what the broker did not confirm counts as not published, and may be published again.

A message that was not confirmed may have arrived all the same; whoever consumes must not mind copies.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import count
from typing import Self
from uuid import UUID

import structlog
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractRobustChannel, AbstractRobustConnection

from domain.lanes import Channel
from plumbing.broker import topology
from plumbing.broker.connection import CALL_TIMEOUT_S, broker_trouble, close_channels, is_broker_trouble
from plumbing.broker.envelope import MESSAGE_TYPE, Envelope

MAX_UNCONFIRMED = 200
"""Messages in flight on the publishing channel, over all callers."""

log = structlog.get_logger(__name__)


class Publisher:
    """Publishes on a connection that nobody consumes on. Made by `open`, ended by `close`."""

    def __init__(
        self,
        connection: AbstractRobustConnection,
        *,
        publishing: AbstractRobustChannel,
        declaring: AbstractRobustChannel,
        looking: AbstractRobustChannel,
    ) -> None:
        self._connection = connection
        self._publishing = publishing
        self._declaring = declaring  # kept, so that the topology is declared again after each reconnect
        self._looking = looking  # of its own: asking for a missing queue closes the channel
        self._slots = asyncio.Semaphore(MAX_UNCONFIRMED)
        self._numbers = count(1)

    @classmethod
    async def open(cls, connection: AbstractRobustConnection) -> Self:
        """Declare the topology and open the channels. Raises Unavailable."""
        with broker_trouble("opening channels to publish"):
            async with asyncio.timeout(CALL_TIMEOUT_S):
                declaring, looking = connection.channel(), connection.channel()
                # without on_return_raises a message that no queue takes looks confirmed, and is gone
                publishing = connection.channel(publisher_confirms=True, on_return_raises=True)
                for amqp_channel in (declaring, publishing, looking):
                    await amqp_channel.initialize(timeout=CALL_TIMEOUT_S)
        await topology.declare(declaring)
        return cls(connection, publishing=publishing, declaring=declaring, looking=looking)

    @property
    def is_connected(self) -> bool:
        """Whether the connection stands right now."""
        return self._connection.connected.is_set() and not self._publishing.is_closed

    async def publish_work(self, envelopes: Iterable[Envelope]) -> set[UUID]:
        """Publish to the lanes; the ids of the envelopes that the broker confirmed, within 5 s over all.

        Never raises for the broker's trouble: what is not in the set stays in the outbox.
        """
        wanted = list(envelopes)
        answers = await self._publish_all(topology.WORK, [self._enclose(envelope) for envelope in wanted])
        return {envelope.id for envelope, is_confirmed in zip(wanted, answers, strict=True) if is_confirmed}

    async def publish_retry(self, envelope: Envelope, level: str) -> bool:
        """Let the envelope rest for `level` (a key of RETRY_LEVELS_S), then come back to its lane."""
        if level not in topology.RETRY_LEVELS_S:
            raise ValueError(f"{level!r} is no retry level")
        exchange = topology.retry_exchange(envelope.lane.channel, level)
        return all(await self._publish_all(exchange, [self._enclose(envelope)]))

    async def publish_quarantine(self, envelope: Envelope) -> bool:
        """Set the envelope apart, to be worked off alone."""
        return all(await self._publish_all(topology.QUARANTINE, [self._enclose(envelope)]))

    async def publish_dead(self, of: Channel | str, body: bytes, headers: Mapping[str, str | int]) -> bool:
        """Put `body` to the dead letters of a channel or of `receipts`; `headers` say why."""
        message = self._message(body, "dead", headers=headers)
        return all(await self._publish_all(topology.DEAD, [(str(of), message)]))

    async def publish_receipts(self, bodies: Collection[bytes]) -> int:
        """Publish receipts; how many of them the broker confirmed, within 5 s over all."""
        messages = [(topology.RECEIPTS_KEY, self._message(body, "receipt")) for body in bodies]
        return sum(await self._publish_all(topology.RECEIPTS, messages))

    async def publish_to_node(self, queue_name: str, bodies: Sequence[bytes]) -> list[bool]:
        """Put frames straight into the queue of a gateway's life; per body whether the broker has it there.

        False also when the queue is gone with its gateway, or full. Within 5 s over all.
        """
        return await self._publish_all("", [(queue_name, self._frames(body)) for body in bodies])

    async def publish_to_all_nodes(self, body: bytes) -> bool:
        """Tell every gateway; False when none is there, or the broker did not confirm."""
        return all(await self._publish_all(topology.GATEWAYS, [("", self._frames(body))]))

    async def queue_depth(self, queue_name: str) -> int | None:
        """Messages ready in a queue, or None when it is missing or the broker does not answer."""
        if not self.is_connected:
            return None
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                await self._looking.ready()
                amqp_channel = await self._looking.get_underlay_channel()
                answer = await amqp_channel.queue_declare(queue_name, passive=True)
        except BaseException as error:
            if not is_broker_trouble(error):
                raise
            return None
        return answer.message_count

    async def close(self) -> None:
        """Close the channels; the connection is its opener's."""
        await close_channels((self._publishing, self._looking, self._declaring))

    async def _publish_all(self, exchange: str, messages: Sequence[tuple[str, Message]]) -> list[bool]:
        """Publish each `(routing key, message)`; per message, in order, whether it was confirmed."""
        if not messages or not self.is_connected:
            return [False] * len(messages)
        tasks = [asyncio.create_task(self._publish(exchange, key, message)) for key, message in messages]
        try:
            await asyncio.wait(tasks, timeout=CALL_TIMEOUT_S)
        finally:
            for task in tasks:
                task.cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        confirmed = [answer is True for answer in answers]
        if not all(confirmed):
            log.warning("publish.unconfirmed", exchange=exchange, count=confirmed.count(False))
        return confirmed

    async def _publish(self, exchange: str, routing_key: str, message: Message) -> bool:
        async with self._slots:
            try:
                amqp_channel = await self._publishing.get_underlay_channel()
                await amqp_channel.basic_publish(
                    message.body,
                    exchange=exchange,
                    routing_key=routing_key,
                    properties=message.properties,
                    mandatory=True,
                )
            except BaseException as error:
                if not is_broker_trouble(error):
                    raise
                log.debug("publish.failed", exchange=exchange, routing_key=routing_key, error=repr(error))
                return False
            return True

    def _enclose(self, envelope: Envelope) -> tuple[str, Message]:
        return str(envelope.lane), self._message(envelope.encode(), envelope.id.hex, kind=MESSAGE_TYPE)

    def _frames(self, body: bytes) -> Message:
        """A hint that is worth nothing after its reader's end: it need not be written to a disk."""
        return Message(
            body,
            message_id=f"frames.{next(self._numbers)}",
            delivery_mode=DeliveryMode.NOT_PERSISTENT,
            content_type="application/msgpack",
        )

    def _message(
        self, body: bytes, name: str, *, kind: str | None = None, headers: Mapping[str, str | int] | None = None
    ) -> Message:
        return Message(
            body,
            # aiormq finds the waiter of a returned message by this id: two in flight must never share one
            message_id=f"{name}.{next(self._numbers)}",
            delivery_mode=DeliveryMode.PERSISTENT,
            content_type="application/json",
            type=kind,
            headers=dict(headers or {}),
        )
