"""Publishing with proof: what the broker did not confirm counts as not published, and may be published again.

A message that was not confirmed may have arrived all the same; whoever consumes must not mind copies.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Self
from uuid import UUID

import structlog
from aio_pika.abc import AbstractRobustChannel

from domain.lanes import Channel
from plumbing import metrics
from plumbing.broker import frames, topology
from plumbing.broker.connection import CALL_TIMEOUT_S, Connection, broker_trouble, close_channels, is_broker_trouble
from plumbing.broker.envelope import MESSAGE_TYPE, Envelope
from plumbing.broker.unconfirmed import Call, Outgoing

_WORK = frames.kind("application/json", is_persistent=True, name=MESSAGE_TYPE)
_RECEIPT = frames.kind("application/json", is_persistent=True)
_FRAMES = frames.kind("application/msgpack", is_persistent=False)
"""A hint that is worth nothing after its reader's end: it need not be written to a disk."""

_MAY_BE_GONE = frozenset({"", topology.GATEWAYS})
"""Where gateways listen, who come and go: what they do not get is no trouble of the broker's."""

log = structlog.get_logger(__name__)


class Publisher:
    """Publishes on a connection that nobody consumes on. Made by `open`, ended by `close`."""

    def __init__(
        self,
        connection: Connection,
        *,
        publishing: AbstractRobustChannel,
        declaring: AbstractRobustChannel,
        looking: AbstractRobustChannel,
    ) -> None:
        self._connection = connection
        self._publishing = publishing
        self._declaring = declaring  # kept, so that the topology is declared again after each reconnect
        self._looking = looking  # of its own: asking for a missing queue closes the channel

    @classmethod
    async def open(cls, connection: Connection) -> Self:
        """Declare the topology and open the channels. Raises Unavailable."""
        with broker_trouble("opening channels to publish"):
            async with asyncio.timeout(CALL_TIMEOUT_S):
                declaring, looking = connection.channel(), connection.channel()
                publishing = connection.channel(publisher_confirms=True)
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
        answers = await self._publish_all(topology.WORK, [_enclose(envelope) for envelope in wanted])
        return {envelope.id for envelope, is_confirmed in zip(wanted, answers, strict=True) if is_confirmed}

    async def publish_retry(self, envelope: Envelope, level: str) -> bool:
        """Let the envelope rest for `level` (a key of RETRY_LEVELS_S), then come back to its lane."""
        if level not in topology.RETRY_LEVELS_S:
            raise ValueError(f"{level!r} is no retry level")
        exchange = topology.retry_exchange(envelope.lane.channel, level)
        return all(await self._publish_all(exchange, [_enclose(envelope)]))

    async def publish_quarantine(self, envelope: Envelope) -> bool:
        """Set the envelope apart, to be worked off alone."""
        return all(await self._publish_all(topology.QUARANTINE, [_enclose(envelope)]))

    async def publish_dead(self, of: Channel | str, body: bytes, headers: Mapping[str, str | int]) -> bool:
        """Put `body` to the dead letters of a channel or of `receipts`; `headers` say why."""
        kind = frames.kind("application/json", is_persistent=True, headers=headers)
        return all(await self._publish_all(topology.DEAD, [Outgoing(str(of), kind, "dead", body)]))

    async def publish_receipts(self, bodies: Collection[bytes]) -> int:
        """Publish receipts; how many of them the broker confirmed, within 5 s over all."""
        messages = [Outgoing(topology.RECEIPTS_KEY, _RECEIPT, "receipt", body) for body in bodies]
        return sum(await self._publish_all(topology.RECEIPTS, messages))

    async def publish_to_node(self, queue_name: str, bodies: Sequence[bytes]) -> list[bool]:
        """Put frames straight into the queue of a gateway's life; per body whether the broker has it there.

        False also when the queue is gone with its gateway, or full. Within 5 s over all.
        """
        return await self._publish_all("", [Outgoing(queue_name, _FRAMES, "frames", body) for body in bodies])

    async def publish_to_all_nodes(self, body: bytes) -> bool:
        """Tell every gateway; False when none is there, or the broker did not confirm."""
        return all(await self._publish_all(topology.GATEWAYS, [Outgoing("", _FRAMES, "frames", body)]))

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

    async def _publish_all(self, exchange: str, messages: Sequence[Outgoing]) -> list[bool]:
        """Publish these; per message, in order, whether it was confirmed."""
        call = Call(len(messages))
        if not messages or not self.is_connected:
            return call.answers
        unconfirmed = None
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                amqp_channel = await self._publishing.get_underlay_channel()  # waits while the broker blocks publishers
                unconfirmed = self._connection.tap.unconfirmed(amqp_channel.number)
                if unconfirmed is not None:
                    await unconfirmed.publish(exchange, messages, call)
                    await call.end()
        except BaseException as error:
            if not is_broker_trouble(error):
                raise
            log.debug("publish.failed", exchange=exchange, error=repr(error))
        finally:
            if unconfirmed is not None:
                unconfirmed.forget(call)
        if not all(call.answers):
            if exchange not in _MAY_BE_GONE:
                metrics.UNCONFIRMED.inc(call.answers.count(False))
            log.warning("publish.unconfirmed", exchange=exchange, count=call.answers.count(False))
        return call.answers


def _enclose(envelope: Envelope) -> Outgoing:
    return Outgoing(str(envelope.lane), _WORK, envelope.id.hex, envelope.encode())
