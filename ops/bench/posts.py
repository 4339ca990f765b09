"""Posts prepared requests over kept connections, at a steady pace or as fast as they are answered.

As little client as possible beside the measured: no task, no timer and no stream for a request.
"""

import asyncio
import gc
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

NO_ANSWER = 0
NOT_ASKED = -1
_CONNECTIONS = 32
_TIMEOUT_S = 15.0
_LOOK_EVERY_S = 0.25
_AGAIN_S = 0.1
_OPENED_WITHIN_S = 2.0


@dataclass(frozen=True, slots=True)
class Post:
    """What is sent: path, body, headers beyond the usual ones, and how."""

    path: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class Posted:
    """The answer to one. `status` is NO_ANSWER when there was none, NOT_ASKED when the time was over before its turn.

    `at_s` (monotonic): with a pace when it was its turn, for waiting for a free connection is part of what it took;
    without one when it was sent.
    """

    status: int
    at_s: float
    took_s: float
    body: bytes


_UNASKED = Posted(NOT_ASKED, 0.0, 0.0, b"")


async def post_all(
    url: str,
    posts: Sequence[Post],
    *,
    per_s: float | None = None,
    connections: int | None = None,
    within_s: float = 120.0,
) -> list[Posted]:
    """Send each at its time, whatever became of the others, or as fast as they are answered; answers in their order.

    When `within_s` is over nothing more is begun, and what is under way has its usual 15 s.
    """
    office = _Office(url, posts, per_s, within_s)
    if per_s is None:
        return await office.run(connections or _CONNECTIONS)
    with _undisturbed():
        return await office.run(connections or _CONNECTIONS)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Without the garbage collector: its pauses here, of up to 0.1 s, would count as the platform's."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class _Office:
    """One call of `post_all`: whose turn it is, which connections are free, and what was answered."""

    def __init__(self, url: str, posts: Sequence[Post], per_s: float | None, within_s: float) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or 80
        self._posts, self._per_s, self._within_s = posts, per_s, within_s
        self._answers: list[Posted] = [_UNASKED] * len(posts)
        self._left = len(posts)
        self._free: list[_Wire] = []
        self._waiting: deque[tuple[int, float | None]] = deque()
        self._opening: set[asyncio.Task[None]] = set()
        self._done = asyncio.get_running_loop().create_future()

    async def run(self, connections: int) -> list[Posted]:
        """Open the connections, release the requests, wait for the last answer."""
        if not self._posts:
            return []
        wires = [_Wire(self) for _ in range(min(connections, len(self._posts)))]
        for wire in wires:
            self.open(wire)
        await asyncio.wait(self._opening, timeout=min(_OPENED_WITHIN_S, self._within_s))
        tasks = [asyncio.create_task(self._release()), asyncio.create_task(_look_after(wires))]
        try:
            await self._done
        finally:
            for wire in wires:
                wire.close()
            for task in (*tasks, *self._opening):
                task.cancel()
            await asyncio.gather(*tasks, *self._opening, return_exceptions=True)
        return self._answers

    def free(self, wire: "_Wire") -> None:
        """A connection has nothing to do: it takes who waits."""
        if self._waiting:
            number, turn_at = self._waiting.popleft()
            wire.ask(number, self._posts[number], turn_at)
        else:
            self._free.append(wire)

    def lost(self, wire: "_Wire") -> None:
        """A connection is gone: nobody may take it, and a new one is opened in its place."""
        if wire in self._free:
            self._free.remove(wire)
        self.open(wire)

    def open(self, wire: "_Wire") -> None:
        """Connect it beside everything else."""
        task = asyncio.create_task(wire.open())
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    def answered(self, number: int, answer: Posted) -> None:
        """One more is over."""
        self._answers[number] = answer
        self._left -= 1
        if not self._left and not self._done.done():
            self._done.set_result(None)

    async def _release(self) -> None:
        """Hand out the requests, each when its time has come; then drop those whose time is over."""
        began, number, count = time.monotonic(), 0, len(self._posts)
        while number < count and time.monotonic() - began < self._within_s:
            wait_s = began + number / self._per_s - time.monotonic() if self._per_s else 0.0
            if wait_s > 0:
                await asyncio.sleep(wait_s)
                continue
            self._begin(number, time.monotonic() if self._per_s else None)
            number += 1
        self._left -= count - number
        await asyncio.sleep(max(0.0, began + self._within_s - time.monotonic()))
        self._left -= len(self._waiting)
        self._waiting.clear()
        if self._left <= 0 and not self._done.done():
            self._done.set_result(None)

    def _begin(self, number: int, turn_at: float | None) -> None:
        if self._free:
            self._free.pop().ask(number, self._posts[number], turn_at)
        else:
            self._waiting.append((number, turn_at))


