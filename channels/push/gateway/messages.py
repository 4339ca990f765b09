"""Messages of the node's own queue, from the broker to the inbox, in their order; acknowledged when they were taken."""

from collections.abc import Callable

from plumbing.broker.consumer import Consumer, Incoming
from plumbing.broker.topology import Queue

PREFETCH = 64


class Messages:
    """The subscription of one node. A message that breaks something is not tried again: it was a hint.

    They are worked on as they come from the socket, which brings at most 256 KiB before others have their turn.
    """

    def __init__(self, consumer: Consumer, queue: Queue, take: Callable[[bytes], None]) -> None:
        self._consumer = consumer
        self._queue = queue
        self._take = take

    async def open(self) -> None:
        """Begin to take. Raises Unavailable."""
        await self._consumer.subscribe_own(self._queue, PREFETCH, self._work)

    async def close(self) -> None:
        """Stop taking."""
        await self._consumer.cancel(self._queue.name)

    def _work(self, message: Incoming) -> None:
        try:
            self._take(message.body)
        finally:
            message.ack_soon()
