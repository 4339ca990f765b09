"""Categories: those every tenant has from the start, and the tenant's own on top. The only writer of `categories`."""

import time
from collections.abc import Callable, Mapping
from typing import TypeAlias
from uuid import UUID

import asyncpg

from domain.lanes import Channel
from plumbing.database import postgres_errors
from preferences.model import AmbiguousPolicy, Category, Kind

FRESH_FOR_S = 2.0
MAX_TENANTS = 10_000
_DAY_S = 86_400
_ALL = (Channel.PUSH, Channel.EMAIL, Channel.SMS)

SHIPPED: Mapping[str, Category] = {
    category.name: category
    for category in (
        Category("general", Kind.TRANSACTIONAL, True, False, _ALL, 600, _DAY_S, AmbiguousPolicy.RETRY),
        Category("orders", Kind.TRANSACTIONAL, True, False, _ALL, 600, 3 * _DAY_S, AmbiguousPolicy.RETRY),
        Category("security", Kind.CRITICAL, True, True, _ALL, 30, 3600, AmbiguousPolicy.RETRY),
        Category("marketing", Kind.PROMOTIONAL, False, False, (Channel.EMAIL,), _DAY_S, _DAY_S, AmbiguousPolicy.HOLD),
    )
}
"""name, kind, allowed by default, required, channels in order, dedupe window, life, and what when nobody knows."""

_COLUMNS = "name, kind, default_allow, required, channels, dedupe_window_s, expires_in_s, ambiguous"
_ALL_OF_TENANT = f"SELECT {_COLUMNS} FROM categories WHERE tenant_id = $1"  # noqa: S608  # only our own words
_PUT = f"""
INSERT INTO categories (tenant_id, {_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (tenant_id, name) DO UPDATE SET kind = excluded.kind, default_allow = excluded.default_allow,
  required = excluded.required, channels = excluded.channels, dedupe_window_s = excluded.dedupe_window_s,
  expires_in_s = excluded.expires_in_s, ambiguous = excluded.ambiguous, updated_at = now()
"""  # noqa: S608  # only our own words

Source: TypeAlias = asyncpg.Connection | asyncpg.Pool


class Categories:
    """The categories of each tenant, remembered for two seconds per process."""

    def __init__(self, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._known: dict[UUID, tuple[float, Mapping[str, Category]]] = {}

    async def get(self, source: Source, tenant: UUID, name: str) -> Category | None:
        """The tenant's category of that name, at most two seconds old; None when there is none. Unavailable."""
        return (await self._of(source, tenant)).get(name)

    async def list_all(self, source: Source, tenant: UUID) -> list[Category]:
        """All categories that the tenant can use, by name. Unavailable."""
        known = await self._of(source, tenant)
        return [known[name] for name in sorted(known)]

    async def put(self, source: Source, tenant: UUID, category: Category) -> None:
        """Write one; other processes see it within two seconds. Unavailable."""
        with postgres_errors():
            await source.execute(
                _PUT,
                tenant,
                category.name,
                str(category.kind),
                category.default_allow,
                category.required,
                [str(channel) for channel in category.channels],
                category.dedupe_window_s,
                category.expires_in_s,
                str(category.ambiguous),
            )
        self._known.pop(tenant, None)

    async def _of(self, source: Source, tenant: UUID) -> Mapping[str, Category]:
        now_s = self._clock_s()
        kept = self._known.get(tenant)
        if kept is not None and now_s - kept[0] < FRESH_FOR_S:
            return kept[1]
        with postgres_errors():
            rows = await source.fetch(_ALL_OF_TENANT, tenant)
        known = {**SHIPPED, **{row["name"]: _category(row) for row in rows}}
        if len(self._known) >= MAX_TENANTS:
            self._known.clear()
        self._known[tenant] = (now_s, known)
        return known


def _category(row: asyncpg.Record) -> Category:
    return Category(
        row["name"],
        Kind(row["kind"]),
        row["default_allow"],
        row["required"],
        tuple(Channel(channel) for channel in row["channels"]),
        row["dedupe_window_s"],
        row["expires_in_s"],
        AmbiguousPolicy(row["ambiguous"]),
    )
