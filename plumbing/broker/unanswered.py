"""What came over one AMQP channel and is not acknowledged yet: acknowledgements gather, and go many in one frame."""

import asyncio

from plumbing.broker import frames

GATHER_S = 0.05
"""So long the first acknowledgement waits for others, unless half of what the broker lends is waiting already."""


class Unanswered:
    """One life of a consuming channel; after `over` answers do nothing: the messages come again."""

    def __init__(self, channel: int, writer: asyncio.StreamWriter) -> None:
        self._channel = channel
        self._writer = writer
        self._loop = asyncio.get_running_loop()
        self._open: dict[int, None] = {}
        """Tags without an answer, in order."""
        self._done: list[int] = []
        """Tags to be acknowledged."""
        self._timer: asyncio.TimerHandle | None = None
        self._is_over = False
        self.prefetch = 1

    def add(self, tag: int) -> None:
        """A message came."""
        self._open[tag] = None

    def ack(self, tag: int) -> None:
        """Done with it; the broker hears of it soon."""
        if not self._take(tag):
            return
        self._done.append(tag)
        if 2 * len(self._done) >= self.prefetch:
            self.flush()
        elif self._timer is None:
            self._timer = self._loop.call_later(GATHER_S, self.flush)

    def reject(self, tag: int) -> None:
        """Not again to this queue."""
        if self._take(tag):
            self._writer.write(frames.reject(self._channel, tag))

    def requeue(self, tag: int) -> None:
        """Back into its queue."""
        if self._take(tag):
            self._writer.write(frames.nack(self._channel, tag))

    def flush(self) -> None:
        """Tell the broker of all that are done: those before the first open one in one frame, the others one by one."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._is_over or not self._done:
            return
        done, self._done = self._done, []
        first_open = next(iter(self._open), None)
        last = max((tag for tag in done if first_open is None or tag < first_open), default=0)
        parts = [frames.ack(self._channel, tag, multiple=False) for tag in done if tag > last]
        if last:  # it is unanswered at the broker itself: RabbitMQ refuses "all up to" a tag that it does not know
            parts.append(frames.ack(self._channel, last, multiple=True))
        self._writer.write(b"".join(parts))

    def over(self) -> None:
        """The channel is gone."""
        self._is_over = True
        self._open.clear()
        self._done.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _take(self, tag: int) -> bool:
        if tag not in self._open:
            return False
        del self._open[tag]
        return True
