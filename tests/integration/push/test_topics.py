"""Topics: declared by use, counted, subscribed to once however often, by one device or a thousand."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from channels.push import topics
from domain.ids import uuid7
from plumbing.cache import Cache
from tests.integration.push.registry import Registry, open_registry


@pytest.fixture
async def registry(hot_pool: asyncpg.Pool, cache: Cache, tenant: UUID) -> AsyncIterator[Registry]:
    async with open_registry(hot_pool, cache, tenant) as registry:
        await registry.app()
        yield registry


async def put(registry: Registry, device: str, topic: str = "news") -> int:
    while (answer := await registry.client.put(f"/api/v1/devices/{device}/topics/{topic}")).status_code == 503:
        await asyncio.sleep(0.1)  # many at once on a slow machine: it says come again
    return answer.status_code


async def bulk(registry: Registry, topic: str = "news", **asked: Any) -> dict[str, Any]:
    answer = await registry.client.post(f"/api/v1/topics/{topic}/subscriptions", json=asked)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def subscribers(registry: Registry, topic: str = "news") -> int:
    count: int = (await registry.get(f"/topics/{topic}")).json()["subscribers"]
    return count


async def devices(registry: Registry, count: int) -> list[str]:
    return [(await registry.register())["device_id"] for _ in range(count)]


async def test_subscribing_is_idempotent_and_declares_the_topic(registry: Registry) -> None:
    [device] = await devices(registry, 1)
    assert (await registry.get("/topics/news")).status_code == 404

    assert [await put(registry, device) for _ in range(3)] == [201, 200, 200]

    told = (await registry.get("/topics/news")).json()
    assert (told["topic"], told["storage"], told["subscribers"]) == ("news", "most_recent", 1)
    listed = (await registry.get(f"/devices/{device}/topics")).json()
    assert [each["topic"] for each in listed["items"]] == ["news"]


async def test_unsubscribing_is_idempotent_and_the_topic_stays(registry: Registry) -> None:
    [device] = await devices(registry, 1)
    await put(registry, device)

    path = f"/api/v1/devices/{device}/topics/news"
    answers = [(await registry.client.delete(path)).status_code for _ in range(2)]

    assert answers == [204, 204]
    assert await subscribers(registry) == 0


async def test_fifty_subscriptions_at_once_are_one(registry: Registry) -> None:
    [device] = await devices(registry, 1)

    answers = await asyncio.gather(*(put(registry, device) for _ in range(50)))

    assert sorted(answers) == [200] * 49 + [201]
    assert await subscribers(registry) == 1


async def test_a_topic_is_declared_with_what_it_keeps(registry: Registry) -> None:
    path = "/api/v1/topics/scores"

    made = await registry.client.put(path, json={"storage": "none"})
    changed = await registry.client.put(path, json={})

    assert (made.status_code, made.json()["storage"]) == (201, "none")
    assert (changed.status_code, changed.json()["storage"]) == (200, "most_recent")


async def test_a_thousand_devices_are_put_on_a_topic_and_taken_off(registry: Registry) -> None:
    ids = [uuid7() for _ in range(1000)]
    await registry.pool.execute(
        "INSERT INTO devices (id, tenant_id, app_id, bundle_id, token_hash, platform) "
        "SELECT x.id, tenant_id, a.id, bundle_id, sha256(x.id::text::bytea), 'ios' "
        "FROM apps a, unnest($1::uuid[]) x(id) WHERE a.bundle_id = $2",
        ids,
        registry.bundle,
    )
    nobody, names = str(uuid4()), [str(each) for each in ids]

    told = await bulk(registry, subscribe=[*names[:999], nobody])
    again = await bulk(registry, subscribe=names[:10])
    off = await bulk(registry, subscribe=names[999:], unsubscribe=[*names[:500], nobody])

    assert told == {"subscribed": 999, "unsubscribed": 0, "full": [], "unknown": [nobody]}
    assert again["subscribed"] == 0
    assert off == {"subscribed": 1, "unsubscribed": 500, "full": [], "unknown": [nobody]}
    assert await subscribers(registry) == 500


async def test_a_device_has_only_so_many_topics(registry: Registry) -> None:
    [device] = await devices(registry, 1)
    await registry.pool.execute(
        "INSERT INTO topic_subscriptions (device_id, topic, tenant_id)"
        " SELECT $1, 'old-' || n, $2 FROM generate_series(3, $3::int) n",
        UUID(device),
        registry.tenant,
        topics.MAX_OF_DEVICE,
    )

    assert [await put(registry, device, topic) for topic in ("a", "b", "c", "a")] == [201, 201, 422, 200]

    told = await bulk(registry, "d", subscribe=[device])
    assert told["full"] == [device]
    kept = "SELECT count(*) FROM topic_subscriptions WHERE device_id = $1"
    assert await registry.pool.fetchval(kept, UUID(device)) == topics.MAX_OF_DEVICE


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [
        ({"subscribe": [str(uuid4()) for _ in range(1001)]}, "/subscribe"),
        ({"subscribe": ["x"]}, "/subscribe/0"),
        ({"subscribe": "x"}, "/subscribe"),
        ({"nonsense": []}, "/nonsense"),
        ({"subscribe": [str(UUID(int=1))], "unsubscribe": [str(UUID(int=1))]}, "/unsubscribe"),
    ],
)
async def test_nonsense_is_refused(registry: Registry, asked: dict[str, Any], pointer: str) -> None:
    answer = await registry.client.post("/api/v1/topics/news/subscriptions", json=asked)

    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)


@pytest.mark.parametrize("name", ["a b", "x" * 101, "-a", "é", "a%00b", "a%2Fb"])
async def test_a_topic_has_a_plain_name(registry: Registry, name: str) -> None:
    assert (await registry.client.put(f"/api/v1/topics/{name}", json={})).status_code in {400, 404, 422}


async def test_topics_are_listed_by_name_in_pages(registry: Registry) -> None:
    for name in ("c", "a", "b"):
        await registry.client.put(f"/api/v1/topics/{name}", json={})

    first = (await registry.get("/topics", limit=2)).json()
    second = (await registry.get("/topics", limit=2, cursor=first["next_cursor"])).json()

    assert [each["topic"] for each in first["items"] + second["items"]] == ["a", "b", "c"]
    assert second["next_cursor"] is None
