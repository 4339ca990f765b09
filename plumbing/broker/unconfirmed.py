"""What was published over one AMQP channel and is not confirmed yet: a number per message, a future per call."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from plumbing.broker import frames
from plumbing.broker.frames import Kind

MAX_UNCONFIRMED = 200
"""Messages in flight on a channel, over all callers."""
WRITE_BYTES = 256 * 1024
"""Handed to the socket in one go; more waits until it has taken that."""


class Outgoing(NamedTuple):
    """A message to be published; `name` and a number become its message id."""

    routing_key: str
    kind: Kind
    name: str
    body: bytes


class Call:
    """Messages that are published together, and what the broker said of each: at first, that it has none of them."""

    __slots__ = ("_ended", "_left", "answers", "tags")

    def __init__(self, size: int) -> None:
        self.answers = [False] * size
        self.tags: list[int] = []
        self._left = size
        self._ended: asyncio.Future[None] | None = None

    def answer(self, place: int, *, is_confirmed: bool) -> None:
        """The broker has the message at `place`, or will not."""
        self.answers[place] = is_confirmed
        self._left -= 1
        if not self._left and self._ended is not None and not self._ended.done():
            self._ended.set_result(None)

    async def end(self) -> None:
        """Wait until there is an answer to each."""
        if self._left:
            self._ended = asyncio.get_running_loop().create_future()
            await self._ended


class Unconfirmed:
    """One life of a confirming channel. The broker numbers what it gets as we do; `over` when that life has ended."""

    def __init__(self, channel: int, writer: asyncio.StreamWriter, frame_max_bytes: int) -> None:
        self._channel = channel
        self._writer = writer
        self._frame_max_bytes = frame_max_bytes
        self._last = 0
        self._waiting: dict[int, tuple[Call, int]] = {}
        """By tag, in order: whose message it is, and which of it."""
        self._returned: set[int] = set()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._is_over = False

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_used(self) -> bool:
        """Whether anything was published here; else what the broker confirms is aiormq's."""
        return self._last > 0

    async def publish(self, exchange: str, messages: Sequence[Outgoing], call: Call) -> None:
        """Write these, as fast as others are confirmed; `call` gets the answers, in this order."""
        place = 0
        while place < len(messages) and not self._is_over:
            parts: list[bytes] = []
            size_bytes = 0
            try:
                while place < len(messages) and len(self._waiting) < MAX_UNCONFIRMED and size_bytes < WRITE_BYTES:
                    part = self._enter(exchange, messages[place], call, place)
                    parts.append(part)
                    size_bytes += len(part)
                    place += 1
            finally:  # what has its number goes out, or the broker would count otherwise than we do
                if parts:
                    self._writer.write(b"".join(parts))
            if parts:
                await self._writer.drain()
            elif place < len(messages):
                self._has_room.clear()
                await self._has_room.wait()
        for unsent in range(place, len(messages)):
            call.answer(unsent, is_confirmed=False)

    def confirmed(self, tag: int, *, is_multiple: bool, is_there: bool) -> None:
        """The broker has this message, or all up to it; or (`is_there` false) could not take them."""
        tags = [tag]
        if is_multiple:
            tags = []
            for one in self._waiting:
                if one > tag:
                    break
                tags.append(one)
        for one in tags:
            waiting = self._waiting.pop(one, None)
            is_returned = one in self._returned
            if is_returned:
                self._returned.discard(one)
            if waiting is not None:
                waiting[0].answer(waiting[1], is_confirmed=is_there and not is_returned)
        self._has_room.set()

    def returned(self, message_id: str) -> None:
        """No queue took this message; its confirmation, which comes all the same, means nothing."""
        number = message_id.rpartition(".")[2]
        if number.isdecimal() and int(number) in self._waiting:
            self._returned.add(int(number))

    def forget(self, call: Call) -> None:
        """Nobody waits for its answers any more."""
        for tag in call.tags:
            self._waiting.pop(tag, None)
            self._returned.discard(tag)
        self._has_room.set()

    def over(self) -> None:
        """The channel is gone: nothing more is confirmed."""
        self._is_over = True
        for call, place in self._waiting.values():
            call.answer(place, is_confirmed=False)
        self._waiting.clear()
        self._has_room.set()

    def _enter(self, exchange: str, message: Outgoing, call: Call, place: int) -> bytes:
        method = frames.publish(self._channel, exchange, message.routing_key)
        tag = self._last + 1
        content = frames.content(
            self._channel, message.kind, f"{message.name}.{tag}", message.body, self._frame_max_bytes
        )
        self._last = tag
        self._waiting[tag] = (call, place)
        call.tags.append(tag)
        return method + content
