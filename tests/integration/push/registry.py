"""An API with a real registry behind it, for tests of push: one tenant's keys, another's, and a worker's view."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import httpx2
from sqlalchemy.ext.asyncio import AsyncEngine

from api.app import create_app
from api.auth import Keys, app_finder
from api.limits import KeyLimits
from channels.push.apps import Apps
from channels.push.hints import Nodes
from channels.push.origins import Origins
from channels.push.presence import Presence
from channels.push.tokens import Tokens
from domain.ids import uuid7
from plumbing.cache import Cache
from plumbing.limiter import Limiter
from plumbing.secrets import Box, Seal
from plumbing.settings import Settings
from tests.builders import SECRET_KEY
from tests.integration.api.doors import FakeBatcher, KeyRing, make_house
from tests.integration.workers.stage import PATIENCE_S

REGISTER = "/api/v1/devices/register"


@dataclass
class Registry:
    """A client that is the tenant's server, and what stands behind it."""

    client: httpx2.AsyncClient
    tenant: UUID
    stranger: str
    """A key with every scope of another tenant."""
    bundle: str
    pool: asyncpg.Pool
    tokens: Tokens
    seal: Seal
    box: Box
    key: str = ""
    """The app's publishable key, where a test has kept it."""

    async def app(self, bundle: str | None = None, **facts: Any) -> str:
        """Create an app; its publishable key."""
        answer = await self.client.put(f"/api/v1/apps/{bundle or self.bundle}", json=facts)
        assert answer.status_code in {200, 201}, answer.text
        key: str = answer.json()["app_key"]
        return key

    async def register(self, *, key: str | None = None, status: int | None = None, **facts: Any) -> dict[str, Any]:
        """Register a device of the app; the answer's JSON."""
        headers = {"authorization": f"Bearer {key}"} if key else {}
        wish = {"app_bundle_id": self.bundle} | facts
        answer = await self.client.post(REGISTER, json=wish, headers=headers)
        deadline_s = time.monotonic() + PATIENCE_S
        while answer.status_code == 503 and status != 503 and time.monotonic() < deadline_s:
            await asyncio.sleep(0.1)  # many at once on a slow machine: it says come again
            answer = await self.client.post(REGISTER, json=wish, headers=headers)
        assert answer.status_code in ({status} if status else {200, 201}), answer.text
        told: dict[str, Any] = answer.json()
        return told

    async def get(self, path: str, *, key: str | None = None, **query: Any) -> httpx2.Response:
        """GET below /api/v1."""
        headers = {"authorization": f"Bearer {key}"} if key else {}
        return await self.client.get(f"/api/v1{path}", params=query or None, headers=headers)

    async def version(self, user: str) -> int:
        """The version of a user now."""
        found: int = await self.pool.fetchval(
            "SELECT version FROM users WHERE tenant_id = $1 AND external_id = $2", self.tenant, user
        )
        return found


class NoNodes:
    """Gateways of a platform that has none."""

    async def publish_to_node(self, queue_name: str, bodies: Sequence[bytes]) -> list[bool]:
        """Nobody is there."""
        return [False] * len(bodies)

    async def publish_to_all_nodes(self, body: bytes) -> bool:
        """Nobody is there."""
        return False


@asynccontextmanager
async def open_registry(
    pool: asyncpg.Pool,
    cache: Cache,
    tenant: UUID,
    *,
    nodes: Nodes | None = None,
    engine: AsyncEngine | None = None,
    **settings: Any,
) -> AsyncIterator[Registry]:
    """An API in this process over real rooms; `settings` differ from the defaults."""
    ring = KeyRing()
    secret, stranger = f"cn_live_{uuid7().hex}", f"cn_live_{uuid7().hex}"
    other = uuid7()
    await pool.execute("INSERT INTO tenants (id, name) VALUES ($1, $2)", other, f"other-{other}")
    ring.add(secret, tenant_id=tenant)
    ring.add(stranger, tenant_id=other)
    apps, seal, box = Apps(pool), Seal(SECRET_KEY), Box(SECRET_KEY)
    tokens = Tokens(pool, cache)
    chosen = Settings(_env_file=None, **settings)
    house = make_house(
        FakeBatcher(),
        ring,
        settings=chosen,
        limiter=KeyLimits(Limiter(cache), chosen),
        keys=Keys(ring.find, find_app_key=app_finder(apps)),
        hot_pool=pool,
        cache=cache,
        apps=apps,
        origins=Origins(pool),
        tokens=tokens,
        presence=Presence(cache),
        read_pool=pool,
        engine=engine,
        nodes=nodes or NoNodes(),
        seal=seal,
        box=box,
    )
    transport = httpx2.ASGITransport(create_app(house))
    async with httpx2.AsyncClient(transport=transport, base_url="http://carillon") as client:
        client.headers["authorization"] = f"Bearer {secret}"
        yield Registry(client, tenant, stranger, f"com.example.a{tenant.hex}", pool, tokens, seal, box)
