"""Apps: written, listed, and looked up by key, bundle or id, remembered for three seconds per process.

The only writer of `apps`, but for the brake, which `validity` sets and releases.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple, TypeAlias
from uuid import UUID

import asyncpg

from channels.push.room import Overflow
from domain.ids import uuid7
from domain.push import MAX_LIFE_S
from plumbing.database import borrow, postgres_errors
from plumbing.push_metrics import CACHE_OPERATIONS, CacheName, CacheResult
from plumbing.secrets import APP_KEY_BEGINNING, new_app_key

REMEMBERED_S = 3.0
MAX_REMEMBERED = 10_000
_LONGEST_KEY = 128

_COLUMNS = (
    "id, tenant_id, bundle_id, app_key, web_origins, expires_in_s, overflow, silent_per_hour, braked_at, names_users"
)
_BY_KEY = f"SELECT {_COLUMNS} FROM apps WHERE app_key = $1"  # noqa: S608  # only our own words
_BY_BUNDLE = f"SELECT {_COLUMNS} FROM apps WHERE tenant_id = $1 AND bundle_id = $2"  # noqa: S608  # only our own words
_LIST = f"""
SELECT {_COLUMNS} FROM apps WHERE tenant_id = $1 AND bundle_id > $2 ORDER BY bundle_id LIMIT $3
"""  # noqa: S608  # only our own words
_PUT = f"""
INSERT INTO apps (id, tenant_id, bundle_id, app_key, web_origins, expires_in_s, overflow, silent_per_hour, names_users)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (tenant_id, bundle_id) DO UPDATE SET web_origins = excluded.web_origins,
  expires_in_s = excluded.expires_in_s, overflow = excluded.overflow, silent_per_hour = excluded.silent_per_hour,
  names_users = excluded.names_users
RETURNING {_COLUMNS}, (xmax = 0) AS is_new
"""  # noqa: S608  # only our own words
_BY_ID = f"SELECT {_COLUMNS} FROM apps WHERE id = $1"  # noqa: S608  # only our own words


Source: TypeAlias = asyncpg.Connection | asyncpg.Pool


class App(NamedTuple):
    """An app as it stands in the database."""

    id: UUID
    tenant_id: UUID
    bundle_id: str
    app_key: str
    web_origins: tuple[str, ...]
    expires_in_s: int
    overflow: str
    silent_per_hour: int
    braked_at: datetime | None
    names_users: bool
    """Whether its publishable key may say whose a device is."""


class AppFacts(NamedTuple):
    """What a tenant says about its app."""

    web_origins: tuple[str, ...] = ()
    expires_in_s: int = MAX_LIFE_S
    """Of a push that does not say so itself."""
    overflow: Overflow = Overflow.DROP
    silent_per_hour: int = 10
    """Silent pushes per device; what is more waits and is folded into one."""
    names_users: bool = False


async def put_app(source: Source, tenant: UUID, bundle_id: str, facts: AppFacts) -> tuple[App, bool]:
    """Create an app with a key of its own, or replace what is known of it; and whether it is new. Unavailable."""
    with postgres_errors():
        row = await source.fetchrow(
            _PUT,
            uuid7(),
            tenant,
            bundle_id,
            new_app_key(),
            list(facts.web_origins),
            facts.expires_in_s,
            str(facts.overflow),
            facts.silent_per_hour,
            facts.names_users,
        )
    return _app(row), row["is_new"]


async def find_app(source: Source, tenant: UUID, bundle_id: str) -> App | None:
    """The tenant's app as it stands now, or None. Unavailable."""
    with postgres_errors():
        row = await source.fetchrow(_BY_BUNDLE, tenant, bundle_id)
    return _app(row) if row is not None else None


async def list_apps(source: Source, tenant: UUID, *, limit: int, after: str = "") -> list[App]:
    """A tenant's apps by bundle id, those behind `after`. Unavailable."""
    with postgres_errors():
        return [_app(row) for row in await source.fetch(_LIST, tenant, after, limit)]


class Apps:
    """Apps by what names them, each asked for at most once in REMEMBERED_S per process."""

    def __init__(self, pool: asyncpg.Pool, *, timer: Callable[[], float] = time.monotonic) -> None:
        self._pool = pool
        self._timer = timer
        self._remembered: dict[tuple[object, ...], tuple[float, App | None]] = {}
        self._asking: dict[tuple[object, ...], asyncio.Task[App | None]] = {}

    async def by_key(self, app_key: str) -> App | None:
        """The app with this publishable key, or None. Unavailable."""
        if not app_key.startswith(APP_KEY_BEGINNING) or len(app_key) > _LONGEST_KEY or not app_key.isascii():
            return None
        return await self._find(_BY_KEY, app_key)

    async def by_bundle(self, tenant: UUID, bundle_id: str) -> App | None:
        """The tenant's app of this bundle id, or None. Unavailable."""
        return await self._find(_BY_BUNDLE, tenant, bundle_id)

    async def by_id(self, app_id: UUID) -> App | None:
        """The app, or None. Unavailable."""
        return await self._find(_BY_ID, app_id)

    def forget(self, app: App) -> None:
        """Ask afresh next time: the app was written just now."""
        for question in ((_BY_KEY, app.app_key), (_BY_BUNDLE, app.tenant_id, app.bundle_id), (_BY_ID, app.id)):
            self._remembered.pop(question, None)
            self._asking.pop(question, None)

    async def _find(self, *question: object) -> App | None:
        until, app = self._remembered.get(question, (0.0, None))
        if self._timer() < until:
            _count(CacheResult.HIT if app is not None else CacheResult.NEGATIVE_HIT)
            return app
        _count(CacheResult.MISS)
        task = self._asking.get(question)
        if task is None:
            task = self._asking[question] = asyncio.create_task(self._ask(question))
            task.add_done_callback(lambda done: self._asked(question, done))
        return await asyncio.shield(task)

    async def _ask(self, question: tuple[object, ...]) -> App | None:
        async with borrow(self._pool) as conn:
            row = await conn.fetchrow(*question)
        return _app(row) if row is not None else None

    def _asked(self, question: tuple[object, ...], task: asyncio.Task[App | None]) -> None:
        """Remember the answer, unless it was forgotten meanwhile; an unknown bundle may be created any moment."""
        if self._asking.get(question) is not task:
            return
        del self._asking[question]
        if task.cancelled() or task.exception() is not None:
            return
        if task.result() is not None or question[0] == _BY_KEY:
            if len(self._remembered) >= MAX_REMEMBERED:
                self._remembered.clear()
            self._remembered[question] = (self._timer() + REMEMBERED_S, task.result())


def _count(result: CacheResult) -> None:
    CACHE_OPERATIONS.labels(cache=CacheName.APP, result=result).inc()


def _app(row: asyncpg.Record) -> App:
    return App(
        row["id"],
        row["tenant_id"],
        row["bundle_id"],
        row["app_key"],
        tuple(row["web_origins"]),
        row["expires_in_s"],
        row["overflow"],
        row["silent_per_hour"],
        row["braked_at"],
        row["names_users"],
    )
