"""Redis as a cache that may vanish: whatever happens to it, callers get None and go on with PostgreSQL.

0.1 s for an answer, no retries, and a breaker, so that a dead or frozen Redis costs each request nearly nothing
(measured: the client's own defaults hold one command for 3.75 s when Redis is dead, over 25 s when it is frozen).
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha1
from typing import Any, Self

import redis.asyncio as redis
import structlog
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError, ResponseError

from domain.errors import Misconfigured

TIMEOUT_S = 0.1
FAILURES_TO_OPEN = 5
OPEN_S = 1.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Script:
    """A Lua script; the same text has the same digest everywhere."""

    text: str

    @property
    def digest(self) -> str:
        return sha1(self.text.encode(), usedforsecurity=False).hexdigest()


class Cache:
    """One Redis, shared by a process. No method raises for trouble of Redis."""

    def __init__(self, client: "redis.Redis") -> None:
        self._client = client
        self._failures = 0
        self._closed_again_s = 0.0
        self._told: set[str] = set()

    @classmethod
    def open(cls, url: str, *, connections: int = 32) -> Self:
        """A cache at `url` (redis://:password@host:port/0). Connects when it is first asked. Misconfigured."""
        try:
            pool = redis.BlockingConnectionPool.from_url(
                url,
                max_connections=connections,
                timeout=TIMEOUT_S,
                socket_timeout=TIMEOUT_S,
                socket_connect_timeout=TIMEOUT_S,
                retry=Retry(NoBackoff(), 0),
            )
        except ValueError as error:
            raise Misconfigured(f"CARILLON_REDIS_URL cannot be read: {error}") from error
        return cls(redis.Redis.from_pool(pool))

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    @property
    def is_open(self) -> bool:
        """Whether Redis is asked at all right now; after failures it is left alone for a second."""
        return time.monotonic() >= self._closed_again_s

    async def call(self, script: Script, keys: Sequence[str], args: Sequence[Any]) -> Any | None:
        """The script's answer in one round trip, or None without Redis. A fault in the script itself raises."""
        return await self._ask(lambda: self._run(script, keys, args))

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None] | None:
        """The values of `keys` in order, or None without Redis."""
        answer: list[bytes | None] | None = await self._ask(lambda: self._client.mget(list(keys)))
        return answer

    async def delete(self, keys: Sequence[str]) -> bool:
        """Forget `keys`; False without Redis (entries carry versions, so a stale one is noticed all the same)."""
        return not keys or await self._ask(lambda: self._client.delete(*keys)) is not None

    async def ping(self) -> bool:
        """Whether Redis answers now, the breaker aside: for health pages."""
        try:
            return bool(await self._client.ping())
        except (RedisError, OSError):
            return False

    async def _run(self, script: Script, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """By its digest, once Redis was told the text; fakeredis over TCP hangs up after any error, so ask for none."""
        if script.digest in self._told:
            try:
                return await self._client.evalsha(script.digest, len(keys), *keys, *args)
            except NoScriptError:
                self._told.discard(script.digest)
        answer = await self._client.eval(script.text, len(keys), *keys, *args)
        self._told.add(script.digest)
        return answer

    async def _ask(self, command: Any) -> Any | None:
        if not self.is_open:
            return None
        try:
            answer = await command()
        except ResponseError as error:
            if not str(error).startswith(("LOADING", "BUSY", "READONLY", "OOM", "MISCONF", "CLUSTERDOWN", "TRYAGAIN")):
                raise
            self._count_failure(error)
        except (RedisError, OSError) as error:
            self._count_failure(error)
        else:
            self._failures = 0
            return answer
        return None

    def _count_failure(self, error: Exception) -> None:
        """Open for a second after five failures in a row; then one more failure opens it again."""
        self._failures += 1
        if self._failures >= FAILURES_TO_OPEN:
            if self._failures == FAILURES_TO_OPEN:
                log.warning("redis.left_alone", error=type(error).__name__)
            self._closed_again_s = time.monotonic() + OPEN_S
