"""One queue: who waits in it, who takes from it, and what becomes of a message that nobody wants."""

from asyncio import AbstractEventLoop, TimerHandle
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ops.stack.broker.messages import Message, Stored


class Taker(Protocol):
    """A consumer, as its queue sees it."""

    is_exclusive: bool

    @property
    def is_free(self) -> bool:
        """Whether it may be given one more."""

    def take(self, stored: Stored) -> None:
        """Deliver this one."""

    def end(self) -> None:
        """The queue is gone: tell the client."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a client said a queue should be; saying something else later is refused."""

    name: str
    is_durable: bool
    is_exclusive: bool
    is_auto_delete: bool
    arguments: Mapping[str, Any] = field(default_factory=dict)


DeadLetter = Callable[["Queue", Message, str], None]
"""Called with the queue, the message and the reason: rejected, expired or delivery_limit."""


class Queue:
    """Messages in order, consumers in turn. A requeued message takes its old place again."""

    def __init__(
        self, declaration: Declaration, *, owner: object | None, loop: AbstractEventLoop, dead_letter: DeadLetter
    ) -> None:
        self.declaration = declaration
        self.name = declaration.name
        self.owner = owner
        self.consumers: deque[Taker] = deque()
        self._ready: deque[Stored] = deque()
        self._ready_bytes = 0
        self._last_number = 0
        self._loop = loop
        self._timer: TimerHandle | None = None
        self._dead_letter = dead_letter
        arguments = declaration.arguments
        self.counts_deliveries = arguments.get("x-queue-type") == "quorum"
        self._delivery_limit: int | None = arguments.get("x-delivery-limit")
        self._ttl_ms: int | None = arguments.get("x-message-ttl")
        self._max_bytes: int | None = arguments.get("x-max-length-bytes")

    def __len__(self) -> int:
        return len(self._ready)

    def offer(self, message: Message) -> bool:
        """Take a message in; False when it would not fit (overflow is always reject-publish here)."""
        if self._max_bytes is not None and self._ready_bytes + len(message.body) > self._max_bytes:
            return False
        self._last_number += 1
        expires_at = None if self._ttl_ms is None else self._loop.time() + self._ttl_ms / 1000
        self._ready.append(Stored(message, self._last_number, expires_at))
        self._ready_bytes += len(message.body)
        self.pump()
        return True

    def pump(self) -> None:
        """Hand out what can be handed out, and look after the time to live of the rest."""
        while self._ready and (taker := self._next_free()) is not None:
            taker.take(self.pop())
        self._watch_head()

    def pop(self) -> Stored:
        """The first message, out of the queue. IndexError when there is none."""
        stored = self._ready.popleft()
        self._ready_bytes -= len(stored.message.body)
        return stored

    def requeue(self, returned: Iterable[Stored]) -> None:
        """Put unanswered messages back where they stood; those delivered too often die."""
        for stored in sorted(returned, key=lambda one: one.number, reverse=True):
            stored.is_redelivered = True
            stored.delivery_count += 1
            if self._delivery_limit is not None and stored.delivery_count > self._delivery_limit:
                self._dead_letter(self, stored.message, "delivery_limit")
                continue
            self._put_back(stored)
        self.pump()

    def reject(self, stored: Stored) -> None:
        """Give up a message that a consumer refused."""
        self._dead_letter(self, stored.message, "rejected")

    def purge(self) -> int:
        """Forget everything that waits; how much that was."""
        count = len(self._ready)
        self._ready.clear()
        self._ready_bytes = 0
        self._watch_head()
        return count

    def close(self) -> None:
        """The queue is deleted: its messages go, its consumers are told."""
        self.purge()
        while self.consumers:
            self.consumers.popleft().end()

    def _put_back(self, stored: Stored) -> None:
        later: list[Stored] = []
        while self._ready and self._ready[0].number < stored.number:
            later.append(self._ready.popleft())
        self._ready.appendleft(stored)
        self._ready.extendleft(reversed(later))
        self._ready_bytes += len(stored.message.body)

    def _next_free(self) -> Taker | None:
        for _ in range(len(self.consumers)):
            self.consumers.rotate(-1)
            if self.consumers[-1].is_free:
                return self.consumers[-1]
        return None

    def _watch_head(self) -> None:
        head = self._ready[0].expires_at if self._ready else None
        if head is None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        elif self._timer is None or self._timer.when() > head:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(head, self._expire)

    def _expire(self) -> None:
        self._timer = None
        now = self._loop.time()
        while self._ready and (expires_at := self._ready[0].expires_at) is not None and expires_at <= now:
            self._dead_letter(self, self.pop().message, "expired")
        self._watch_head()
