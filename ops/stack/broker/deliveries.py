"""The consuming half of an AMQP channel: its consumers, and the messages it was given and has not answered."""

from collections.abc import Iterable
from typing import Protocol

from pamqp.base import Frame
from pamqp.commands import Basic

from ops.stack.broker import frames, messages
from ops.stack.broker.messages import Stored
from ops.stack.broker.queues import Queue
from ops.stack.broker.refusals import access_refused, not_allowed, precondition_failed
from ops.stack.broker.vhost import VirtualHost


class Wire(Protocol):
    """A connection, as its channels see it."""

    vhost: VirtualHost
    frame_max_bytes: int
    wants_cancel_notices: bool

    @property
    def is_full(self) -> bool:
        """Whether the client reads too slowly to be sent more."""

    def write(self, data: bytes) -> None:
        """Send bytes, in order."""


class Consumer:
    """One subscription: takes from its queue while fewer than `prefetch` (0: no limit) are unanswered."""

    def __init__(
        self, deliveries: "Deliveries", queue: Queue, tag: str, *, prefetch: int, no_ack: bool, is_exclusive: bool
    ) -> None:
        self._deliveries = deliveries
        self.queue = queue
        self.tag = tag
        self.no_ack = no_ack
        self.is_exclusive = is_exclusive
        self.unanswered = 0
        self._prefetch = prefetch

    @property
    def is_free(self) -> bool:
        if self._deliveries.wire.is_full:
            return False
        return self._prefetch == 0 or self.unanswered < self._prefetch

    def take(self, stored: Stored) -> None:
        self._deliveries.deliver(self, stored)

    def end(self) -> None:
        self._deliveries.end(self)


class Deliveries:
    """What one AMQP channel consumes."""

    def __init__(self, number: int, wire: Wire) -> None:
        self.wire = wire
        self.prefetch = 0
        self._number = number
        self._consumers: dict[str, Consumer] = {}
        self._unanswered: dict[int, tuple[Queue, Stored, Consumer | None]] = {}
        self._last_tag = 0
        self._last_consumer = 0

    def consume(self, method: Basic.Consume, queue: Queue) -> None:
        """Subscribe, answer, and begin to deliver."""
        if any(other.is_exclusive for other in queue.consumers) or (method.exclusive and queue.consumers):
            raise access_refused(f"queue '{queue.name}' in exclusive use")
        self._last_consumer += 1
        tag = method.consumer_tag or f"amq.ctag-{self._number}-{self._last_consumer}"
        if tag in self._consumers:
            raise not_allowed(f"attempt to reuse consumer tag '{tag}'")
        consumer = Consumer(
            self, queue, tag, prefetch=self.prefetch, no_ack=bool(method.no_ack), is_exclusive=bool(method.exclusive)
        )
        self._consumers[tag] = consumer
        queue.consumers.append(consumer)
        if not method.nowait:
            self._send(Basic.ConsumeOk(consumer_tag=tag))
        queue.pump()

    def cancel(self, tag: str) -> None:
        """Unsubscribe; what was delivered can still be answered. The last one ends an auto-delete queue."""
        consumer = self._consumers.pop(tag, None)
        if consumer is None:
            return
        queue = consumer.queue
        queue.consumers.remove(consumer)
        if queue.declaration.is_auto_delete and not queue.consumers:
            self.wire.vhost.delete_queue(queue.name, self.wire)

    def end(self, consumer: Consumer) -> None:
        """The queue went away under a consumer."""
        self._consumers.pop(consumer.tag, None)
        if self.wire.wants_cancel_notices:
            self._send(Basic.Cancel(consumer_tag=consumer.tag, nowait=True))

    def deliver(self, consumer: Consumer, stored: Stored) -> None:
        """Send a message to a consumer."""
        tag = self._remember(consumer.queue, stored, None if consumer.no_ack else consumer, no_ack=consumer.no_ack)
        message = stored.message
        method = Basic.Deliver(consumer.tag, tag, stored.is_redelivered, message.exchange, message.routing_key)
        self._send_with_content(method, consumer.queue, stored)

    def get(self, queue: Queue, *, no_ack: bool) -> None:
        """Answer a basic.get with the first message, or that there is none."""
        if not len(queue):
            self._send(Basic.GetEmpty())
            return
        stored = queue.pop()
        tag = self._remember(queue, stored, None, no_ack=no_ack)
        message = stored.message
        method = Basic.GetOk(tag, stored.is_redelivered, message.exchange, message.routing_key, len(queue))
        self._send_with_content(method, queue, stored)
        queue.pump()

    def ack(self, tag: int, *, multiple: bool) -> None:
        """Answered well: forget them."""
        for queue in {queue for queue, _ in self._answered(tag, multiple=multiple)}:
            queue.pump()

    def refuse(self, tag: int, *, multiple: bool, requeue: bool) -> None:
        """Answered badly: back to their queues, or on to their dead-letter exchange."""
        answered = self._answered(tag, multiple=multiple)
        if requeue:
            self._requeue(answered)
            return
        for queue, stored in answered:
            queue.reject(stored)
        for queue in {queue for queue, _ in answered}:
            queue.pump()

    def stop(self) -> None:
        """Unsubscribe from everything, before `give_back`."""
        for tag in list(self._consumers):
            self.cancel(tag)

    def give_back(self) -> None:
        """The channel is closed: what it did not answer is delivered again, to somebody."""
        unanswered = [(queue, stored) for queue, stored, _ in self._unanswered.values()]
        self._unanswered.clear()
        self._requeue(unanswered)

    def pump(self) -> None:
        """The client reads again: go on delivering."""
        for consumer in list(self._consumers.values()):
            consumer.queue.pump()

    def _remember(self, queue: Queue, stored: Stored, consumer: Consumer | None, *, no_ack: bool) -> int:
        self._last_tag += 1
        if not no_ack:
            self._unanswered[self._last_tag] = (queue, stored, consumer)
            if consumer is not None:
                consumer.unanswered += 1
        return self._last_tag

    def _answered(self, tag: int, *, multiple: bool) -> list[tuple[Queue, Stored]]:
        if multiple:
            tags = [known for known in self._unanswered if tag == 0 or known <= tag]
        else:
            tags = [tag] if tag in self._unanswered else []
        if not tags and not (multiple and tag == 0):
            raise precondition_failed(f"unknown delivery tag {tag}")
        answered = []
        for one in tags:
            queue, stored, consumer = self._unanswered.pop(one)
            if consumer is not None:
                consumer.unanswered -= 1
            answered.append((queue, stored))
        return answered

    def _requeue(self, returned: Iterable[tuple[Queue, Stored]]) -> None:
        by_queue: dict[Queue, list[Stored]] = {}
        for queue, stored in returned:
            by_queue.setdefault(queue, []).append(stored)
        for queue, several in by_queue.items():
            if self.wire.vhost.is_alive(queue):
                queue.requeue(several)

    def _send(self, method: Frame) -> None:
        self.wire.write(frames.method_frame(self._number, method))

    def _send_with_content(self, method: Frame, queue: Queue, stored: Stored) -> None:
        header = messages.header_for_delivery(stored, counts=queue.counts_deliveries)
        self._send(method)
        limit = self.wire.frame_max_bytes
        self.wire.write(frames.content_frames(self._number, header, stored.message.body, frame_max_bytes=limit))
