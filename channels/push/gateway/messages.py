"""Messages of the node's own queue, from the broker to the inbox, in their order; acknowledged when they were taken."""

import asyncio
from collections.abc import Callable

from channels.push.gateway.batches import Batches
from plumbing.broker.consumer import Consumer, Incoming
from plumbing.broker.topology import Queue

PREFETCH = 64


class Messages:
    """The subscription of one node. A message that breaks something is not tried again: it was a hint."""

    def __init__(self, consumer: Consumer, queue: Queue, take: Callable[[bytes], None]) -> None:
        self._consumer = consumer
        self._queue = queue
        self._take = take
        self._waiting: Batches[Incoming] = Batches(self._work, most=1, name="messages")

    async def open(self) -> None:
        """Begin to take. Raises Unavailable."""
        self._waiting.open()
        await self._consumer.subscribe_own(self._queue, PREFETCH, self._waiting.add)

    async def close(self) -> None:
        """Stop taking."""
        await self._consumer.cancel(self._queue.name)
        await self._waiting.close()

    async def _work(self, messages: list[Incoming]) -> None:
        for message in messages:
            try:
                self._take(message.body)
            finally:
                await message.ack()
            await asyncio.sleep(0)  # a message may mean hundreds of frames: let the sockets speak
