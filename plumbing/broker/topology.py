"""The queues and exchanges of the platform, as data; and the one function that declares them.

Valid from RabbitMQ 3.10 to 4.x without plugins. Every shared queue is a durable quorum queue: classic queues
dead-letter without confirms and lost messages when the broker was killed. Arguments of an existing queue can
never change (redeclaring is refused with 406): what must change later gets another name.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from aio_pika.abc import AbstractChannel, AbstractQueue
from aio_pika.exceptions import ChannelNotFoundEntity, ChannelPreconditionFailed

from domain.lanes import DECLARED_CHANNELS, DECLARED_LANES, Channel, Lane
from plumbing.broker.connection import CALL_TIMEOUT_S, broker_trouble

WORK = "carillon.work"
QUARANTINE = "carillon.quarantine"
DEAD = "carillon.dead"
RECEIPTS = "carillon.receipts"
GATEWAYS = "carillon.gateways"

RECEIPTS_QUEUE = "receipts"
RECEIPTS_KEY = "receipts"
"""Routing key of every receipt; it also leads a dead one to `dead.receipts`."""

RETRY_LEVELS_S = {"2s": 2, "10s": 10, "1m": 60, "5m": 300, "30m": 1800, "2h": 7200}
"""How long a message rests at each level, in seconds, shortest first. Longer waits live in PostgreSQL."""

WORK_DELIVERY_LIMIT = 10
QUARANTINE_DELIVERY_LIMIT = 10
DEAD_DELIVERY_LIMIT = 1_000_000
"""A number, never -1: RabbitMQ 3.10 reads -1 as "drop at the first requeue"."""
GATEWAY_QUEUE_BYTES = 64 * 1024 * 1024


class ExchangeKind(StrEnum):
    """How an exchange chooses among its bindings."""

    TOPIC = "topic"
    FANOUT = "fanout"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One exchange; all are durable."""

    name: str
    kind: ExchangeKind


@dataclass(frozen=True, slots=True)
class Queue:
    """One queue with its arguments and its bindings, each `(exchange, routing key)`; durable unless exclusive."""

    name: str
    arguments: dict[str, str | int]
    bindings: tuple[tuple[str, str], ...] = field(default=())
    is_exclusive: bool = False


def work_queue(lane: Lane) -> str:
    """The queue of one lane, such as `work.email.high`."""
    return f"work.{lane}"


def retry_queue(channel: Channel, level: str) -> str:
    """Where messages of a channel rest, such as `retry.email.2s`."""
    return f"retry.{channel}.{level}"


def retry_exchange(channel: Channel, level: str) -> str:
    """The fanout in front of one retry queue: through it the routing key survives."""
    return f"carillon.retry.{channel}.{level}"


def quarantine_queue(channel: Channel) -> str:
    """Where envelopes go that a work queue delivered too often; consumed with prefetch 1."""
    return f"quarantine.{channel}"


def dead_queue(of: Channel | str) -> str:
    """The dead end of a channel, or of `receipts`; archived into PostgreSQL."""
    return f"dead.{of}"


def gateway_queue(node: str, boot_id: str) -> Queue:
    """The queue of one gateway node's life. It goes with its connection: a hint, never a store."""
    arguments: dict[str, str | int] = {"x-max-length-bytes": GATEWAY_QUEUE_BYTES, "x-overflow": "reject-publish"}
    return Queue(f"gateway.{node}.{boot_id}", arguments, ((GATEWAYS, ""),), is_exclusive=True)


def _quorum(**arguments: str | int) -> dict[str, str | int]:
    # reject-publish even without a length limit: at-least-once dead-lettering is silently at-most-once without it
    named: dict[str, str | int] = {f"x-{name.replace('_', '-')}": value for name, value in arguments.items()}
    return {"x-queue-type": "quorum", "x-overflow": "reject-publish", **named}


def _dead_letters_to(exchange: str) -> dict[str, str | int]:
    return {"dead_letter_exchange": exchange, "dead_letter_strategy": "at-least-once"}


def _work(lane: Lane) -> Queue:
    arguments = _quorum(delivery_limit=WORK_DELIVERY_LIMIT, **_dead_letters_to(QUARANTINE))
    return Queue(work_queue(lane), arguments, ((WORK, str(lane)),))


