"""Connections to one SMTP server: at most so many, the freshest used first, checked when they lay idle, never shared.

It knows nothing of messages; who borrows a connection says at the end whether it is still clean.
"""

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import unquote, urlsplit

import aiosmtplib

from domain.errors import Misconfigured

_CHECK_AFTER_S = 2.0
_IDLE_LIMIT_S = 30.0
_MESSAGES_PER_CONNECTION = 500
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """Where the server is and how to greet it; `password` never appears in its repr."""

    host: str
    port: int
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls_at_once: bool = False
    starttls: Literal["auto", "required", "never"] = "auto"

    @classmethod
    def parse(cls, url: str, starttls: Literal["auto", "required", "never"] = "auto") -> "SmtpServer":
        """Read `smtp://user:password@host:port` or `smtps://…`; Misconfigured for anything else."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise Misconfigured(f"CARILLON_SMTP_URL cannot be read: {error}") from error
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
            raise Misconfigured("CARILLON_SMTP_URL is not of the form smtp://user:password@host:port or smtps://…")
        at_once = parts.scheme == "smtps"
        return cls(
            host=parts.hostname,
            port=port or (465 if at_once else 587 if parts.username else 25),
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password or "") if parts.username else None,
            tls_at_once=at_once,
            starttls=starttls,
        )

    @property
    def start_tls(self) -> bool | None:
        """As aiosmtplib wants it: True insists, None takes what is offered. A password insists, except on loopback."""
        if self.tls_at_once or self.starttls == "never":
            return False
        if self.starttls == "required" or (self.username is not None and self.host not in _LOOPBACK):
            return True
        return None


@dataclass(slots=True)
class Connection:
    """One greeted and authenticated connection."""

    client: aiosmtplib.SMTP
    idle_since_s: float
    messages: int = 0
    needs_reset: bool = False


class SmtpPool:
    """At most `size` connections to `server`; `tls_context` replaces the system's certificates (private CAs)."""

    def __init__(
        self,
        server: SmtpServer,
        *,
        size: int,
        timeout_s: float,
        hello: str,
        tls_context: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._server = server
        self._timeout_s = timeout_s
        self._hello = hello
        self._tls_context = tls_context
        self._clock = clock
        self._places = asyncio.Semaphore(size)
        self._idle: deque[Connection] = deque()
        self.opened = 0

    async def wait_for_place(self) -> None:
        """Wait until fewer than `size` connections are in use. Who returns from here calls `take` next."""
        await self._places.acquire()

    async def take(self) -> Connection:
        """A clean connection for the place waited for. Raises aiosmtplib's errors and OSError, giving up the place."""
        try:
            return await self._reuse() or await self._open()
        except BaseException:
            self._places.release()
            raise

    def give_back(self, connection: Connection, *, clean: bool) -> None:
        """Return a connection; one that is not clean is closed at once."""
        self._places.release()
        connection.messages += 1
        if clean and connection.client.is_connected and connection.messages < _MESSAGES_PER_CONNECTION:
            connection.idle_since_s = self._clock()
            self._idle.append(connection)
        else:
            connection.client.close()

    async def close(self) -> None:
        """Say goodbye on what lies idle; connections in use close when they come back unclean or with the process."""
        while self._idle:
            client = self._idle.pop().client
            try:
                await client.quit(timeout=1.0)
            except (aiosmtplib.SMTPException, OSError):
                client.close()

    async def _reuse(self) -> Connection | None:
        self._drop_stale()
        while self._idle:
            connection = self._idle.pop()
            try:
                if not connection.client.is_connected:
                    continue
                if connection.needs_reset or self._clock() - connection.idle_since_s > _CHECK_AFTER_S:
                    await connection.client.rset(timeout=min(self._timeout_s, 5.0))
                    connection.needs_reset = False
            except (aiosmtplib.SMTPException, OSError):
                connection.client.close()
            except BaseException:
                connection.client.close()
                raise
            else:
                return connection
        return None

    def _drop_stale(self) -> None:
        while self._idle and self._clock() - self._idle[0].idle_since_s > _IDLE_LIMIT_S:
            self._idle.popleft().client.close()

    async def _open(self) -> Connection:
        server = self._server
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.username,
            password=server.password,
            local_hostname=self._hello,
            timeout=None,  # the sender's own bounds the whole of it; one more for each answer is a tenth of the work
            use_tls=server.tls_at_once,
            start_tls=server.start_tls,
            tls_context=self._tls_context,
        )
        try:
            await client.connect()
            if client.is_ehlo_or_helo_needed:
                await client.ehlo()
        except BaseException:
            client.close()
            raise
        self.opened += 1
        return Connection(client, self._clock())
