"""An operator at the dead-letter bench: clients with several keys, on the real application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import httpx2

from api.app import create_app
from preferences.categories import Categories
from templates.catalog import SHIPPED, Catalog
from tests.integration.api.doors import SECRET, FakeBatcher, KeyRing, make_house

VIEWING = "cn_live_" + "v" * 43
FOREIGN = "cn_live_" + "f" * 43
PATH = "/api/v1/dead-letters"


@dataclass
class Bench:
    """A tenant's operator, one who may only read, and somebody else's operator."""

    tenant_id: UUID
    pool: asyncpg.Pool
    mine: httpx2.AsyncClient
    viewer: httpx2.AsyncClient
    foreign: httpx2.AsyncClient

    async def list_ids(self, query: str = "") -> list[str]:
        """The ids of the letters on a page."""
        return [each["id"] for each in (await self.mine.get(f"{PATH}{query}")).json()["items"]]

    async def told(self, letter: UUID, query: str = "") -> Any:
        """A letter in full."""
        answer = await self.mine.get(f"{PATH}/{letter}{query}")
        assert answer.status_code == 200, answer.text
        return answer.json()


@asynccontextmanager
async def open_bench(pool: asyncpg.Pool, engine: Any, tenant: UUID) -> AsyncIterator[Bench]:
    """The application over a real database, without a server between."""
    other: UUID = await pool.fetchval(
        "INSERT INTO tenants (id, name) VALUES (gen_random_uuid(), gen_random_uuid()::text) RETURNING id"
    )
    ring = KeyRing()
    ring.add(SECRET, tenant_id=tenant)
    ring.add(VIEWING, tenant_id=tenant, scopes=("read",))
    ring.add(FOREIGN, tenant_id=other)
    house = make_house(
        FakeBatcher(),
        ring,
        hot_pool=pool,
        read_pool=pool,
        engine=engine,
        categories=Categories(),
        catalog=Catalog([SHIPPED]),
    )
    app = create_app(house)

    def client(secret: str) -> httpx2.AsyncClient:
        transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
        headers = {"authorization": f"Bearer {secret}"}
        return httpx2.AsyncClient(transport=transport, base_url="http://api", headers=headers)

    async with client(SECRET) as mine, client(VIEWING) as viewer, client(FOREIGN) as foreign:
        yield Bench(tenant, pool, mine, viewer, foreign)