def _retry(channel: Channel, level: str) -> Queue:
    arguments = _quorum(message_ttl=RETRY_LEVELS_S[level] * 1000, **_dead_letters_to(WORK))
    return Queue(retry_queue(channel, level), arguments, ((retry_exchange(channel, level), ""),))


def _quarantine(channel: Channel) -> Queue:
    arguments = _quorum(delivery_limit=QUARANTINE_DELIVERY_LIMIT, **_dead_letters_to(DEAD))
    return Queue(quarantine_queue(channel), arguments, ((QUARANTINE, f"{channel}.#"),))


def _dead(of: Channel | str) -> Queue:
    return Queue(dead_queue(of), _quorum(delivery_limit=DEAD_DELIVERY_LIMIT), ((DEAD, f"{of}.#"),))


def _receipts() -> Queue:
    arguments = _quorum(delivery_limit=WORK_DELIVERY_LIMIT, **_dead_letters_to(DEAD))
    return Queue(RECEIPTS_QUEUE, arguments, ((RECEIPTS, "#"),))


EXCHANGES: tuple[Exchange, ...] = (
    Exchange(WORK, ExchangeKind.TOPIC),
    Exchange(QUARANTINE, ExchangeKind.TOPIC),
    Exchange(DEAD, ExchangeKind.TOPIC),
    Exchange(RECEIPTS, ExchangeKind.TOPIC),
    Exchange(GATEWAYS, ExchangeKind.FANOUT),
    *(
        Exchange(retry_exchange(channel, level), ExchangeKind.FANOUT)
        for channel in DECLARED_CHANNELS
        for level in RETRY_LEVELS_S
    ),
)

QUEUES: tuple[Queue, ...] = (
    *(_work(lane) for lane in DECLARED_LANES),
    *(_retry(channel, level) for channel in DECLARED_CHANNELS for level in RETRY_LEVELS_S),
    *(_quarantine(channel) for channel in DECLARED_CHANNELS),
    *(_dead(channel) for channel in DECLARED_CHANNELS),
    _dead(RECEIPTS_QUEUE),
    _receipts(),
)

QUEUES_BY_NAME = {queue.name: queue for queue in QUEUES}


async def declare(amqp_channel: AbstractChannel) -> None:
    """Declare everything above; as often as you like. Raises Unavailable.

    A robust channel that is kept declares all of it again after each reconnect, so that a broker without a
    memory is whole again before the first consumer is back.
    """
    with broker_trouble("declaring the topology"):
        for exchange in EXCHANGES:
            await amqp_channel.declare_exchange(
                exchange.name, exchange.kind.value, durable=True, timeout=CALL_TIMEOUT_S
            )
        for queue in QUEUES:
            await declare_queue(amqp_channel, queue)


async def declare_queue(amqp_channel: AbstractChannel, queue: Queue) -> AbstractQueue:
    """Declare one queue and bind it; its exchanges must exist. Errors are aio-pika's own."""
    declared = await amqp_channel.declare_queue(
        queue.name,
        durable=not queue.is_exclusive,
        exclusive=queue.is_exclusive,
        arguments=dict(queue.arguments),
        timeout=CALL_TIMEOUT_S,
    )
    for exchange, routing_key in queue.bindings:
        await declared.bind(exchange, routing_key, timeout=CALL_TIMEOUT_S)
    return declared


class Standing(StrEnum):
    """How a queue of the topology stands at a broker."""

    DECLARED = "declared"
    MISSING = "missing"
    DIFFERENT = "different"


async def inspect(amqp_channel: AbstractChannel, queue: Queue) -> tuple[Standing, int]:
    """How a queue stands, and how many consume it; nothing is made that is not there. Closes the channel."""
    try:
        there = await amqp_channel.declare_queue(queue.name, passive=True, timeout=CALL_TIMEOUT_S)
        await amqp_channel.declare_queue(
            queue.name, durable=not queue.is_exclusive, arguments=dict(queue.arguments), timeout=CALL_TIMEOUT_S
        )
    except ChannelNotFoundEntity:
        return Standing.MISSING, 0
    except ChannelPreconditionFailed:
        return Standing.DIFFERENT, 0
    await amqp_channel.close()
    return Standing.DECLARED, there.declaration_result.consumer_count or 0
