"""A virtual host: its exchanges and queues, what may be declared, and the way of a message through them."""

from asyncio import AbstractEventLoop
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from uuid import uuid4

from ops.stack.broker import messages
from ops.stack.broker.exchanges import KINDS, Exchange
from ops.stack.broker.messages import Message
from ops.stack.broker.queues import Declaration, Queue
from ops.stack.broker.refusals import (
    Refused,
    access_refused,
    command_invalid,
    not_found,
    not_implemented,
    precondition_failed,
    resource_locked,
)

_ARGUMENTS: dict[str, type[str] | type[int]] = {
    "x-queue-type": str,
    "x-overflow": str,
    "x-delivery-limit": int,
    "x-message-ttl": int,
    "x-max-length-bytes": int,
    "x-dead-letter-exchange": str,
    "x-dead-letter-routing-key": str,
    "x-dead-letter-strategy": str,
}
"""Queue arguments that are honoured. All others are refused, among them what RabbitMQ 4.3 refuses."""


class VirtualHost:
    """Everything of one name space, in memory."""

    def __init__(self, name: str, loop: AbstractEventLoop) -> None:
        self.name = name
        self._loop = loop
        self._exchanges = {f"amq.{kind}": Exchange(f"amq.{kind}", kind, is_durable=True) for kind in KINDS}
        self._queues: dict[str, Queue] = {}

    def declare_exchange(self, name: str, kind: str, *, is_durable: bool) -> None:
        """Make an exchange, or find that it is there and the same."""
        known = self._exchanges.get(name)
        if known is None:
            if not name or name.startswith("amq."):
                raise access_refused(f"exchange name '{name}' is reserved")
            if kind not in KINDS:
                raise command_invalid(f"unknown exchange type '{kind}'")
            self._exchanges[name] = Exchange(name, kind, is_durable)
        elif (known.kind, known.is_durable) != (kind, is_durable):
            raise precondition_failed(f"inequivalent arg 'type' or 'durable' for exchange '{name}'")

    def exchange(self, name: str) -> Exchange:
        """The exchange of that name, or 404."""
        if name not in self._exchanges:
            raise not_found(f"no exchange '{name}' in vhost '{self.name}'")
        return self._exchanges[name]

    def delete_exchange(self, name: str, *, only_unused: bool) -> None:
        """Remove an exchange; one that is not there is no error."""
        if not name or name.startswith("amq."):
            raise access_refused(f"exchange '{name}' is built in")
        if only_unused and name in self._exchanges and self._exchanges[name].bindings:
            raise precondition_failed(f"exchange '{name}' in use")
        self._exchanges.pop(name, None)

    def declare_queue(self, declaration: Declaration, owner: object) -> Queue:
        """Make a queue, or find that it is there and the same."""
        if declaration.name in self._queues:
            known = self.queue(declaration.name, owner)
            _require_same(known.declaration, declaration)
            return known
        if declaration.name.startswith("amq."):
            raise access_refused(f"queue name '{declaration.name}' is reserved")
        if not declaration.name:
            named = {**asdict(declaration), "name": f"amq.gen-{uuid4().hex}"}
            declaration = Declaration(**named)
        _require_acceptable(declaration)
        queue = Queue(
            declaration,
            owner=owner if declaration.is_exclusive else None,
            loop=self._loop,
            dead_letter=self._dead_letter,
        )
        self._queues[declaration.name] = queue
        return queue

    def queue(self, name: str, asker: object) -> Queue:
        """The queue of that name, or 404; 405 when it belongs to another connection alone."""
        queue = self._queues.get(name)
        if queue is None:
            raise not_found(f"no queue '{name}' in vhost '{self.name}'")
        if queue.owner is not None and queue.owner is not asker:
            raise resource_locked(f"cannot obtain exclusive access to locked queue '{name}' in vhost '{self.name}'")
        return queue

    def delete_queue(self, name: str, asker: object, *, only_unused: bool = False, only_empty: bool = False) -> int:
        """Remove a queue and tell its consumers; how many messages went with it. Not there is no error."""
        if name not in self._queues:
            return 0
        queue = self.queue(name, asker)
        if only_unused and queue.consumers:
            raise precondition_failed(f"queue '{name}' in vhost '{self.name}' in use")
        if only_empty and len(queue):
            raise precondition_failed(f"queue '{name}' in vhost '{self.name}' is not empty")
        del self._queues[name]
        for exchange in self._exchanges.values():
            exchange.forget(name)
        count = len(queue)
        queue.close()
        return count

    def forget_owner(self, owner: object) -> None:
        """A connection ended: its exclusive queues end with it."""
        for name in [queue.name for queue in self._queues.values() if queue.owner is owner]:
            self.delete_queue(name, owner)

    def is_alive(self, queue: Queue) -> bool:
        """Whether this very queue still exists."""
        return self._queues.get(queue.name) is queue

    def publish(self, message: Message) -> tuple[int, bool]:
        """Route a message: how many queues it met, and whether all of them took it. 404 without exchange."""
        if message.exchange:
            names = self.exchange(message.exchange).route(message.routing_key)
        else:
            names = [message.routing_key]
        queues = [self._queues[name] for name in names if name in self._queues]
        answers = [queue.offer(message) for queue in queues]
        return len(queues), all(answers)

    def _dead_letter(self, queue: Queue, message: Message, reason: str) -> None:
        exchange = queue.declaration.arguments.get("x-dead-letter-exchange")
        if exchange is None:
            return
        routing_key = queue.declaration.arguments.get("x-dead-letter-routing-key")
        dead = messages.dead_lettered(
            message, queue=queue.name, reason=reason, exchange=exchange, routing_key=routing_key
        )
        try:
            self.publish(dead)
        except Refused:
            return  # its exchange was deleted: as with RabbitMQ, nobody is there to be told


def _require_same(known: Declaration, asked: Declaration) -> None:
    before, now = asdict(known), asdict(asked)
    differing = [name for name in before if name != "arguments" and before[name] != now[name]]
    arguments: tuple[Mapping[str, Any], Mapping[str, Any]] = (known.arguments, asked.arguments)
    differing += [
        name for name in sorted({*arguments[0], *arguments[1]}) if arguments[0].get(name) != arguments[1].get(name)
    ]
    if differing:
        raise precondition_failed(f"inequivalent arg '{differing[0]}' for queue '{known.name}'")


def _require_acceptable(declaration: Declaration) -> None:
    if not declaration.is_durable and not declaration.is_exclusive:
        raise not_implemented("transient non-exclusive queues are not permitted (nor by RabbitMQ 4.3)")
    arguments = declaration.arguments
    for name, value in arguments.items():
        expected = _ARGUMENTS.get(name)
        if expected is None:
            raise precondition_failed(f"queue argument '{name}' is not known here")
        if not isinstance(value, expected) or isinstance(value, bool) or (isinstance(value, int) and value < 0):
            raise precondition_failed(f"invalid arg '{name}' for queue '{declaration.name}': {value!r}")
    if arguments.get("x-queue-type", "classic") not in ("classic", "quorum"):
        raise precondition_failed(f"queue type {arguments['x-queue-type']!r} is not known here")
    if arguments.get("x-queue-type") == "quorum" and not (declaration.is_durable and not declaration.is_exclusive):
        raise precondition_failed("a quorum queue is durable and not exclusive")
    if "x-max-length-bytes" in arguments and arguments.get("x-overflow") != "reject-publish":
        raise precondition_failed("a length limit is only known here with x-overflow=reject-publish")
