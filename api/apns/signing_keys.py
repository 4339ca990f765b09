"""Which public keys answer to a name: looked up by team and key id, remembered for three seconds, found or not."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import structlog
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from api.apns.keys import need_p256
from domain.errors import Misconfigured
from plumbing.database import borrow

REMEMBERED_S = 3.0
"""A revoked key signs at most this long."""

MAX_REMEMBERED = 10_000
MAX_KEYS = 32
"""Apps that one key may be registered for; more are not looked at."""

_FIND = """
SELECT k.id, k.tenant_id, k.app_id, a.bundle_id, a.expires_in_s, k.public_key
FROM apns_keys k JOIN apps a ON a.id = k.app_id
WHERE k.team_id = $1 AND k.key_id = $2 AND k.revoked_at IS NULL ORDER BY k.id LIMIT $3
"""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that may speak for one app. By `pem`, its public key, the same key is known again for another app."""

    id: UUID
    tenant_id: UUID
    app_id: UUID
    bundle_id: str
    expires_in_s: int
    pem: str
    public_key: EllipticCurvePublicKey


KeyName = tuple[str, str]
"""Team id and key id: not unique, for two tenants may call theirs alike."""

FindKeys = Callable[[KeyName], Awaitable[tuple[SigningKey, ...]]]
"""The keys of a name that are not revoked. Raises Unavailable."""


def finder(pool: asyncpg.Pool) -> FindKeys:
    """Look keys up in PostgreSQL."""

    async def find(name: KeyName) -> tuple[SigningKey, ...]:
        async with borrow(pool) as conn:
            rows = await conn.fetch(_FIND, *name, MAX_KEYS)
        return tuple(key for row in rows if (key := _key(row)) is not None)

    return find


def _key(row: asyncpg.Record) -> SigningKey | None:
    try:
        public_key = need_p256(load_pem_public_key(row["public_key"].encode()))
    except (ValueError, Misconfigured):
        log.error("apns_key.unreadable", key_id=str(row["id"]))
        return None
    return SigningKey(
        row["id"],
        row["tenant_id"],
        row["app_id"],
        row["bundle_id"],
        row["expires_in_s"],
        row["public_key"],
        public_key,
    )


class SigningKeys:
    """Keys by their name, each name asked for at most once in REMEMBERED_S per process."""

    def __init__(self, find: FindKeys, *, timer: Callable[[], float] = time.monotonic) -> None:
        self._find = find
        self._timer = timer
        self._remembered: dict[KeyName, tuple[float, tuple[SigningKey, ...]]] = {}
        self._asking: dict[KeyName, asyncio.Task[tuple[SigningKey, ...]]] = {}

    async def find(self, name: KeyName) -> tuple[SigningKey, ...]:
        """The keys of this name. Raises Unavailable."""
        remembered = self._remembered.get(name)
        if remembered is not None and self._timer() < remembered[0]:
            return remembered[1]
        task = self._asking.get(name)
        if task is None:
            task = self._asking[name] = asyncio.create_task(self._ask(name))
            task.add_done_callback(lambda _: self._asking.pop(name, None))
        return await asyncio.shield(task)

    async def _ask(self, name: KeyName) -> tuple[SigningKey, ...]:
        until = self._timer() + REMEMBERED_S
        keys = await self._find(name)
        if len(self._remembered) >= MAX_REMEMBERED:
            self._remembered.clear()
        self._remembered[name] = (until, keys)
        return keys
