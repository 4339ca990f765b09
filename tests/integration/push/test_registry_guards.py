"""What guards the registry: two tenants on every route, limits of app keys, no token in a log, quick plans."""

import io
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import pytest
import structlog

from channels.push.devices import touch_last_seen
from plumbing.cache import Cache
from plumbing.secrets import new_device_token
from tests.integration.push.fleet import Bridge, a_device, an_app
from tests.integration.push.registry import REGISTER, Registry, open_registry


@pytest.fixture
async def registry(hot_pool: asyncpg.Pool, cache: Cache, tenant: UUID) -> AsyncIterator[Registry]:
    async with open_registry(hot_pool, cache, tenant) as registry:
        await registry.app()
        yield registry


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """Everything that is logged."""
    text = io.StringIO()
    structlog.configure(logger_factory=structlog.WriteLoggerFactory(text))
    yield text
    structlog.reset_defaults()


async def test_no_route_shows_or_changes_what_is_another_tenants(registry: Registry) -> None:
    told = await registry.register(user="ada")
    device, bundle = told["device_id"], registry.bundle
    await registry.client.put(f"/api/v1/devices/{device}/topics/news")
    await registry.client.patch(f"/api/v1/devices/{device}", json={"is_valid": False})
    foreign = {"authorization": f"Bearer {registry.stranger}"}
    not_found: list[tuple[str, str, Any]] = [
        ("GET", f"/devices/{device}", None),
        ("PATCH", f"/devices/{device}", {"user": "eve"}),
        ("PATCH", f"/devices/{device}", {"is_valid": True}),
        ("PATCH", f"/devices/{device}", {"is_valid": False}),
        ("DELETE", f"/devices/{device}", None),
        ("GET", f"/devices/{device}/audit", None),
        ("GET", f"/devices/{device}/topics", None),
        ("PUT", f"/devices/{device}/topics/other", None),
        ("DELETE", f"/devices/{device}/topics/news", None),
        ("GET", "/topics/news", None),
        ("GET", f"/apps/{bundle}", None),
        ("POST", f"/apps/{bundle}/release-brake", None),
        ("POST", "/devices/register", {"app_bundle_id": bundle}),
    ]

    for method, path, body in not_found:
        answer = await registry.client.request(method, f"/api/v1{path}", json=body, headers=foreign)
        assert answer.status_code == 404, (method, path, answer.text)
    for path in ("/devices?user=ada", "/topics", "/apps", "/feedback"):
        assert (await registry.client.get(f"/api/v1{path}", headers=foreign)).json()["items"] == []
    told_bulk = await registry.client.post(
        "/api/v1/topics/news/subscriptions", json={"subscribe": [device], "unsubscribe": []}, headers=foreign
    )
    assert told_bulk.json()["unknown"] == [device]
    read = (await registry.get(f"/devices/{device}")).json()
    assert (read["user"], read["is_valid"]) == ("ada", False)
    assert [each["topic"] for each in (await registry.get(f"/devices/{device}/topics")).json()["items"]] == ["news"]


async def test_an_app_key_has_a_limit_of_its_own(hot_pool: asyncpg.Pool, cache: Cache, tenant: UUID) -> None:
    async with open_registry(hot_pool, cache, tenant, key_limit_per_s=1, key_limit_burst=3) as registry:
        app_key = await registry.app()
        headers = {"authorization": f"Bearer {app_key}"}
        statuses: list[int] = []

        while 429 not in statuses and len(statuses) < 100:
            answer = await registry.client.post(REGISTER, json={"app_bundle_id": registry.bundle}, headers=headers)
            statuses.append(answer.status_code)

        assert statuses[:3] == [201] * 3
        assert answer.json()["reason"] == "rate_limited"
        await registry.register(status=201)


async def test_without_redis_devices_register_move_and_go(hot_pool: asyncpg.Pool, redis_url: str, tenant: UUID) -> None:
    bridge = Bridge(urlsplit(redis_url).port or 0)
    await bridge.mend()
    cache = Cache.open(redis_url.replace(f":{urlsplit(redis_url).port}", f":{bridge.port}"))
    async with open_registry(hot_pool, cache, tenant) as registry:
        await registry.app()
        await bridge.cut()

        told = await registry.register(user="ada", status=201)
        await registry.register(token=told["token"], user="bea", status=200)
        wanted = registry.seal.token_hash(told["token"])
        found = (await registry.tokens.find([wanted]))[wanted]
        gone = await registry.client.delete(f"/api/v1/devices/{told['device_id']}")

        assert [str(each.id) for each in found] == [told["device_id"]]
        assert told["gateways"] == []
        assert gone.status_code == 204
        assert (await registry.tokens.find([wanted]))[wanted] == []
    await cache.close()


