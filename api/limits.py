"""The limit of an API key on every route but the hot ones: its policy, and the headers that tell of it.

The hot routes are limited by accept, in the one round trip that it makes anyway, and in a bucket of their own: who
reads much can still send.
"""

from collections.abc import Mapping
from typing import Protocol
from uuid import UUID

from api.auth import Key
from domain.errors import RequestRefused
from fanout.limits import KEY_POLICY
from plumbing.limiter import Limit, Limiter
from plumbing.settings import Settings


class KeyLimiter(Protocol):
    """Spends one request of a key's limit."""

    async def spend(self, key: Key) -> Mapping[str, str]:
        """The headers to answer with. RequestRefused(429) when the key has spent it all."""
        ...


class KeyLimits:
    """The real one: a bucket per key, in Redis or, without it, in this process."""

    def __init__(self, limiter: Limiter, settings: Settings) -> None:
        self._limiter = limiter
        self._settings = settings

    async def spend(self, key: Key) -> Mapping[str, str]:
        """The headers to answer with. RequestRefused(429) when the key has spent it all."""
        answer = await self._limiter.ask(limit_of(key.tenant_id, key.id, self._settings))
        told = answer.headers(KEY_POLICY)
        if not answer.allowed:
            detail = "this API key has spent its requests"
            raise RequestRefused("rate_limited", detail, 429, retry_after_s=answer.retry_after_s, headers=told)
        return told


def limit_of(tenant_id: UUID, key_id: UUID, settings: Settings) -> Limit:
    """What a key may ask: the tenant in braces keeps its keys on one node of a cluster."""
    return Limit(f"t:{{{tenant_id}}}:requests:{key_id}", settings.key_limit_per_s, settings.key_limit_burst)
