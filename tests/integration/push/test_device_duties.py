"""What the scheduler does for devices: the stale are suspended, the suspended erased, braked apps counted."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from channels.push.staleness import FIRST, STALE_AFTER
from channels.push.validity import LEAST_TO_BRAKE
from domain.clock import utc_now
from domain.ids import uuid7
from plumbing.cache import Cache
from plumbing.push_metrics import BRAKED_APPS
from plumbing.secrets import new_device_token
from tests.integration.push.fleet import SEAL, a_device
from tests.integration.push.registry import Registry, open_registry
from tests.integration.push.test_dying_tokens import BRAKE, a_fleet, app_id_of, dying, valid
from workers.device_duties import DeviceDuties


@pytest.fixture
async def registry(hot_pool: asyncpg.Pool, cache: Cache, tenant: UUID) -> AsyncIterator[Registry]:
    async with open_registry(hot_pool, cache, tenant) as registry:
        await registry.app()
        yield registry


def duties(registry: Registry, cache: Cache) -> DeviceDuties:
    return DeviceDuties(registry.tokens, cache, BRAKE, timedelta(days=30))


def led_by(pool: asyncpg.Pool) -> object:
    @asynccontextmanager
    async def led() -> AsyncIterator[asyncpg.Connection]:
        async with pool.acquire() as conn, conn.transaction():
            yield conn

    return led


async def _old_device(registry: Registry, days: int, **facts: object) -> tuple[UUID, str]:
    """A device registered so many days ago and never seen since, unless told otherwise."""
    token, made_at = new_device_token(), utc_now() - timedelta(days=days)
    device = await a_device(registry.pool, await app_id_of(registry), token, created_at=made_at)
    old_id = uuid7(int(made_at.timestamp() * 1000))
    await registry.pool.execute("UPDATE devices SET id = $2 WHERE id = $1", device, old_id)
    for name, value in facts.items():
        await registry.pool.execute(f"UPDATE devices SET {name} = $2 WHERE id = $1", old_id, value)  # columns of ours
    return old_id, token


async def test_devices_that_nobody_sees_are_suspended_and_others_are_not(registry: Registry, cache: Cache) -> None:
    unseen, token = await _old_device(registry, STALE_AFTER.days + 1)
    seen, _ = await _old_device(registry, STALE_AFTER.days + 1, last_seen_at=utc_now() - timedelta(days=200))
    young, _ = await _old_device(registry, STALE_AFTER.days - 1)
    wanted = SEAL.token_hash(token)
    assert (await registry.tokens.find([wanted]))[wanted][0].is_valid

    duty = duties(registry, cache)
    while await duty.suspend_stale(led_by(registry.pool)):  # type: ignore[arg-type]  # a leader of one
        pass

    rows = {
        row["id"]: row["invalidation_reason"]
        for row in await registry.pool.fetch("SELECT * FROM devices WHERE tenant_id = $1", registry.tenant)
    }
    assert rows == {unseen: "stale", seen: None, young: None}
    assert not (await registry.tokens.find([wanted]))[wanted][0].is_valid
    assert duty.looked_at == FIRST


async def test_too_many_stale_devices_pull_the_brake(registry: Registry, cache: Cache) -> None:
    for _ in range(30):
        await _old_device(registry, STALE_AFTER.days + 1)
    duty = duties(registry, cache)

    while await duty.suspend_stale(led_by(registry.pool)):  # type: ignore[arg-type]  # a leader of one
        pass
    await duty.tell_of_brakes(led_by(registry.pool))  # type: ignore[arg-type]  # a leader of one

    assert await valid(registry) == 30 - (LEAST_TO_BRAKE - 1)
    assert BRAKED_APPS._value.get() >= 1


async def test_stale_devices_do_not_make_dying_tokens_look_like_a_disaster(registry: Registry, cache: Cache) -> None:
    for _ in range(LEAST_TO_BRAKE - 1):
        await _old_device(registry, STALE_AFTER.days + 1)
    duty = duties(registry, cache)
    while await duty.suspend_stale(led_by(registry.pool)):  # type: ignore[arg-type]  # a leader of one
        pass
    fleet = await a_fleet(registry, 5)

    result = await dying(registry, fleet)

    assert sorted(result.device_ids) == sorted(fleet)
    assert result.braked == set()


async def test_what_is_past_retention_is_forgotten_and_what_still_runs_is_not(registry: Registry, cache: Cache) -> None:
    app, now = await app_id_of(registry), utc_now()
    old, young = [
        [uuid7(int((now - timedelta(days=days)).timestamp() * 1000)) for _ in range(2)] for days in (450, 300)
    ]
    for one in (*old, *young):
        await registry.pool.execute(
            "INSERT INTO feedback (id, tenant_id, app_id, device_id, token_hash, reason)"
            " VALUES ($1, $2, $3, $1, '', '')",
            one,
            registry.tenant,
            app,
        )
        await registry.pool.execute(
            "INSERT INTO token_audit (id, tenant_id, bundle_id, operation, actor) VALUES ($1, $2, '', '', '')",
            one,
            registry.tenant,
        )
        await registry.pool.execute(
            "INSERT INTO broadcasts (id, tenant_id, topic, mode, key_id, request, finished_at)"
            " VALUES ($1, $2, '', 1, $1, '', CASE WHEN $3 THEN now() END)",
            one,
            registry.tenant,
            one != old[0],
        )
    duty = duties(registry, cache)

    while await duty.forget_old(led_by(registry.pool)):  # type: ignore[arg-type]  # a leader of one
        pass

    left = {
        table: await registry.pool.fetch(f"SELECT id FROM {table} WHERE id = ANY($1) ORDER BY id", [*old, *young])
        for table in ("feedback", "token_audit", "broadcasts")
    }
    assert {row["id"] for row in left["feedback"]} == {row["id"] for row in left["token_audit"]} == set(young)
    assert {row["id"] for row in left["broadcasts"]} == {old[0], *young}
    await registry.pool.execute("DELETE FROM broadcasts WHERE tenant_id = $1", registry.tenant)


async def test_a_suspended_device_is_erased_when_its_grace_is_over(registry: Registry, cache: Cache) -> None:
    over, _ = await _old_device(registry, 40, invalidated_at=utc_now() - timedelta(days=31))
    not_yet, _ = await _old_device(registry, 40, invalidated_at=utc_now() - timedelta(days=29))
    duty = duties(registry, cache)

    assert await duty.erase_suspended(led_by(registry.pool)) is False  # type: ignore[arg-type]  # a leader of one

    left = {
        row["id"] for row in await registry.pool.fetch("SELECT id FROM devices WHERE tenant_id = $1", registry.tenant)
    }
    assert left == {not_yet}
    audit = (await registry.get(f"/devices/{over}/audit")).json()["items"]
    assert (audit[0]["operation"], audit[0]["actor"], audit[0]["reason"]) == ("erased", "system", "grace_over")


async def test_suspended_devices_of_a_braked_app_are_not_erased(registry: Registry, cache: Cache) -> None:
    await _old_device(registry, 40, invalidated_at=utc_now() - timedelta(days=31))
    await registry.pool.execute("UPDATE apps SET braked_at = now() WHERE bundle_id = $1", registry.bundle)

    await duties(registry, cache).erase_suspended(led_by(registry.pool))  # type: ignore[arg-type]  # a leader of one

    assert await registry.pool.fetchval("SELECT count(*) FROM devices WHERE tenant_id = $1", registry.tenant) == 1
