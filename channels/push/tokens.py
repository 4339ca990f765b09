"""Who is behind a token: Redis before PostgreSQL, also for tokens that nobody has; many callers, one question.

A registration must be seen at once. So `forget` leaves a mark where the entry was: an answer that was read before the
write cannot take its place, and after ten seconds nobody can still hold such an answer.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg
import msgspec
import structlog

from plumbing.cache import Cache, Script
from plumbing.database import borrow
from plumbing.gather import Gatherer
from plumbing.push_metrics import CACHE_OPERATIONS, CacheName, CacheResult

KNOWN_FOR_S = 3600
UNKNOWN_FOR_S = 300
MARK_FOR_S = 10
MAX_ANSWER_AGE_S = 5.0
"""An older answer is not kept: the mark of a write that it has not seen may be gone by then."""

TRY_AGAIN_S = 1.0
MAX_UNMARKED = 10_000
_FIND = """
SELECT d.token_hash, d.id, d.tenant_id, d.app_id, d.bundle_id, d.user_id, d.region, d.invalidated_at, d.provider
FROM devices d WHERE d.token_hash = ANY ($1::bytea[]) ORDER BY d.id
"""

_KEEP = Script("""
-- KEYS: entries. ARGV: per entry the seconds to live and its bytes. What stands there stays: an entry or a mark.
for i, key in ipairs(KEYS) do
  redis.call('SET', key, ARGV[2 * i], 'EX', ARGV[2 * i - 1], 'NX')
end
return 1
""")
_MARK = Script("""
-- KEYS: entries. ARGV: seconds that nothing else may stand there.
for _, key in ipairs(KEYS) do redis.call('SET', key, '', 'EX', ARGV[1]) end
return 1
""")

log = structlog.get_logger(__name__)


class KnownDevice(msgspec.Struct, frozen=True, array_like=True):
    """A device as whoever looks for its token needs it; `user_id` is our own id of its user."""

    id: UUID
    tenant_id: UUID
    app_id: UUID
    bundle_id: str
    user_id: UUID | None
    region: str | None
    invalidated_at: datetime | None
    provider: str

    @property
    def is_valid(self) -> bool:
        """Whether pushes may go to it."""
        return self.invalidated_at is None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[KnownDevice]).decode


class Tokens:
    """Devices by the hashes of their tokens, an hour in Redis; that nobody has a token, five minutes."""

    def __init__(self, pool: asyncpg.Pool, cache: Cache) -> None:
        self._pool = pool
        self._cache = cache
        self._gatherer = Gatherer(self._look_up)
        self._unmarked: dict[bytes, None] = {}
        self._marking: asyncio.Task[None] | None = None

    async def find(self, token_hashes: Sequence[bytes]) -> dict[bytes, list[KnownDevice]]:
        """The devices with each token, one per app that knows it; an empty list for a token nobody has. Unavailable.

        Every write whose `forget` has returned before this call is seen.
        """
        return await self._gatherer.find(token_hashes)

    async def forget(self, token_hashes: Sequence[bytes]) -> None:
        """To be called after each committed write to devices with these tokens. Without Redis it goes on trying."""
        keys = [_key(token_hash) for token_hash in token_hashes]
        if keys and await self._cache.call(_MARK, keys, [MARK_FOR_S]) is None:
            self._unmarked |= dict.fromkeys(token_hashes)
            if self._marking is None or self._marking.done():
                self._marking = asyncio.create_task(self._go_on_marking())

    async def _look_up(self, token_hashes: Sequence[bytes]) -> Mapping[bytes, list[KnownDevice]]:
        began_s = time.monotonic()
        found = await self._cached(token_hashes)
        missing = [token_hash for token_hash in token_hashes if token_hash not in found]
        if missing:
            async with borrow(self._pool) as conn:
                rows = await conn.fetch(_FIND, missing)
            loaded: dict[bytes, list[KnownDevice]] = {token_hash: [] for token_hash in missing}
            for token_hash, *facts in rows:
                loaded[token_hash].append(KnownDevice(*facts))
            if time.monotonic() - began_s < MAX_ANSWER_AGE_S:
                await self._keep(loaded)
            found |= loaded
        return found

    async def _cached(self, token_hashes: Sequence[bytes]) -> dict[bytes, list[KnownDevice]]:
        """What Redis holds; nothing of tokens whose marks it has not got yet."""
        asked = [token_hash for token_hash in token_hashes if token_hash not in self._unmarked]
        values = await self._cache.get_many([_key(token_hash) for token_hash in asked]) if asked else None
        if values is None:
            _count(CacheResult.UNAVAILABLE, len(token_hashes))
            return {}
        found = {}
        for token_hash, value in zip(asked, values, strict=True):
            if value and (devices := _read(value)) is not None:
                found[token_hash] = devices
        _count(CacheResult.HIT, sum(1 for devices in found.values() if devices))
        _count(CacheResult.NEGATIVE_HIT, sum(1 for devices in found.values() if not devices))
        _count(CacheResult.MISS, len(token_hashes) - len(found))
        return found

    async def _keep(self, loaded: Mapping[bytes, list[KnownDevice]]) -> None:
        keys, args = [], []
        for token_hash, devices in loaded.items():
            if token_hash not in self._unmarked:
                keys.append(_key(token_hash))
                args += [KNOWN_FOR_S if devices else UNKNOWN_FOR_S, _encode(devices)]
        if keys:
            await self._cache.call(_KEEP, keys, args)

    async def _go_on_marking(self) -> None:
        """Redis is back some time, and would go on telling what was true before: an hour at most."""
        while self._unmarked:
            await asyncio.sleep(TRY_AGAIN_S)
            wanted = list(self._unmarked)
            if await self._cache.call(_MARK, [_key(token_hash) for token_hash in wanted], [MARK_FOR_S]) is not None:
                for token_hash in wanted:
                    self._unmarked.pop(token_hash, None)
                log.info("tokens.forgotten_late", tokens=len(wanted))
            elif len(self._unmarked) > MAX_UNMARKED:
                self._unmarked.clear()
                log.error("tokens.not_forgotten", tokens=len(wanted), runbook="ops/runbooks/redis-silent.md")


def _key(token_hash: bytes) -> str:
    """Where an entry is kept; all on one node of a cluster, so that one call can ask for many."""
    return f"{{tokens}}:{token_hash.hex()}"


def _read(value: bytes) -> list[KnownDevice] | None:
    try:
        return _decode(value)
    except msgspec.MsgspecError:
        return None  # of another release: ask PostgreSQL


def _count(result: CacheResult, number: int) -> None:
    CACHE_OPERATIONS.labels(cache=CacheName.TOKEN, result=result).inc(number)
