"""A tap on the way to a server, that counts what passes: never the time, and never how bytes were cut into pieces.

PostgreSQL: the questions that a client waits for, be they a statement, a COPY or BEGIN; not preparations. Redis: the
times that it is asked after it has answered; a pipeline is one. RabbitMQ: the messages that it is given.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

_PIECE = 1 << 20


@dataclass
class Tap:
    """A server as seen through the tap; `count` only grows."""

    url: str = ""
    count: int = 0
    ends: set[asyncio.StreamWriter] = field(default_factory=set)


@asynccontextmanager
async def tapped(url: str) -> AsyncIterator[Tap]:
    """A tap before the server of `url`; its own `url` leads through it."""
    parts = urlsplit(url)
    line = _LINES[parts.scheme]
    tap = Tap()

    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(parts.hostname, parts.port, limit=_PIECE)
        tap.ends |= {writer, there_writer}
        heard = line()

        def hear(data: bytes) -> None:
            tap.count += heard.ask(data)

        await asyncio.gather(_pass_on(reader, there_writer, hear), _pass_on(there_reader, writer, heard.answer))

    server = await asyncio.start_server(join, "127.0.0.1", limit=_PIECE)
    account, at, _ = parts.netloc.rpartition("@")
    tap.url = urlunsplit(parts._replace(netloc=f"{account}{at}127.0.0.1:{server.sockets[0].getsockname()[1]}"))
    yield tap
    server.close()
    for end in tap.ends:
        end.close()
    await server.wait_closed()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, hear: Callable[[bytes], None]) -> None:
    with suppress(OSError):
        while data := await reader.read(_PIECE):
            hear(data)
            writer.write(data)
    writer.close()


class _Postgres:
    """Frontend messages: https://www.postgresql.org/docs/current/protocol-message-formats.html."""

    _WAITED_FOR = frozenset(b"QS")
    """Query and Sync: after these a client waits. (After Flush too, once a connection, to prepare.)"""
    _STARTUP = 196608

    def __init__(self) -> None:
        self._rest = b""
        self._has_begun = False

    def ask(self, data: bytes) -> int:
        """How many questions were complete with these bytes; starting up is none."""
        self._rest += data
        count = at = 0
        while len(self._rest) - at >= 5:
            size = int.from_bytes(self._rest[at + self._has_begun : at + self._has_begun + 4]) + self._has_begun
            if len(self._rest) - at < size:
                break
            if self._has_begun:
                count += self._rest[at] in self._WAITED_FOR
            else:
                self._has_begun = int.from_bytes(self._rest[at + 4 : at + 8]) == self._STARTUP
            at += size
        self._rest = self._rest[at:]
        return count

    def answer(self, data: bytes) -> None:
        """What is answered is of no interest."""


class _Redis:
    """Client and tap share an event loop: what is written at once is seen before it is answered."""

    def __init__(self) -> None:
        self._is_asking = False

    def ask(self, data: bytes) -> int:
        """Whether this begins something new."""
        was_asking, self._is_asking = self._is_asking, True
        return int(not was_asking)

    def answer(self, data: bytes) -> None:
        """The next words of the client are a new question."""
        self._is_asking = False


class _Amqp:
    """Frames of AMQP 0-9-1: a type, a channel, a size, as many bytes, and an end."""

    _GREETING_BYTES = 8
    _HEAD_BYTES = 7
    _METHOD = 1
    _PUBLISH = (60).to_bytes(2) + (40).to_bytes(2)

    def __init__(self) -> None:
        self._rest = b""
        self._skip = self._GREETING_BYTES

    def ask(self, data: bytes) -> int:
        """How many messages were published with these bytes."""
        self._rest += data
        count, at = 0, min(self._skip, len(self._rest))
        self._skip -= at
        while len(self._rest) - at > self._HEAD_BYTES:
            size = self._HEAD_BYTES + int.from_bytes(self._rest[at + 3 : at + 7]) + 1
            if len(self._rest) - at < size:
                break
            count += self._rest[at] == self._METHOD and self._rest[at + 7 : at + 11] == self._PUBLISH
            at += size
        self._rest = self._rest[at:]
        return count

    def answer(self, data: bytes) -> None:
        """What the broker says is of no interest."""


_LINES: dict[str, type[_Postgres | _Redis | _Amqp]] = {"postgresql": _Postgres, "redis": _Redis, "amqp": _Amqp}