async def test_no_token_and_no_key_stands_in_a_log_or_a_refusal(registry: Registry, written: io.StringIO) -> None:
    key, token, previous = await registry.app(), new_device_token(), new_device_token()
    told = await registry.register(key=key, token=token, status=201)
    bodies = [
        (await registry.client.post(REGISTER, json={"app_bundle_id": registry.bundle, "token": token + "0"})).text,
        (await registry.client.post(REGISTER, json={"app_bundle_id": "no.app", "token": token})).text,
        (await registry.client.post(REGISTER, json={"token": token})).text,
        str(
            await registry.register(
                key=key, device_id=told["device_id"], token=previous, previous_token=previous, status=403
            )
        ),
        (await registry.get(f"/devices/{token}")).text,
        (await registry.get("/devices", user="ada", token=token)).text,
    ]

    for secret in (token, previous, key):
        assert secret not in written.getvalue()
        assert not [body for body in bodies if secret in body]
    assert "token.registered" in written.getvalue()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"app_bundle_id": "a", "app_bundle_id": "b"}', 400),
        (b'{"app_bundle_id": "a\\u0000"}', 422),
        (b'{"app_bundle_id": NaN}', 422),
        (b'{"app_bundle_id": "a", "user": "\\ud800"}', 422),
        (b"[]", 422),
        (b"{", 400),
        (b'{"app_bundle_id": "a"}' + b" " * 300_000, 413),
    ],
)
async def test_bad_json_is_refused_as_everywhere(registry: Registry, body: bytes, status: int) -> None:
    answer = await registry.client.post(REGISTER, content=body, headers={"content-type": "application/json"})

    assert answer.status_code == status


@pytest.mark.parametrize(
    "body",
    [
        {"platform": None},
        {"is_valid": None},
        {"is_valid": True, "user": "ada"},
        {"reason": "reported"},
        {"is_valid": False, "reason": "stale"},
        {"token": "ab" * 32},
        {"device_info": {"a": "x" * 5000}},
    ],
)
async def test_a_change_that_makes_no_sense_changes_nothing(registry: Registry, body: dict[str, Any]) -> None:
    device = (await registry.register())["device_id"]
    before = (await registry.get(f"/devices/{device}")).json()

    answer = await registry.client.patch(f"/api/v1/devices/{device}", json=body)

    assert answer.status_code == 422
    assert (await registry.get(f"/devices/{device}")).json() == before


@pytest.mark.parametrize(
    ("facts", "pointer"),
    [
        ({"web_origins": ["https://a.example/path"]}, "/web_origins"),
        ({"web_origins": ["https://*.example"]}, "/web_origins"),
        ({"web_origins": ["null"]}, "/web_origins"),
        ({"web_origins": ["https://u:p@a.example"]}, "/web_origins"),
        ({"web_origins": ["https://a.example:99999"]}, "/web_origins"),
        ({"expires_in_s": 31 * 86_400}, "/expires_in_s"),
        ({"overflow": "explode"}, "/overflow"),
        ({"silent_per_hour": -1}, "/silent_per_hour"),
        ({"names_users": "yes"}, "/names_users"),
        ({"app_key": "cn_app_mine"}, "/app_key"),
    ],
)
async def test_an_app_that_cannot_be_is_refused(registry: Registry, facts: dict[str, Any], pointer: str) -> None:
    answer = await registry.client.put(f"/api/v1/apps/{registry.bundle}", json=facts)

    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)


async def test_an_app_keeps_its_key_when_it_changes(registry: Registry) -> None:
    first = (await registry.get(f"/apps/{registry.bundle}")).json()

    changed = await registry.client.put(
        f"/api/v1/apps/{registry.bundle}",
        json={"web_origins": ["HTTPS://Shop.Example:443", "http://localhost:8080"], "silent_per_hour": 3},
    )

    assert changed.status_code == 200
    assert changed.json()["app_key"] == first["app_key"]
    assert changed.json()["web_origins"] == ["https://shop.example", "http://localhost:8080"]
    assert [each["bundle_id"] for each in (await registry.get("/apps")).json()["items"]] == [registry.bundle]


async def test_a_seen_device_is_written_once_in_five_minutes(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    device = await a_device(hot_pool, await an_app(hot_pool, tenant))

    async def seen() -> object:
        await touch_last_seen(hot_pool, [device])
        return await hot_pool.fetchval("SELECT last_seen_at FROM devices WHERE id = $1", device)

    first = await seen()
    assert first is not None
    assert await seen() == first
    await hot_pool.execute("UPDATE devices SET last_seen_at = now() - interval '6 min' WHERE id = $1", device)
    assert await seen() != first


async def test_valid_tokens_of_an_app_are_counted_by_their_partial_index(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    app = await an_app(hot_pool, tenant)
    await hot_pool.execute(
        "INSERT INTO devices (id, tenant_id, app_id, bundle_id, token_hash, platform, invalidated_at) "
        "SELECT gen_random_uuid(), $1, $2, 'com.example.many', sha256(n::text::bytea), 'ios', "
        "CASE WHEN n % 2 = 0 THEN now() END FROM generate_series(1, 2000) n",
        tenant,
        app,
    )
    await hot_pool.execute("ANALYZE devices")

    plan = await hot_pool.fetch(
        "EXPLAIN SELECT count(*) FROM (SELECT 1 FROM devices WHERE app_id = $1 AND invalidated_at IS NULL LIMIT 100) v",
        app,
    )
    by_token = await hot_pool.fetch("EXPLAIN SELECT id FROM devices WHERE token_hash = ANY ($1::bytea[])", [b"x" * 32])

    assert "ix_devices_app_id_valid" in str(plan)
    assert "uq_devices_token_hash_bundle_id" in str(by_token)
