"""Redis as a cache that may vanish: whatever happens to it, callers get None and go on with PostgreSQL.

0.1 s for an answer, no retries, and a breaker, so that a dead or frozen Redis costs each request nearly nothing
(measured: the client's own defaults hold one command for 3.75 s when Redis is dead, over 25 s when it is frozen).
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha1
from typing import Any, Self

import hiredis
import structlog

from domain.errors import Misconfigured
from plumbing.redis_wire import Address, Wire, Word

TIMEOUT_S = 0.1
FAILURES_TO_OPEN = 5
OPEN_S = 1.0

_AWAY = ("LOADING", "BUSY ", "READONLY", "OOM", "MISCONF", "CLUSTERDOWN", "TRYAGAIN", "NOAUTH")
"""What Redis answers when it cannot serve right now, which is no fault of the command."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Script:
    """A Lua script; the same text has the same digest everywhere."""

    text: str

    @cached_property
    def digest(self) -> str:
        return sha1(self.text.encode(), usedforsecurity=False).hexdigest()


class Cache:
    """One Redis over one connection, shared by a process. No method raises for trouble of Redis."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._wire: Wire | None = None
        self._opening: asyncio.Task[Wire] | None = None
        self._failures = 0
        self._closed_again_s = 0.0
        self._told: set[str] = set()

    @classmethod
    def open(cls, url: str) -> Self:
        """A cache at `url` (redis://:password@host:port/0). Connects when it is first asked. Misconfigured."""
        try:
            return cls(Address.parse(url))
        except (ValueError, OSError) as error:
            raise Misconfigured(f"CARILLON_REDIS_URL cannot be read: {error}") from error

    async def close(self) -> None:
        """Close the connection."""
        if self._opening is not None:
            await asyncio.gather(self._opening, return_exceptions=True)
        if self._wire is not None:
            self._wire.close()

    @property
    def is_open(self) -> bool:
        """Whether Redis is asked at all right now; after failures it is left alone for a second."""
        return time.monotonic() >= self._closed_again_s

    async def call(self, script: Script, keys: Sequence[str], args: Sequence[Any]) -> Any | None:
        """The script's answer in one round trip, or None without Redis. A fault in the script itself raises."""
        rest = (len(keys), *keys, *args)
        if script.digest in self._told:
            answer = await self._ask("EVALSHA", script.digest, *rest)
            if not _is_error(answer, "NOSCRIPT"):
                return _good(answer)
        # Redis is told the text without a try by digest: fakeredis over TCP hangs up after any error
        answer = _good(await self._ask("EVAL", script.text, *rest))
        if answer is not None:
            self._told.add(script.digest)
        return answer

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None] | None:
        """The values of `keys` in order, or None without Redis."""
        answer: list[bytes | None] | None = _good(await self._ask("MGET", *keys))
        return answer

    async def delete(self, keys: Sequence[str]) -> bool:
        """Forget `keys`; False without Redis (entries carry versions, so a stale one is noticed all the same)."""
        return not keys or _good(await self._ask("DEL", *keys)) is not None

    async def ping(self) -> bool:
        """Whether Redis answers now, the breaker aside: for health pages."""
        try:
            return not isinstance(await self._ask_once(("PING",)), hiredis.ReplyError)
        except OSError:
            return False

    async def _ask(self, *words: Word) -> Any | None:
        """The answer, which may be an error about the command; None without Redis."""
        if not self.is_open:
            return None
        try:
            answer = await self._ask_once(words)
        except OSError as error:
            self._count_failure(error)
            return None
        if _is_error(answer, *_AWAY):
            self._count_failure(answer)
            return None
        self._failures = 0
        return answer

    async def _ask_once(self, words: Sequence[Word]) -> Any:
        """Ask, after connecting where there is no connection. OSError, TimeoutError among them."""
        wire = self._wire
        if wire is None or not wire.is_open:
            wire = await self._connect()
        return await wire.ask(words)

    async def _connect(self) -> Wire:
        """A new connection, or the failure of the one attempt that all who ask meanwhile wait for."""
        if self._opening is None:
            self._opening = asyncio.create_task(Wire.open(self._address, timeout_s=TIMEOUT_S))
            self._opening.add_done_callback(self._opened)
        return await asyncio.shield(self._opening)

    def _opened(self, opening: "asyncio.Task[Wire]") -> None:
        self._opening = None
        if not opening.cancelled() and opening.exception() is None:
            self._wire = opening.result()

    def _count_failure(self, error: Exception) -> None:
        """Open for a second after five failures in a row; then one more failure opens it again."""
        self._failures += 1
        if self._failures >= FAILURES_TO_OPEN:
            if self._failures == FAILURES_TO_OPEN:
                log.warning("redis.left_alone", error=type(error).__name__)
            self._closed_again_s = time.monotonic() + OPEN_S


def _is_error(answer: object, *beginnings: str) -> bool:
    return isinstance(answer, hiredis.ReplyError) and str(answer).startswith(beginnings)


def _good(answer: Any) -> Any:
    """The answer, unless it is an error of ours: that raises."""
    if isinstance(answer, hiredis.ReplyError):
        raise answer
    return answer
