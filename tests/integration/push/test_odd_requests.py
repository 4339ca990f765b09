"""Odd values in every field, path and query of the registry's routes: refused with a pointer, never a fault of ours."""

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from plumbing.cache import Cache
from tests.integration.push.registry import Registry, open_registry

ODD: list[Any] = [
    None,
    True,
    0,
    -1,
    1.5,
    2**63 - 1,
    2**64,
    "",
    " ",
    "\0",
    "\ud800",
    "\u2028",
    "x" * 5000,
    "../..",
    "%00",
    str(uuid4()),
    str(uuid4()).upper(),
    [],
    {},
    [None],
    [[]],
    {"a": {"b": [1]}},
    {"\0": 1},
]
DEVICE = "00000000-0000-7000-8000-000000000001"
BODIES: list[tuple[str, str, dict[str, Any]]] = [
    (
        "PUT",
        "/apps/com.example.odd",
        dict.fromkeys(["web_origins", "expires_in_s", "overflow", "silent_per_hour", "names_users", "nonsense"]),
    ),
    (
        "POST",
        "/devices/register",
        dict.fromkeys(
            [
                "app_bundle_id",
                "token",
                "provider",
                "user",
                "platform",
                "region",
                "device_info",
                "device_id",
                "previous_token",
            ]
        ),
    ),
    ("PATCH", f"/devices/{DEVICE}", dict.fromkeys(["user", "platform", "region", "device_info", "is_valid", "reason"])),
    ("PUT", "/topics/odd", dict.fromkeys(["storage"])),
    ("POST", "/topics/odd/subscriptions", dict.fromkeys(["subscribe", "unsubscribe"])),
]
PATHS = [
    "/apps/{}",
    "/devices/{}",
    "/devices/{}/audit",
    "/devices/{}/topics",
    "/topics/{}",
    "/devices?user={}",
    "/devices?user=a&cursor={}",
    "/devices?user=a&limit={}",
    "/feedback?cursor={}",
    "/feedback?app_bundle_id={}",
    "/topics?cursor={}",
    "/apps?cursor={}",
    "/apps?nonsense={}",
]
SEGMENTS = ["%00", "%ff", "%ED%A0%80", "a%2Fb", "x" * 3000, "-1", "0", "é", "%20", "1.5", "{}", "a%0ab", "null"]


@pytest.fixture
async def registry(hot_pool: asyncpg.Pool, cache: Cache, tenant: UUID) -> AsyncIterator[Registry]:
    async with open_registry(hot_pool, cache, tenant) as registry:
        await registry.app()
        yield registry


@pytest.mark.parametrize(
    ("method", "path", "fields"), BODIES, ids=lambda value: value if isinstance(value, str) else ""
)
async def test_odd_values_are_no_fault_of_ours(
    registry: Registry, method: str, path: str, fields: dict[str, Any]
) -> None:
    right = {"app_bundle_id": registry.bundle} if path.endswith("register") else {}
    statuses = set()

    for name in fields:
        for value in ODD:
            answer = await registry.client.request(
                method,
                f"/api/v1{path}",
                content=json.dumps(right | {name: value}).encode(),
                headers={"content-type": "application/json"},
            )
            statuses.add(answer.status_code)
            assert answer.status_code < 500, (name, value, answer.text)
            if answer.status_code == 422:
                assert answer.json()["errors"], (name, value, answer.text)

    assert statuses & {422}


async def test_odd_paths_and_queries_are_no_fault_of_ours(registry: Registry) -> None:
    for path in PATHS:
        for segment in SEGMENTS:
            answer = await registry.client.get(f"/api/v1{path.format(segment)}")
            assert answer.status_code in {200, 400, 404, 414, 422}, (path, segment, answer.text)
    for segment in SEGMENTS:
        answer = await registry.client.put(f"/api/v1/devices/{DEVICE}/topics/{segment}")
        assert answer.status_code in {400, 404, 414, 422}, (segment, answer.text)
