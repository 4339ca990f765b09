"""Who is asking: API keys looked up by their hash, remembered for three seconds, found or not; and keys of apps.

An app's publishable key has no scope: it opens only what asks for it by name (`dependencies.NeedsOrApp`).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import asyncpg

from channels.push.apps import Apps
from domain.clock import Clock, utc_now
from domain.errors import RequestRefused, Unavailable
from domain.notification import Mode
from plumbing.database import borrow
from plumbing.secrets import APP_KEY_BEGINNING, hash_api_key

REMEMBERED_S = 3.0
"""A revoked key works at most this long."""

ASKED_WITHIN_S = 1.5
"""One row by its key: a PostgreSQL that is only slow has it in tenths of a second. What was asked goes on."""

MAX_REMEMBERED = 10_000
_LONGEST_KEY = 128
PREFIX_LENGTH = 14
_BEGINNINGS = tuple(f"cn_{mode}_" for mode in Mode)

_FIND = """
SELECT id, tenant_id, mode, prefix, scopes, expires_at, revoked_at FROM api_keys WHERE secret_hash = $1
"""


class Scope(StrEnum):
    """What a key may do."""

    READ = "read"
    SEND = "send"
    USERS = "users"
    CAMPAIGNS = "campaigns"
    OPS = "ops"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Key:
    """An API key as it stands in the database, without its secret."""

    id: UUID
    tenant_id: UUID
    mode: Mode
    prefix: str
    scopes: frozenset[str]
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    app_id: UUID | None = None
    """The app whose publishable key this is."""

    def works(self, now: datetime) -> bool:
        """Whether it is neither revoked nor expired at `now`."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


FindAppKey = Callable[[str], Awaitable[Key | None]]
"""Looks a publishable key up. Raises Unavailable."""

FindKey = Callable[[bytes], Awaitable[Key | None]]
"""Looks a key up by its hash. Raises Unavailable."""


def finder(pool: asyncpg.Pool) -> FindKey:
    """Look keys up in PostgreSQL."""

    async def find(secret_hash: bytes) -> Key | None:
        async with borrow(pool) as conn:
            row = await conn.fetchrow(_FIND, secret_hash)
        if row is None:
            return None
        return Key(
            id=row["id"],
            tenant_id=row["tenant_id"],
            mode=Mode.of(row["mode"]),
            prefix=row["prefix"],
            scopes=frozenset(row["scopes"]),
            expires_at=row["expires_at"],
            revoked_at=row["revoked_at"],
        )

    return find


def app_finder(apps: Apps) -> FindAppKey:
    """Look publishable keys up among apps, which remember them."""

    async def find(secret: str) -> Key | None:
        app = await apps.by_key(secret)
        if app is None:
            return None
        return Key(app.id, app.tenant_id, Mode.LIVE, secret[:PREFIX_LENGTH], frozenset(), app_id=app.id)

    return find


class Keys:
    """Keys by their secret, each asked for at most once in REMEMBERED_S per process."""

    def __init__(
        self,
        find: FindKey,
        *,
        find_app_key: FindAppKey | None = None,
        clock: Clock = utc_now,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._find = find
        self._find_app_key = find_app_key
        self._clock = clock
        self._timer = timer
        self._remembered: dict[bytes, tuple[float, Key | None]] = {}
        self._asking: dict[bytes, asyncio.Task[Key | None]] = {}

    async def known(self, secret: str) -> Key | None:
        """The key with this secret if it works now, else None. Raises Unavailable."""
        if self._find_app_key is not None and secret.startswith(APP_KEY_BEGINNING):
            return await self._find_app_key(secret)
        if not secret.startswith(_BEGINNINGS) or len(secret) > _LONGEST_KEY or not secret.isascii():
            return None
        secret_hash = hash_api_key(secret)
        remembered = self._remembered.get(secret_hash)
        if remembered is not None and self._timer() < remembered[0]:
            key = remembered[1]
        else:
            key = await self._ask(secret_hash)
        return key if key is not None and key.works(self._clock()) else None

    async def _ask(self, secret_hash: bytes) -> Key | None:
        """Ask once, however many want to know at the same time; who waited long enough is told to come again."""
        task = self._asking.get(secret_hash)
        if task is None:
            task = self._asking[secret_hash] = asyncio.create_task(self._look_up(secret_hash))
            task.add_done_callback(lambda _: self._asking.pop(secret_hash, None))
        try:
            async with asyncio.timeout(ASKED_WITHIN_S):
                return await asyncio.shield(task)
        except TimeoutError:
            raise Unavailable("PostgreSQL", f"no answer for {ASKED_WITHIN_S:g} s", retry_after_s=1) from None

    async def _look_up(self, secret_hash: bytes) -> Key | None:
        until = self._timer() + REMEMBERED_S
        key = await self._find(secret_hash)
        if len(self._remembered) >= MAX_REMEMBERED:
            self._remembered.clear()
        self._remembered[secret_hash] = (until, key)
        return key


async def authenticate(keys: Keys, authorization: str | None, scope: Scope, *, may_be_app: bool = False) -> Key:
    """The key of a request, if it may do this. RequestRefused: 401 without a key that works, 403 without the scope."""
    scheme, _, secret = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        detail = "send an API key: Authorization: Bearer cn_live_…"
        raise RequestRefused("unauthenticated", detail, 401, headers={"WWW-Authenticate": 'Bearer realm="carillon"'})
    key = await keys.known(secret.strip())
    if key is None:
        headers = {"WWW-Authenticate": 'Bearer realm="carillon", error="invalid_token"'}
        raise RequestRefused("invalid_key", "this API key is unknown, revoked or expired", 401, headers=headers)
    if scope not in key.scopes and not (may_be_app and key.app_id is not None):
        headers = {"WWW-Authenticate": f'Bearer realm="carillon", error="insufficient_scope", scope="{scope}"'}
        detail = (
            f"this API key lacks the scope {scope!s}" if key.app_id is None else "an app key only registers devices"
        )
        raise RequestRefused("scope_missing", detail, 403, headers=headers)
    return key
