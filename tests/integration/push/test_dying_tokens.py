"""Tokens that are said to be dead: suspended, reported, restored, braked, erased in the end; and what stays of them."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from channels.push import mailbox, validity
from channels.push.validity import LEAST_TO_BRAKE, Brake, Invalidated
from domain.clock import utc_now
from domain.delivery import DeliveryStatus
from domain.ids import notification_of, uuid7
from domain.reasons import Reason
from plumbing.cache import Cache
from tests.integration.push.people import Owner, a_letter, kept, pushes
from tests.integration.push.registry import Registry, open_registry

BRAKE = Brake(percent=10, window_s=600)


@pytest.fixture
async def registry(hot_pool: asyncpg.Pool, cache: Cache, tenant: UUID, engine: AsyncEngine) -> AsyncIterator[Registry]:
    async with open_registry(hot_pool, cache, tenant, engine=engine) as registry:
        await registry.app()
        yield registry


async def app_id_of(registry: Registry) -> UUID:
    found: UUID = await registry.pool.fetchval("SELECT id FROM apps WHERE bundle_id = $1", registry.bundle)
    return found


async def a_fleet(registry: Registry, size: int) -> list[UUID]:
    """So many valid devices, written as rows."""
    app = await app_id_of(registry)
    ids = [uuid7() for _ in range(size)]
    await registry.pool.execute(
        "INSERT INTO devices (id, tenant_id, app_id, bundle_id, token_hash, platform) "
        "SELECT x.id, $2, $3, $4, sha256(x.id::text::bytea), 'ios' FROM unnest($1::uuid[]) x(id)",
        ids,
        registry.tenant,
        app,
        registry.bundle,
    )
    return ids


async def dying(registry: Registry, ids: list[UUID], **wishes: object) -> Invalidated:
    async with registry.pool.acquire() as conn, conn.transaction():
        return await validity.invalidate(
            conn,
            ids,
            reason="unregistered",
            actor="system",
            brake=BRAKE,
            **wishes,  # type: ignore[arg-type]  # times only
        )


async def valid(registry: Registry) -> int:
    count: int = await registry.pool.fetchval(
        "SELECT count(*) FROM devices WHERE tenant_id = $1 AND invalidated_at IS NULL", registry.tenant
    )
    return count


async def suspend(registry: Registry, device: str, **why: str) -> int:
    answer = await registry.client.patch(f"/api/v1/devices/{device}", json={"is_valid": False} | why)
    return answer.status_code


async def test_a_suspended_device_is_reported_and_remembered_as_such(registry: Registry) -> None:
    told = await registry.register(user="ada")
    version = await registry.version("ada")

    status = await suspend(registry, told["device_id"], reason="unregistered")

    read = (await registry.get(f"/devices/{told['device_id']}")).json()
    assert (status, read["is_valid"], read["invalidation_reason"]) == (200, False, "unregistered")
    assert await registry.version("ada") == version + 1
    wanted = registry.seal.token_hash(told["token"])
    assert [each.is_valid for each in (await registry.tokens.find([wanted]))[wanted]] == [False]
    [died] = (await registry.get("/feedback")).json()["items"]
    assert (died["token_hash"], died["device_id"], died["app_bundle_id"], died["reason"]) == (
        wanted.hex(),
        told["device_id"],
        registry.bundle,
        "unregistered",
    )
    line = (await registry.get(f"/devices/{told['device_id']}/audit")).json()["items"][0]
    assert (line["operation"], line["reason"], line["token_prefix"]) == (
        "invalidated",
        "unregistered",
        wanted.hex()[:8],
    )
    assert line["actor"].startswith("cn_live_")


async def test_suspending_twice_reports_once(registry: Registry) -> None:
    told = await registry.register()

    assert [await suspend(registry, told["device_id"]) for _ in range(3)] == [200] * 3

    assert len((await registry.get("/feedback")).json()["items"]) == 1


async def test_a_restored_device_is_valid_and_keeps_its_id(registry: Registry) -> None:
    told = await registry.register(user="ada")
    await suspend(registry, told["device_id"])
    version = await registry.version("ada")

    await registry.client.patch(f"/api/v1/devices/{told['device_id']}", json={"is_valid": True})

    wanted = registry.seal.token_hash(told["token"])
    assert [each.is_valid for each in (await registry.tokens.find([wanted]))[wanted]] == [True]
    assert await registry.version("ada") == version + 1


async def test_news_from_before_a_registration_kills_nothing(registry: Registry) -> None:
    told = await registry.register()

    old = await dying(registry, [UUID(told["device_id"])], known_at=utc_now() - timedelta(minutes=1))
    new = await dying(registry, [UUID(told["device_id"])], known_at=utc_now() + timedelta(minutes=1))

    assert (old.device_ids, new.device_ids) == ([], [UUID(told["device_id"])])


@pytest.mark.parametrize(
    ("dead", "valid", "is_too_much"),
    [
        (19, 0, False),
        (20, 0, True),
        (20, 180, False),
        (20, 179, True),
        (21, 180, True),
        (100, 900, False),
        (101, 899, True),
    ],
)
def test_the_brake_knows_how_many_are_too_many(dead: int, valid: int, is_too_much: bool) -> None:
    assert BRAKE.is_too_much(dead, valid) is is_too_much
    assert BRAKE.is_too_much(dead, BRAKE.enough(dead)) is False


async def test_one_by_one_the_brake_comes_on_at_its_share_and_no_more_die(registry: Registry) -> None:
    fleet = await a_fleet(registry, 300)

    results = [await dying(registry, [device]) for device in fleet[:40]]

    assert [len(result.device_ids) for result in results] == [1] * 30 + [0] * 10
    assert await valid(registry) == 270
    assert (await registry.get(f"/apps/{registry.bundle}")).json()["braked_at"] is not None


async def test_a_batch_that_is_too_much_kills_nobody(registry: Registry) -> None:
    fleet = await a_fleet(registry, 100)

    result = await dying(registry, fleet[:50])

    assert result.device_ids == []
    assert result.braked == {await app_id_of(registry)}
    assert await valid(registry) == 100
    operations = await registry.pool.fetch(
        "SELECT operation, reason FROM token_audit WHERE tenant_id = $1 AND device_id IS NULL", registry.tenant
    )
    assert [tuple(row) for row in operations] == [("braked", "50 of 100 tokens within 600 s")]


async def test_many_at_once_count_each_other(registry: Registry) -> None:
    fleet = await a_fleet(registry, 250)

    results = await asyncio.gather(*(dying(registry, [device]) for device in fleet[: 8 * 8]), return_exceptions=True)

    died = sum(len(result.device_ids) for result in results if isinstance(result, Invalidated))
    assert died <= 25
    assert await valid(registry) == 250 - died


async def test_a_braked_app_says_so_until_it_is_released(registry: Registry) -> None:
    fleet = await a_fleet(registry, 40)
    await dying(registry, fleet)
    release = f"/api/v1/apps/{registry.bundle}/release-brake"

    refused = await registry.client.patch(f"/api/v1/devices/{fleet[0]}", json={"is_valid": False})
    released = await registry.client.post(release)
    again = await registry.client.patch(f"/api/v1/devices/{fleet[0]}", json={"is_valid": False})

    assert (refused.status_code, refused.json()["reason"]) == (409, "app_braked")
    assert (released.status_code, released.json()["braked_at"]) == (200, None)
    assert again.status_code == 200
    assert (await registry.client.post(release)).status_code == 200
    assert (await registry.client.post(release.replace(registry.bundle, "com.example.none"))).status_code == 404


async def test_a_brake_that_a_patch_pulls_stays_on(registry: Registry) -> None:
    fleet = await a_fleet(registry, LEAST_TO_BRAKE)
    await dying(registry, fleet[:-1])

    answer = await registry.client.patch(f"/api/v1/devices/{fleet[-1]}", json={"is_valid": False})

    assert answer.status_code == 409
    assert await registry.pool.fetchval("SELECT braked_at FROM apps WHERE bundle_id = $1", registry.bundle) is not None
    assert await valid(registry) == 1


async def _owner(registry: Registry) -> tuple[Owner, dict[str, str]]:
    told = await registry.register(user="ada")
    user = await registry.pool.fetchval(
        "SELECT id FROM users WHERE tenant_id = $1 AND external_id = 'ada'", registry.tenant
    )
    return Owner(registry.tenant, await app_id_of(registry), user, [UUID(told["device_id"])]), told


async def _waiting(registry: Registry, owner: Owner) -> UUID:
    """A push in the device's mailbox, and one that was delivered long ago; the id of the first."""
    waiting, delivered = pushes(owner, status=DeliveryStatus.QUEUED), pushes(owner, status=DeliveryStatus.QUEUED)
    [stored], [done] = await kept(registry.pool, waiting), await kept(registry.pool, delivered)
    for delivery, status in ((stored, DeliveryStatus.STORED), (done, DeliveryStatus.DELIVERED)):
        await registry.pool.execute("UPDATE deliveries SET status = $2 WHERE id = $1", delivery, status.code)
    async with registry.pool.acquire() as conn, conn.transaction():
        assert (await mailbox.store(conn, [a_letter(owner, stored)])).stored == {stored}
    return stored


