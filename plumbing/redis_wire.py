"""One connection to Redis: commands go out as they come, answers arrive in that order, whoever waits for them.

redis-py reads the URL and hiredis the protocol; the layers between them cost 110 us a command, this 15.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self, TypeAlias, cast

import hiredis
from redis.asyncio.connection import SSLConnection, parse_url

Word: TypeAlias = str | bytes | int | float

_NOT_YET = object()
_SECOND_LOOK_S = 0.002


@dataclass(frozen=True, slots=True)
class Address:
    """Where a Redis is, and as whom one speaks to it."""

    host: str
    port: int
    path: str | None
    username: str | None
    password: str | None
    db: int
    tls: ssl.SSLContext | None

    @classmethod
    def parse(cls, url: str) -> Self:
        """The address in redis://user:password@host:port/db, rediss:// or unix://path. ValueError."""
        parts: dict[str, Any] = dict(parse_url(url))
        return cls(
            host=parts.get("host") or "localhost",
            port=parts.get("port") or 6379,
            path=parts.get("path"),
            username=parts.get("username"),
            password=parts.get("password"),
            db=int(parts.get("db") or 0),
            tls=_tls(parts) if parts.get("connection_class") is SSLConnection else None,
        )

    def greeting(self) -> list[tuple[Word, ...]]:
        """What is said first; a server that is full answers at least the PING with its refusal."""
        login: tuple[Word, ...] = tuple(each for each in (self.username, self.password) if each is not None)
        commands: list[tuple[Word, ...]] = [("AUTH", *login)] if self.password is not None else []
        return [*commands, ("SELECT", self.db)] if self.db else [*commands, ("PING",)]


def _tls(parts: dict[str, Any]) -> ssl.SSLContext:
    """TLS as redis-py's own words in the URL wish it: ssl_ca_certs, ssl_certfile, ssl_keyfile, ssl_cert_reqs=none."""
    context = ssl.create_default_context(cafile=parts.get("ssl_ca_certs"))
    if parts.get("ssl_certfile"):
        context.load_cert_chain(parts["ssl_certfile"], parts.get("ssl_keyfile"))
    if parts.get("ssl_cert_reqs") == "none":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class Wire(asyncio.Protocol):
    """A connection that is there until it is lost, or until an answer is overdue; `ask` never waits for its turn."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._reader = hiredis.Reader(notEnoughData=_NOT_YET)
        self._waiting: deque[tuple[float, asyncio.Future[Any]]] = deque()
        self._watch: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.WriteTransport | None = None

    @classmethod
    async def open(cls, address: Address, *, timeout_s: float) -> Self:
        """A connection that was greeted. OSError, also when Redis does not let us in or is silent."""
        loop = asyncio.get_running_loop()
        make = partial(cls, timeout_s)
        async with asyncio.timeout(timeout_s):
            if address.path is not None:
                _, wire = await loop.create_unix_connection(make, address.path)
            else:
                _, wire = await loop.create_connection(make, address.host, address.port, ssl=address.tls)
        try:
            for answer in await asyncio.gather(*(wire.ask(words) for words in address.greeting())):
                if isinstance(answer, hiredis.ReplyError):
                    raise ConnectionRefusedError(str(answer))
        except BaseException:
            wire.close()
            raise
        return wire

    @property
    def is_open(self) -> bool:
        """Whether commands can still be written."""
        return self._transport is not None

    def ask(self, words: Sequence[Word]) -> "asyncio.Future[Any]":
        """Write one command; its answer, an error of Redis as a value. OSError when the connection goes before."""
        answer: asyncio.Future[Any] = self._loop.create_future()
        if self._transport is None:
            answer.set_exception(ConnectionResetError("the connection to Redis is lost"))
            return answer
        self._waiting.append((self._loop.time() + self._timeout_s, answer))
        self._transport.write(hiredis.pack_command(tuple(words)))  # type: ignore[arg-type]  # its stub forgot the "..."
        if self._watch is None:
            self._watch = self._loop.call_later(self._timeout_s, self._look)
        return answer

    def close(self) -> None:
        """End it at once; who waits for an answer hears that it is lost."""
        self._end(ConnectionResetError("the connection to Redis is lost"))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio has connected it."""
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer who waits longest, for each answer that is complete."""
        self._reader.feed(data)
        try:
            while (answer := self._reader.gets()) is not _NOT_YET:
                _, asked = self._waiting.popleft()
                if not asked.done():
                    asked.set_result(answer)
        except (hiredis.ProtocolError, IndexError):
            self.close()  # this is no Redis, or one that speaks unasked

    def connection_lost(self, _error: Exception | None) -> None:
        """asyncio has lost it."""
        self.close()

    def _look(self, *, is_second: bool = False) -> None:
        """Give the connection up when an answer is overdue; after a second look, since what arrived while this process
        was busy is read only after its timers have run."""
        self._watch = None
        if not self._waiting:
            return
        left_s = self._waiting[0][0] - self._loop.time()
        if left_s > 0:
            self._watch = self._loop.call_later(left_s, self._look)
        elif is_second:
            self._end(TimeoutError(f"Redis did not answer within {self._timeout_s} s"))
        else:
            self._watch = self._loop.call_later(_SECOND_LOOK_S, partial(self._look, is_second=True))

    def _end(self, error: OSError) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        while self._waiting:
            _, asked = self._waiting.popleft()
            if not asked.done():
                asked.set_exception(error)
