"""A person with a mark: the same rare word in every column, key and document that can tell of a person."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import httpx2
import msgspec
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from api.app import create_app
from api.dependencies import House
from channels.push.apps import Apps
from channels.push.presence import Presence
from channels.push.tokens import Tokens
from domain.clock import utc_now
from domain.delivery import DeliveryStatus
from domain.ids import delivery_id, uuid7
from domain.lanes import Channel
from fanout.accept import Intake
from fanout.batch import Batcher
from fanout.limits import Policy
from plumbing.cache import Cache
from plumbing.limiter import Limiter
from plumbing.secrets import Box, Seal
from preferences.categories import Categories
from templates.catalog import Catalog
from tests.builders import SECRET_KEY
from tests.integration.api.doors import SECRET, KeyRing, make_house
from tests.integration.push.registry import NoNodes
from tracking.dead import letters
from tracking.dead.letters import DeadLetter
from tracking.dead.trail import Act, Note, note
from tracking.events import EventKind
from tracking.rows import OutboxRow

MANY = Policy(key_per_s=10_000, key_burst=100_000, user_per_hour=10_000, user_burst=1_000)


@dataclass
class Stage:
    """A client with every scope, and what stands behind it."""

    client: httpx2.AsyncClient
    house: House
    pool: asyncpg.Pool
    redis: Redis
    tenant: UUID
    mark: str = field(default_factory=lambda: f"zz{uuid7().hex}")

    @property
    def user(self) -> str:
        return f"user-{self.mark}"

    @property
    def path(self) -> str:
        return f"/api/v1/users/{self.user}"

    async def call(self, method: str, path: str, document: Any = None) -> httpx2.Response:
        """A call that must succeed."""
        answer = await self.client.request(method, path, json=document)
        assert answer.is_success, answer.text
        return answer

    async def send(self, **wishes: Any) -> UUID:
        """One notification to the person, accepted by the real accept."""
        wish = {"to": self.user, "content": {"title": "Hello", "body": self.mark}} | wishes
        return UUID((await self.call("POST", "/api/v1/notifications", wish)).json()["id"])

    async def found_in(self, table: str) -> list[str]:
        """The rows of a table that show the mark, as text or in bytes."""
        rows = await self.pool.fetch(
            f"SELECT t::text AS row FROM {table} t"
            " WHERE t::text LIKE '%' || $1 || '%' OR t::text LIKE '%' || $2 || '%'",
            self.mark,
            self.mark.encode().hex(),
        )
        return [row["row"] for row in rows]

    async def marked(self, table: str, column: str) -> bool:
        """Whether a column of a table shows the mark anywhere."""
        found: bool = await self.pool.fetchval(
            f"SELECT EXISTS (SELECT 1 FROM {table} t WHERE t.{column}::text LIKE '%' || $1 || '%'"
            f" OR t.{column}::text LIKE '%' || $2 || '%')",
            self.mark,
            self.mark.encode().hex(),
        )
        return found

    async def found_in_redis(self) -> list[bytes]:
        """Keys whose name or value shows the mark."""
        found = []
        async for key in self.redis.scan_iter():
            kind = await self.redis.type(key)
            value: Any = b""
            if kind == b"string":
                value = await self.redis.get(key)
            elif kind == b"hash":
                value = await self.redis.hgetall(key)
            elif kind == b"set":
                value = await self.redis.smembers(key)
            elif kind == b"zset":
                value = await self.redis.zrange(key, 0, -1)
            if self.mark in repr(key) + repr(value):
                found.append(key)
        return found


@asynccontextmanager
async def open_stage(
    pool: asyncpg.Pool, engine: AsyncEngine, cache: Cache, redis_url: str, tenant: UUID
) -> AsyncIterator[Stage]:
    """A house whose accept is real too; what it would publish is dropped."""
    ring, seal = KeyRing(), Seal(SECRET_KEY)
    ring.add(SECRET, tenant_id=tenant)
    intake = Intake(pool, cache, Limiter(cache), seal, Catalog.shipped(), Categories(), MANY)
    batcher = Batcher(intake, _published)
    batcher.open()
    house = make_house(
        batcher,
        ring,
        hot_pool=pool,
        read_pool=pool,
        engine=engine,
        cache=cache,
        categories=Categories(),
        apps=Apps(pool),
        tokens=Tokens(pool, cache),
        presence=Presence(cache),
        box=Box(SECRET_KEY),
        nodes=NoNodes(),
        seal=seal,
    )
    transport = httpx2.ASGITransport(create_app(house))
    async with (
        httpx2.AsyncClient(transport=transport, base_url="http://carillon") as client,
        Redis.from_url(redis_url) as redis,
    ):
        client.headers["authorization"] = f"Bearer {SECRET}"
        yield Stage(client, house, pool, redis, tenant)
    await batcher.close()


async def _published(rows: Sequence[OutboxRow]) -> set[UUID]:
    return {row.id for row in rows}


async def make_person(stage: Stage) -> list[UUID]:
    """The person with addresses, choices, a device, topics, a letter, a suppression, and two notifications."""
    mark, bundle = stage.mark, f"com.example.a{stage.tenant.hex}"
    facts = {"email": f"{mark}@example.org", "phone": "+33612345678", "name": mark, "attributes": {"note": mark}}
    await stage.call("PUT", stage.path, facts)
    await stage.call("PUT", f"{stage.path}/preferences", {"categories": {f"c-{mark}": False}})
    await stage.call("POST", "/api/v1/suppressions", {"email": f"{mark}@example.org", "category": "marketing"})
    await stage.call("PUT", f"/api/v1/apps/{bundle}", {})
    wish = {"app_bundle_id": bundle, "user": stage.user, "platform": "ios", "device_info": {"name": mark}}
    device = (await stage.call("POST", "/api/v1/devices/register", wish)).json()["device_id"]
    await stage.call("PUT", f"/api/v1/devices/{device}/topics/t-{mark}")
    alone = {"to": {"email": f"{mark}@example.org"}, "content": {"title": "Hello", "body": "you"}}
    await stage.call("POST", "/api/v1/notifications", alone)
    sent = [
        await stage.send(channels=["email", "push"], collapse_id=f"k-{mark}", dedupe_key=mark, category="security")
        for _ in range(2)
    ]
    await _make_past(stage, sent[0], UUID(device))
    return sent


async def _make_past(stage: Stage, notification: UUID, device: UUID) -> None:
    """What workers, providers and devices add, and columns that no request fills with just any word."""
    mark, now = stage.mark, utc_now()
    email, push = delivery_id(notification, 1), delivery_id(notification, 2)
    pool = stage.pool
    await pool.execute(
        "UPDATE users SET locale = $2, timezone = $2 WHERE tenant_id = $1 AND external_id = $3",
        stage.tenant,
        mark,
        stage.user,
    )
    await pool.execute(
        "UPDATE preference_history SET evidence = $3::text::jsonb"
        " WHERE user_id = (SELECT id FROM users WHERE tenant_id = $1 AND external_id = $2)",
        stage.tenant,
        stage.user,
        f'{{"ip": "{mark}"}}',
    )
    gates = [{"gate": "quiet_hours", "verdict": "pass", "inputs": {"timezone": mark}}]
    await pool.execute(
        "UPDATE notifications SET reference = $2, locale = $2, decisions = $3 WHERE id = $1",
        notification,
        mark,
        msgspec.json.encode({"gates": gates, "plan": []}),
    )
    await pool.execute(
        "UPDATE deliveries SET status = $2, provider_id = $3 WHERE id = $1", email, DeliveryStatus.FAILED.code, mark
    )
    detail = {"status": "failed", "reason": "address_rejected", "answer": f"550 <{mark}@example.org> is nobody\0"}
    await pool.execute(
        "INSERT INTO events (delivery_id, at, kind, attempt, detail) VALUES ($1, $2, $3, 1, $4)",
        email,
        now,
        EventKind.ATTEMPT_FAILED.code,
        msgspec.json.encode(detail),
    )
    await _make_letter(stage, email)
    await pool.execute("UPDATE deliveries SET status = $2 WHERE id = $1", push, DeliveryStatus.STORED.code)
    await pool.execute(
        "INSERT INTO mailbox (delivery_id, tenant_id, device_id, wake, fold, topic, payload, not_before, expires_at)"
        " VALUES ($1, $2, $3, 10, $4, $4, $5, $6, $7)",
        push,
        stage.tenant,
        device,
        f"c:{mark}",
        msgspec.json.encode({"aps": {"alert": mark}}),
        now,
        now + timedelta(hours=1),
    )


async def _make_letter(stage: Stage, email: UUID) -> None:
    """A dead letter that somebody has edited."""
    mark, pool = stage.mark, stage.pool
    letter = DeadLetter("template_error", mark, f"email|{mark}|x@1", {"seen": mark}, stage.tenant, email, Channel.EMAIL)
    await letters.archive(pool, [letter])
    letter_id = await pool.fetchval("SELECT id FROM dead_letters WHERE delivery_id = $1", email)
    await pool.execute(
        "INSERT INTO dead_letter_edits (letter_id, version, tenant_id, data, expires_at, created_by)"
        " VALUES ($1, 0, $2, $3, $4, 'carillon')",
        letter_id,
        stage.tenant,
        msgspec.json.encode({"title": mark}),
        utc_now(),
    )
    diff: list[dict[str, Any]] = [{"op": "add", "path": "/data/name", "value": mark}]
    await note(pool, stage.tenant, [Note(letter_id, Act.EDITED, None, diff)], who="cn_live_kkkk")