async def _status(registry: Registry, delivery: UUID) -> tuple[int, int | None]:
    row = await registry.pool.fetchrow("SELECT status, reason FROM deliveries WHERE id = $1", delivery)
    return row["status"], row["reason"]


async def shown_device(registry: Registry, delivery: UUID) -> str | None:
    """The device of a delivery, as the API answers it."""
    [shown] = (await registry.get(f"/notifications/{notification_of(delivery)}")).json()["deliveries"]
    device: str | None = shown["device_id"]
    return device


async def counted(registry: Registry, table: str, column: str, value: UUID) -> int:
    """Rows of a table with this value."""
    count: int = await registry.pool.fetchval(
        f"SELECT count(*) FROM {table} WHERE {column} = $1", value
    )  # names of ours
    return count


async def test_erasing_a_device_keeps_the_rules_that_foreign_keys_would(registry: Registry) -> None:
    owner, told = await _owner(registry)
    stored = await _waiting(registry, owner)
    await registry.client.put(f"/api/v1/devices/{owner.device}/topics/news")
    version = await registry.version("ada")
    assert await shown_device(registry, stored) == told["device_id"]

    answers = [(await registry.client.delete(f"/api/v1/devices/{owner.device}")).status_code for _ in range(2)]

    assert answers == [204, 404]
    assert await counted(registry, "topic_subscriptions", "device_id", owner.device) == 0
    assert await counted(registry, "mailbox", "device_id", owner.device) == 0
    assert await _status(registry, stored) == (DeliveryStatus.CANCELLED.code, Reason.DEVICE_GONE.code)
    assert await counted(registry, "notifications", "user_id", owner.user_id) == 2
    assert await counted(registry, "deliveries", "user_id", owner.user_id) == 2
    assert await counted(registry, "events", "delivery_id", stored) >= 1
    assert await shown_device(registry, stored) is None
    assert await registry.version("ada") == version + 1
    wanted = registry.seal.token_hash(told["token"])
    assert await registry.tokens.find([wanted]) == {wanted: []}
    audit = (await registry.get(f"/devices/{owner.device}/audit")).json()["items"]
    assert audit[0]["operation"] == "erased"
    again = await registry.register(token=told["token"], status=201)
    assert again["device_id"] != told["device_id"]


async def test_what_waits_for_a_user_does_not_reach_the_next_one(registry: Registry) -> None:
    owner, told = await _owner(registry)
    stored = await _waiting(registry, owner)

    await registry.register(token=told["token"], user="bea")

    assert await _status(registry, stored) == (DeliveryStatus.CANCELLED.code, Reason.DEVICE_GONE.code)
    assert await counted(registry, "mailbox", "device_id", owner.device) == 0


@pytest.mark.parametrize("way", ["patch", "erase"])
async def test_what_waits_goes_when_the_user_leaves_the_device(registry: Registry, way: str) -> None:
    owner, _ = await _owner(registry)
    stored = await _waiting(registry, owner)

    if way == "patch":
        await registry.client.patch(f"/api/v1/devices/{owner.device}", json={"user": None})
    else:
        await registry.client.delete("/api/v1/users/ada")

    assert await _status(registry, stored) == (DeliveryStatus.CANCELLED.code, Reason.DEVICE_GONE.code)
    assert (await registry.get(f"/devices/{owner.device}")).json()["user"] is None
