"""The hot frames of a connection, taken from the wire before aiormq reads them: deliveries, confirmations, returns.

aiormq makes three objects and a task of each message that comes, and a task, a lock and three waits of each that goes.
It keeps everything else: the handshake, heartbeats, channels, declarations, and (by way of aio-pika) coming back after
a loss. What it is not shown it does not miss: consumers are its own, their messages are taken here by their tags.
"""

import asyncio
from collections.abc import Callable, Collection
from typing import Any

from aio_pika.exceptions import AMQPConnectionError
from yarl import URL

from plumbing.broker import frames
from plumbing.broker.frames import Delivery
from plumbing.broker.unanswered import Unanswered
from plumbing.broker.unconfirmed import Unconfirmed

ALIVE_S = 1.0
"""Hot frames are a sign of life: aiormq hears of them as a heartbeat, at most so often."""
_DEFAULT_FRAME_BYTES = 131_072

Take = Callable[[Delivery, bytes, bytes, Unanswered], None]
"""Takes a message, at once: what was said before it, its header, its body, and where it is answered."""


class Tap:
    """All connections of one robust connection, one after the other; made by aiormq as its factory of transports."""

    def __init__(self) -> None:
        self.takers: dict[bytes, tuple[Take, int]] = {}
        """By consumer tag: who takes its messages, and how many may be unanswered."""
        self._life: Wire | None = None

    async def create(self, url: URL, **kwargs: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect, as aiormq asks its transport factories to."""
        contexts = kwargs.pop("ssl_context_provider")
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(loop=loop)
        life = Wire(reader, self.takers)
        context = await contexts.get_context() if url.scheme == "amqps" else None
        try:
            transport, _ = await loop.create_connection(
                lambda: life, url.host or "", url.port or 0, ssl=context, **kwargs
            )
        except OSError as error:
            raise AMQPConnectionError(*error.args) from error
        writer = asyncio.StreamWriter(transport, life, reader, loop)
        life.writer = writer
        self._life = life
        return reader, writer

    def unconfirmed(self, channel: int) -> Unconfirmed | None:
        """Where to publish on a channel; None when it does not confirm, or is gone."""
        return None if self._life is None else self._life.unconfirmed.get(channel)

    @property
    def consumers(self) -> Collection[bytes]:
        """The tags of those whom the broker brings messages to, by its own words."""
        return () if self._life is None else self._life.consumers

    def flush(self) -> None:
        """Acknowledge now what waits to be."""
        if self._life is not None:
            for unanswered in self._life.unanswered.values():
                unanswered.flush()


class _Content:
    """A message of which not all frames came yet."""

    __slots__ = ("delivery", "header", "missing", "parts")

    def __init__(self, delivery: Delivery | None) -> None:
        self.delivery = delivery
        """None: it was published here, and comes back."""
        self.header = b""
        self.parts: list[bytes] = []
        self.missing = 0


class Wire(asyncio.StreamReaderProtocol):
    """One connection: cuts what the socket brings into frames, keeps the hot ones and hands the others on."""

    def __init__(self, reader: asyncio.StreamReader, takers: dict[bytes, tuple[Take, int]]) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(reader, loop=loop)
        self.writer: asyncio.StreamWriter
        self.unconfirmed: dict[int, Unconfirmed] = {}
        self.unanswered: dict[int, Unanswered] = {}
        self.consumers: dict[bytes, int] = {}
        """The tags that the broker confirmed and did not cancel, each with its channel."""
        self._takers = takers
        self._loop_time = loop.time
        self._rest = b""
        self._contents: dict[int, _Content] = {}
        self._frame_max_bytes = _DEFAULT_FRAME_BYTES
        self._handed_on_at = 0.0
        self._is_amqp = True

    def data_received(self, data: bytes) -> None:
        """Bytes of the broker."""
        if not self._is_amqp:
            super().data_received(data)
            return
        data = self._rest + data if self._rest else data
        others: list[bytes] = []
        at, end = 0, len(data)
        unpack = frames.PREFIX.unpack_from
        has_hot = False
        while end - at >= frames.OVERHEAD_BYTES:
            kind, channel, size = unpack(data, at)
            after = at + size + frames.OVERHEAD_BYTES
            if (after <= end and data[after - 1] != frames.END) or kind not in _KINDS:
                self._is_amqp = False  # aiormq will say so, and end the connection
                others.append(data[at:])
                at = end
                break
            if after > end:
                break
            if kind != frames.HEARTBEAT and self._takes(kind, channel, data[at + frames.PREFIX.size : after - 1]):
                has_hot = True
            else:
                others.append(data[at:after])
            at = after
        self._rest = data[at:]
        now = self._loop_time()
        if has_hot and not others and now - self._handed_on_at >= ALIVE_S:
            others.append(frames.HEARTBEAT_FRAME)
        if others:
            self._handed_on_at = now
            super().data_received(b"".join(others))

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone, and all its channels."""
        for channel in {*self.unconfirmed, *self.unanswered, *self.consumers.values()}:
            self._end(channel)
        super().connection_lost(error)

    def _takes(self, kind: int, channel: int, payload: bytes) -> bool:
        """Whether this frame is for us."""
        if kind == frames.METHOD:
            return self._takes_method(int.from_bytes(payload[:4], "big"), channel, payload)
        content = self._contents.get(channel)
        if content is None:
            return False
        if kind == frames.HEADER:
            content.header = payload
            content.missing = frames.body_size(payload)
        else:
            content.parts.append(payload)
            content.missing -= len(payload)
        if content.missing <= 0:
            del self._contents[channel]
            self._whole(channel, content)
        return True

    def _takes_method(self, method: int, channel: int, payload: bytes) -> bool:
        if method == frames.DELIVER:
            return self._takes_delivery(channel, frames.read_delivery(payload))
        if method in (frames.ACK, frames.NACK, frames.RETURN):
            return self._takes_confirmation(method, channel, payload)
        if method == frames.SELECT_OK:
            self.unconfirmed[channel] = Unconfirmed(channel, self.writer, self._frame_max_bytes)
        elif method in (frames.CHANNEL_OPEN_OK, frames.CHANNEL_CLOSE, frames.CHANNEL_CLOSE_OK):
            self._end(channel)
        elif method == frames.CONSUME_OK:
            self.consumers[frames.read_consumer(payload)] = channel
        elif method in (frames.CANCEL, frames.CANCEL_OK):
            self.consumers.pop(frames.read_consumer(payload), None)
        elif method == frames.TUNE:
            self._frame_max_bytes = frames.read_frame_max(payload) or _DEFAULT_FRAME_BYTES
        return False

    def _takes_confirmation(self, method: int, channel: int, payload: bytes) -> bool:
        unconfirmed = self.unconfirmed.get(channel)
        if unconfirmed is None or not unconfirmed.is_used:
            return False
        if method == frames.RETURN:
            self._contents[channel] = _Content(None)
        else:
            tag, is_multiple = frames.read_confirmation(payload)
            unconfirmed.confirmed(tag, is_multiple=is_multiple, is_there=method == frames.ACK)
        return True

    def _takes_delivery(self, channel: int, delivery: Delivery) -> bool:
        unanswered = self.unanswered.get(channel)
        if unanswered is None:
            unanswered = self.unanswered[channel] = Unanswered(channel, self.writer)
        unanswered.add(delivery.tag)  # whoever takes it: one that nobody takes must not be acknowledged with others
        if delivery.consumer not in self._takers:
            return False
        self._contents[channel] = _Content(delivery)
        return True

    def _whole(self, channel: int, content: _Content) -> None:
        if content.delivery is None:
            self.unconfirmed[channel].returned(frames.read_header(content.header).message_id or "")
            return
        taker = self._takers.get(content.delivery.consumer)
        if taker is not None:
            take, prefetch = taker
            unanswered = self.unanswered[channel]
            unanswered.prefetch = prefetch
            body = content.parts[0] if len(content.parts) == 1 else b"".join(content.parts)
            take(content.delivery, content.header, body, unanswered)

    def _end(self, channel: int) -> None:
        """This life of a channel is over."""
        self._contents.pop(channel, None)
        self.consumers = {tag: of for tag, of in self.consumers.items() if of != channel}
        unconfirmed, unanswered = self.unconfirmed.pop(channel, None), self.unanswered.pop(channel, None)
        if unconfirmed is not None:
            unconfirmed.over()
        if unanswered is not None:
            unanswered.over()


_KINDS = frozenset((frames.METHOD, frames.HEADER, frames.BODY, frames.HEARTBEAT))
