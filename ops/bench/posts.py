"""Posts prepared requests at a steady pace over kept connections; as little client as possible beside the measured."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

_CONNECTIONS = 32
_TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True)
class Post:
    """What is sent: path, headers beyond the usual ones, body."""

    path: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Posted:
    """The answer to one, in the order of the requests. `status` is 0 when there was none; `at_s` is monotonic."""

    status: int
    at_s: float
    took_s: float
    body: bytes


async def post_all(url: str, posts: Sequence[Post], *, per_s: float) -> list[Posted]:
    """Send each at its time, whatever became of the others, on at most 32 connections."""
    free: asyncio.LifoQueue[_Wire] = asyncio.LifoQueue()
    for _ in range(_CONNECTIONS):
        free.put_nowait(_Wire(url))
    began = time.monotonic()

    async def one(number: int, post: Post) -> Posted:
        await asyncio.sleep(max(0.0, began + number / per_s - time.monotonic()))
        wire = await free.get()
        asked = time.monotonic()
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                status, body = await wire.ask(post)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError):
            wire.close()
            status, body = 0, b""
        finally:
            free.put_nowait(wire)
        return Posted(status, asked, time.monotonic() - asked, body)

    try:
        return list(await asyncio.gather(*(one(number, post) for number, post in enumerate(posts))))
    finally:
        while not free.empty():
            free.get_nowait().close()


class _Wire:
    """One connection, opened when it is needed; requests follow each other on it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, post: Post) -> tuple[int, bytes]:
        """Status and body. OSError, IncompleteReadError or ValueError when the answer is none."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        more = "".join(f"{name}: {value}\r\n" for name, value in post.headers)
        head = (
            f"POST {post.path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(post.body)}\r\n{more}\r\n"
        )
        writer.write(head.encode("ascii") + post.body)
        answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        fields = dict(line.lower().split(": ", 1) for line in answer.split("\r\n")[1:] if ": " in line)
        body = await reader.readexactly(int(fields.get("content-length", "0")))
        if fields.get("connection") == "close":
            self.close()
        return int(answer.split(" ", 2)[1]), body

    def close(self) -> None:
        """Hang up; the next request opens it anew."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
