"""One AMQP channel: its methods one by one, the messages published on it, and their confirms."""

from collections.abc import Callable
from typing import Any

from pamqp.base import Frame
from pamqp.commands import Basic, Channel, Confirm, Exchange
from pamqp.commands import Queue as QueueMethod

from ops.stack.broker import frames, messages
from ops.stack.broker.deliveries import Deliveries, Wire
from ops.stack.broker.messages import Message
from ops.stack.broker.queues import Declaration, Queue
from ops.stack.broker.refusals import not_found, not_implemented, precondition_failed, unexpected_frame


class Session:
    """An open AMQP channel. Its connection feeds it frames and closes it when it raises Refused."""

    def __init__(self, number: int, wire: Wire) -> None:
        self.deliveries = Deliveries(number, wire)
        self._number = number
        self._wire = wire
        self._last_queue: str | None = None
        self._publish: Basic.Publish | None = None
        self._header: bytes | None = None
        self._missing_bytes = 0
        self._body: list[bytes] = []
        self._confirms = False
        self._published = 0
        self._confirmed_from = self._confirmed_to = 0
        self._methods: dict[type[Frame], Callable[[Any], Frame | None]] = {
            Basic.Ack: self._on_ack,
            Basic.Publish: self._on_publish,
            Basic.Nack: self._on_nack,
            Basic.Reject: self._on_reject,
            Basic.Qos: self._on_qos,
            Basic.Consume: self._on_consume,
            Basic.Cancel: self._on_cancel,
            Basic.CancelOk: lambda _: None,
            Basic.Get: self._on_get,
            Channel.Flow: lambda method: Channel.FlowOk(method.active),
            Confirm.Select: self._on_confirm_select,
            Exchange.Declare: self._on_exchange_declare,
            Exchange.Delete: self._on_exchange_delete,
            QueueMethod.Declare: self._on_queue_declare,
            QueueMethod.Bind: self._on_bind,
            QueueMethod.Unbind: self._on_unbind,
            QueueMethod.Purge: self._on_purge,
            QueueMethod.Delete: self._on_queue_delete,
        }

    def on_method(self, method: Frame) -> None:
        """Do what a method says, and answer it."""
        if self._publish is not None:
            raise unexpected_frame("a method in the middle of a message")
        act = self._methods.get(type(method))
        if act is None:
            raise not_implemented(f"{method.name} is not known here")
        answer = act(method)
        if answer is not None and not getattr(method, "nowait", False):
            self._wire.write(frames.method_frame(self._number, answer))

    def on_header(self, header: bytes) -> None:
        """The content header of the message that is being published."""
        if self._publish is None or self._header is not None:
            raise unexpected_frame("a content header that nothing announced")
        try:
            self._missing_bytes = messages.body_size(header)
        except ValueError as error:
            raise unexpected_frame(str(error)) from error
        if self._missing_bytes > messages.MAX_BODY_BYTES:
            raise precondition_failed(f"message size {self._missing_bytes} is larger than allowed")
        if messages.has_expiration(header):
            raise not_implemented("a message with an expiration of its own blocks those behind it")
        self._header = header
        if not self._missing_bytes:
            self._take_published()

    def on_body(self, body: bytes) -> None:
        """A part of the body of the message that is being published."""
        if self._header is None or len(body) > self._missing_bytes:
            raise unexpected_frame("a body that nothing announced")
        self._body.append(body)
        self._missing_bytes -= len(body)
        if not self._missing_bytes:
            self._take_published()

    def flush_confirms(self) -> None:
        """Confirm what was taken since the last time, in one frame."""
        if self._confirmed_to > self._confirmed_from:
            several = self._confirmed_to - self._confirmed_from > 1
            self._confirmed_from = self._confirmed_to
            answer = Basic.Ack(delivery_tag=self._confirmed_to, multiple=several)
            self._wire.write(frames.method_frame(self._number, answer))

    def _take_published(self) -> None:
        publish, header = self._publish, self._header
        body = b"".join(self._body)
        self._publish = self._header = None
        self._body.clear()
        if publish is None or header is None:
            raise unexpected_frame("a message that nothing announced")
        message = Message(publish.exchange or "", publish.routing_key or "", header, body)
        met, was_taken = self._wire.vhost.publish(message)
        if publish.mandatory and not met:
            self._return(message)
        if not self._confirms:
            return
        self._published += 1
        if was_taken:
            self._confirmed_to = self._published
            return
        self.flush_confirms()
        self._confirmed_from = self._confirmed_to = self._published
        self._wire.write(frames.method_frame(self._number, Basic.Nack(delivery_tag=self._published, requeue=False)))

    def _return(self, message: Message) -> None:
        method = Basic.Return(312, "NO_ROUTE", message.exchange, message.routing_key)
        self._wire.write(frames.method_frame(self._number, method))
        limit = self._wire.frame_max_bytes
        self._wire.write(frames.content_frames(self._number, message.header, message.body, frame_max_bytes=limit))

    def _on_publish(self, method: Basic.Publish) -> None:
        if method.immediate:
            raise not_implemented("immediate=true")
        if method.exchange:
            self._wire.vhost.exchange(method.exchange)
        self._publish = method

    def _on_ack(self, method: Basic.Ack) -> None:
        self.deliveries.ack(method.delivery_tag or 0, multiple=bool(method.multiple))

    def _on_nack(self, method: Basic.Nack) -> None:
        self.deliveries.refuse(method.delivery_tag or 0, multiple=bool(method.multiple), requeue=bool(method.requeue))

    def _on_reject(self, method: Basic.Reject) -> None:
        self.deliveries.refuse(method.delivery_tag or 0, multiple=False, requeue=bool(method.requeue))

    def _on_qos(self, method: Basic.Qos) -> Frame:
        if method.global_:
            raise not_implemented("global qos is not permitted (nor by RabbitMQ 4.3)")
        self.deliveries.prefetch = method.prefetch_count or 0
        return Basic.QosOk()

    def _on_consume(self, method: Basic.Consume) -> None:
        self.deliveries.consume(method, self._queue(method.queue))

    def _on_cancel(self, method: Basic.Cancel) -> Frame:
        tag = method.consumer_tag or ""
        self.deliveries.cancel(tag)
        return Basic.CancelOk(consumer_tag=tag)

    def _on_get(self, method: Basic.Get) -> None:
        self.deliveries.get(self._queue(method.queue), no_ack=bool(method.no_ack))

    def _on_confirm_select(self, _: Confirm.Select) -> Frame:
        self._confirms = True
        return Confirm.SelectOk()

    def _on_exchange_declare(self, method: Exchange.Declare) -> Frame:
        name = method.exchange or ""
        if method.passive:
            self._wire.vhost.exchange(name)
        elif method.auto_delete or method.internal or method.arguments:
            raise not_implemented("auto-delete and internal exchanges and their arguments")
        else:
            kind = method.exchange_type or "direct"
            self._wire.vhost.declare_exchange(name, kind, is_durable=bool(method.durable))
        return Exchange.DeclareOk()

    def _on_exchange_delete(self, method: Exchange.Delete) -> Frame:
        self._wire.vhost.delete_exchange(method.exchange or "", only_unused=bool(method.if_unused))
        return Exchange.DeleteOk()

    def _on_queue_declare(self, method: QueueMethod.Declare) -> Frame:
        if method.passive:
            queue = self._queue(method.queue)
        else:
            declaration = Declaration(
                method.queue or "",
                bool(method.durable),
                bool(method.exclusive),
                bool(method.auto_delete),
                dict(method.arguments or {}),
            )
            queue = self._wire.vhost.declare_queue(declaration, self._wire)
        self._last_queue = queue.name
        return QueueMethod.DeclareOk(queue=queue.name, message_count=len(queue), consumer_count=len(queue.consumers))

    def _on_bind(self, method: QueueMethod.Bind) -> Frame:
        queue = self._queue(method.queue)
        self._wire.vhost.exchange(method.exchange or "").bind(queue.name, method.routing_key or "")
        return QueueMethod.BindOk()

    def _on_unbind(self, method: QueueMethod.Unbind) -> Frame:
        queue = self._queue(method.queue)
        self._wire.vhost.exchange(method.exchange or "").unbind(queue.name, method.routing_key or "")
        return QueueMethod.UnbindOk()

    def _on_purge(self, method: QueueMethod.Purge) -> Frame:
        return QueueMethod.PurgeOk(message_count=self._queue(method.queue).purge())

    def _on_queue_delete(self, method: QueueMethod.Delete) -> Frame:
        count = self._wire.vhost.delete_queue(
            method.queue or self._last_queue or "",
            self._wire,
            only_unused=bool(method.if_unused),
            only_empty=bool(method.if_empty),
        )
        return QueueMethod.DeleteOk(message_count=count)

    def _queue(self, name: str | None) -> Queue:
        """The queue of that name; an empty one means the last that this channel declared."""
        wanted = name or self._last_queue
        if wanted is None:
            raise not_found("no previously declared queue")
        return self._wire.vhost.queue(wanted, self._wire)