class _Wire(asyncio.Protocol):
    """One connection; requests follow each other on it, and it is opened again when it was lost."""

    def __init__(self, office: _Office) -> None:
        self._office = office
        self._transport: asyncio.Transport | None = None
        self._number: int | None = None
        self._turn_at = self._asked_at = 0.0
        self._bytes = bytearray()
        self._needed = 0
        self._is_closed = False

    async def open(self) -> None:
        """Connect, and be free; again and again while nobody listens."""
        loop = asyncio.get_running_loop()
        while not self._is_closed:
            try:
                await loop.create_connection(lambda: self, self._office.host, self._office.port)
            except OSError:
                await asyncio.sleep(_AGAIN_S)
            else:
                self._office.free(self)
                return

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """There it is."""
        self._transport = cast(asyncio.Transport, transport)

    def ask(self, number: int, post: Post, turn_at: float | None) -> None:
        """Send request `number`."""
        self._number, self._asked_at = number, time.monotonic()
        self._turn_at = self._asked_at if turn_at is None else turn_at
        more = "".join(f"{name}: {value}\r\n" for name, value in post.headers)
        head = (
            f"{post.method} {post.path} HTTP/1.1\r\nHost: {self._office.host}:{self._office.port}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(post.body)}\r\n{more}\r\n"
        )
        if self._transport is not None:
            self._transport.write(head.encode("ascii") + post.body)

    def data_received(self, data: bytes) -> None:
        """Gather until the answer is whole."""
        if self._number is None and self._transport is not None:
            self._transport.abort()  # it speaks without being asked
            return
        self._bytes += data
        if not self._needed:
            end = self._bytes.find(b"\r\n\r\n")
            if end < 0:
                return
            self._needed = end + 4 + _length(bytes(self._bytes[:end]).lower())
        if len(self._bytes) >= self._needed:
            whole, self._needed = bytes(self._bytes), 0
            self._bytes.clear()
            head, _, body = whole.partition(b"\r\n\r\n")
            self._answer(int(head[9:12]), body)
            if b"\r\nconnection: close" in head.lower() and self._transport is not None:
                self._transport.close()  # and `connection_lost` opens another
            else:
                self._office.free(self)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002  # asyncio calls it so
        """Whoever waits gets no answer; a new connection takes its place."""
        self._transport, self._needed = None, 0
        self._bytes.clear()
        if not self._is_closed:
            self._answer(NO_ANSWER, b"")
            self._office.lost(self)

    def look(self, now: float) -> None:
        """Hang up when an answer takes too long."""
        if self._number is not None and now - self._asked_at > _TIMEOUT_S and self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """For good."""
        self._is_closed, self._number = True, None
        if self._transport is not None:
            self._transport.close()

    def _answer(self, status: int, body: bytes) -> None:
        number, self._number = self._number, None
        if number is not None:
            self._office.answered(number, Posted(status, self._turn_at, time.monotonic() - self._turn_at, body))


async def _look_after(wires: Sequence[_Wire]) -> None:
    while True:
        await asyncio.sleep(_LOOK_EVERY_S)
        now = time.monotonic()
        for wire in wires:
            wire.look(now)


def _length(head: bytes) -> int:
    _, found, rest = head.partition(b"content-length:")
    return int(rest.split(b"\r\n", 1)[0]) if found else 0
