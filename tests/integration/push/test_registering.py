"""Devices make themselves known: new, again, with another token, as somebody else's; and what nobody may do."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from plumbing.cache import Cache
from plumbing.secrets import new_device_token
from tests.integration.push.registry import REGISTER, Registry, open_registry


@pytest.fixture
async def registry(hot_pool: asyncpg.Pool, cache: Cache, tenant: UUID) -> AsyncIterator[Registry]:
    async with open_registry(hot_pool, cache, tenant) as registry:
        await registry.app()
        yield registry


async def audited(registry: Registry, device: str) -> list[str]:
    answer = await registry.get(f"/devices/{device}/audit")
    return [line["operation"] for line in answer.json()["items"]][::-1]


async def known(registry: Registry, token: str) -> list[str]:
    """The devices that a look-up of this token finds now."""
    wanted = registry.seal.token_hash(token)
    return [str(each.id) for each in (await registry.tokens.find([wanted]))[wanted] if each.is_valid]


async def test_a_device_without_a_token_gets_one_that_is_shown_once(registry: Registry) -> None:
    told = await registry.register(status=201)

    assert len(bytes.fromhex(told["token"])) == 32
    assert told["token_hash"] == registry.seal.token_hash(told["token"]).hex()
    assert await known(registry, told["token"]) == [told["device_id"]]
    read = (await registry.get(f"/devices/{told['device_id']}")).json()
    assert told["token"] not in str(read)
    assert (read["is_valid"], read["user"], read["platform"]) == (True, None, "unknown")


async def test_registering_twice_keeps_the_device_and_changes_what_is_said(registry: Registry) -> None:
    token = new_device_token()
    first = await registry.register(token=token, user="ada", platform="iOS", region="eu", status=201)
    version = await registry.version("ada")

    again = await registry.register(token=token.upper(), region="us", status=200)

    assert again["device_id"] == first["device_id"]
    assert again["token"] is None
    read = (await registry.get(f"/devices/{first['device_id']}")).json()
    assert (read["user"], read["platform"], read["region"]) == ("ada", "ios", "us")
    assert await registry.version("ada") == version
    assert await audited(registry, first["device_id"]) == ["registered"]


async def test_a_token_registered_a_hundred_times_at_once_is_one_device(registry: Registry) -> None:
    token = new_device_token()

    told = await asyncio.gather(*(registry.register(token=token, user="ada") for _ in range(100)))

    assert len({each["device_id"] for each in told}) == 1


async def test_a_negative_answer_does_not_survive_a_registration(registry: Registry) -> None:
    token = new_device_token()
    assert await known(registry, token) == []

    told = await registry.register(token=token)

    assert await known(registry, token) == [told["device_id"]]


async def test_a_refreshed_device_keeps_its_id_and_loses_its_old_token(registry: Registry) -> None:
    first = await registry.register(user="ada")
    assert await known(registry, first["token"]) == [first["device_id"]]
    version, new = await registry.version("ada"), new_device_token()

    told = await registry.register(device_id=first["device_id"], token=new, status=200)

    assert told["device_id"] == first["device_id"]
    assert (await known(registry, first["token"]), await known(registry, new)) == ([], [told["device_id"]])
    assert await registry.version("ada") > version
    assert await audited(registry, first["device_id"]) == ["registered", "refreshed"]


async def test_a_refresh_without_a_token_mints_one(registry: Registry) -> None:
    first = await registry.register()

    told = await registry.register(device_id=first["device_id"], status=200)

    assert told["token"] not in {None, first["token"]}
    assert await known(registry, told["token"]) == [first["device_id"]]


async def test_a_device_that_moves_to_another_user_raises_both_versions(registry: Registry) -> None:
    first = await registry.register(user="ada")
    await registry.register(user="bea")
    before = [await registry.version(user) for user in ("ada", "bea")]

    await registry.register(token=first["token"], user="bea", status=200)

    assert [await registry.version(user) for user in ("ada", "bea")] == [before[0] + 1, before[1] + 1]
    assert len((await registry.get("/devices", user="bea")).json()["items"]) == 2
    assert (await registry.get("/devices", user="ada")).json()["items"] == []
    assert await audited(registry, first["device_id"]) == ["registered", "transferred"]


async def test_two_devices_that_change_places_at_once_do_not_deadlock(registry: Registry) -> None:
    one, two = await registry.register(user="ada"), await registry.register(user="bea")

    for _ in range(10):
        await asyncio.gather(
            registry.register(token=one["token"], user="bea"), registry.register(token=two["token"], user="ada")
        )
        await asyncio.gather(
            registry.register(token=one["token"], user="ada"), registry.register(token=two["token"], user="bea")
        )


async def test_a_token_of_another_tenants_same_named_app_is_refused(registry: Registry) -> None:
    token = new_device_token()
    await registry.register(token=token)
    headers = {"authorization": f"Bearer {registry.stranger}"}
    await registry.client.put(f"/api/v1/apps/{registry.bundle}", json={}, headers=headers)

    refusal = await registry.register(token=token, key=registry.stranger, status=409)

    assert refusal["reason"] == "token_taken"


async def test_a_token_that_another_device_of_the_app_has_is_refused(registry: Registry) -> None:
    one, two = await registry.register(), await registry.register()

    refusal = await registry.register(device_id=one["device_id"], token=two["token"], status=409)

    assert refusal["reason"] == "token_taken"
    assert await known(registry, one["token"]) == [one["device_id"]]


async def test_an_unknown_app_and_a_device_of_another_tenant_are_not_found(registry: Registry) -> None:
    device = await registry.register()

    await registry.register(app_bundle_id="com.example.nobody", status=404)
    await registry.register(device_id=str(uuid4()), status=404)
    await registry.register(key=registry.stranger, status=404)
    headers = {"authorization": f"Bearer {registry.stranger}"}
    await registry.client.put(f"/api/v1/apps/{registry.bundle}", json={}, headers=headers)
    await registry.register(key=registry.stranger, device_id=device["device_id"], status=404)


async def test_an_app_key_registers_and_refreshes_devices_of_its_app(registry: Registry) -> None:
    key = await registry.app()

    told = await registry.register(key=key, status=201)
    new = new_device_token()
    await registry.register(key=key, device_id=told["device_id"], token=new, previous_token=told["token"], status=200)

    assert await known(registry, new) == [told["device_id"]]


async def test_an_app_key_gives_no_device_a_token_without_its_present_one(registry: Registry) -> None:
    key, told = await registry.app(), await registry.register(user="ada")

    for proof in ({}, {"previous_token": new_device_token()}):
        refusal = await registry.register(key=key, device_id=told["device_id"], status=403, **proof)
        assert refusal["reason"] == "proof_missing"

    assert await known(registry, told["token"]) == [told["device_id"]]


async def test_an_app_key_names_no_user_unless_its_app_may(registry: Registry) -> None:
    key = await registry.app()
    await registry.register(user="ada")

    refusals = [await registry.register(key=key, user=user, status=403) for user in ("ada", "nobody")]

    assert [each["reason"] for each in refusals] == ["user_needs_server_key"] * 2
    assert len((await registry.get("/devices", user="ada")).json()["items"]) == 1


async def test_an_app_that_names_users_names_known_ones_and_moves_no_device(registry: Registry) -> None:
    key = await registry.app(names_users=True)
    await registry.register(user="ada")
    await registry.register(user="bea")

    told = await registry.register(key=key, user="ada", status=201)
    again = await registry.register(key=key, token=told["token"], user="ada", status=200)
    moved = await registry.register(key=key, token=told["token"], user="bea", status=403)
    unknown = await registry.register(key=key, user="nobody", status=422)

    assert again["device_id"] == told["device_id"]
    assert (moved["reason"], unknown["reason"]) == ("user_needs_server_key", "unknown_recipient")


async def test_an_app_key_opens_nothing_else(registry: Registry) -> None:
    key, told = await registry.app(), await registry.register()
    await registry.app("com.example.other")
    headers = {"authorization": f"Bearer {key}"}

    answers = [
        await registry.client.get(f"/api/v1/devices/{told['device_id']}", headers=headers),
        await registry.client.delete(f"/api/v1/devices/{told['device_id']}", headers=headers),
        await registry.client.get("/api/v1/apps", headers=headers),
        await registry.client.get("/api/v1/feedback", headers=headers),
        await registry.client.post(REGISTER, json={"app_bundle_id": "com.example.other"}, headers=headers),
    ]

    assert [answer.status_code for answer in answers] == [403] * 5
    assert (await registry.register(key="cn_app_" + "x" * 32, status=401))["reason"] == "invalid_key"


async def test_a_suspended_device_that_registers_again_is_valid_again(registry: Registry) -> None:
    told = await registry.register(user="ada")
    await registry.client.patch(f"/api/v1/devices/{told['device_id']}", json={"is_valid": False})
    assert await known(registry, told["token"]) == []

    await registry.register(token=told["token"], status=200)

    assert await known(registry, told["token"]) == [told["device_id"]]
    assert await audited(registry, told["device_id"]) == ["registered", "invalidated", "restored"]


async def test_a_foreign_token_is_kept_sealed(registry: Registry) -> None:
    told = await registry.register(provider="fcm", token="fX:APA91b_secret-part")

    row = await registry.pool.fetchrow(
        "SELECT provider, token_sealed FROM devices WHERE id = $1", UUID(told["device_id"])
    )

    assert row["provider"] == "fcm"
    assert b"secret-part" not in row["token_sealed"]
    assert registry.box.open(registry.tenant, row["token_sealed"]) == b"fX:APA91b_secret-part"
    assert await registry.register(provider="fcm", status=422)


@pytest.mark.parametrize(
    ("facts", "pointer"),
    [
        ({"token": "abc"}, "/token"),
        ({"token": "zz" * 32}, "/token"),
        ({"token": "ab" * 201}, "/token"),
        ({"token": "ab" * 7}, "/token"),
        ({"token": ""}, "/token"),
        ({"token": 5}, "/token"),
        ({"user": ""}, "/user"),
        ({"platform": "a b"}, "/platform"),
        ({"region": "\n"}, "/region"),
        ({"provider": "telegraph"}, "/provider"),
        ({"device_info": {"a": "x" * 5000}}, "/device_info"),
        ({"device_info": []}, "/device_info"),
        ({"device_id": "1"}, "/device_id"),
        ({"app_bundle_id": "../etc"}, "/app_bundle_id"),
        ({"tenant_id": "x"}, "/tenant_id"),
    ],
)
async def test_what_cannot_be_kept_is_refused(registry: Registry, facts: dict[str, Any], pointer: str) -> None:
    refusal = await registry.register(status=422, **facts)

    assert refusal["errors"][0]["pointer"] == pointer
    assert len(str(facts.get("token", ""))) < 6 or str(facts["token"]) not in str(refusal)


async def test_a_user_that_cannot_be_is_refused_before_anything_is_written(registry: Registry) -> None:
    for user in ("a\0b", "a\nb", "x" * 256):
        await registry.register(user=user, status=422)

    assert await registry.pool.fetchval("SELECT count(*) FROM users WHERE tenant_id = $1", registry.tenant) == 0
