"""Accept in two processes at once: real ones, on one PostgreSQL."""

import random
from collections import Counter
from uuid import UUID

import asyncpg

from tests.integration.fanout.conftest import count
from tests.integration.fanout.processes import together


async def test_twins_in_two_processes_are_one_notification(
    database_url: str, redis_url: str, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    wishes = [{"key": f"twin-{n}", "to": f"t{n}@example.com"} for n in range(300)]
    orders = [random.sample(wishes, len(wishes)) for _ in range(2)]

    first, second = await together((database_url, redis_url), tenant, *orders)

    ids: dict[str, set[str]] = {}
    for wish, answer in [*zip(orders[0], first, strict=True), *zip(orders[1], second, strict=True)]:
        assert answer.get("error") in (None, "idempotency_in_progress")
        if "id" in answer:
            ids.setdefault(wish["key"], set()).add(answer["id"])
    assert {len(found) for found in ids.values()} == {1}
    assert len(ids) == 300
    assert await count(hot_pool, "notifications", tenant) == 300


async def test_equal_dedupe_keys_in_two_processes_send_once_and_never_deadlock(
    database_url: str, redis_url: str, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    wishes = [{"dedupe_key": f"d{n}", "to": "one@example.com"} for n in range(400)]

    first, second = await together(
        (database_url, redis_url), tenant, *(random.sample(wishes, len(wishes)) for _ in range(2))
    )

    outcomes = Counter(answer.get("status", answer.get("error")) for answer in [*first, *second])
    assert outcomes == {"accepted": 400, "suppressed": 400}
    assert await count(hot_pool, "notifications", tenant) == 800


async def test_users_written_inline_by_two_processes_never_deadlock(
    database_url: str, redis_url: str, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    wishes = [{"to": {"user": f"u{n}", "email": f"u{n}@example.com"}} for n in range(200)]

    first, second = await together(
        (database_url, redis_url), tenant, *(random.sample(wishes, len(wishes)) for _ in range(2))
    )

    assert Counter(answer.get("status", answer.get("error")) for answer in [*first, *second]) == {"accepted": 400}
    assert await hot_pool.fetchval("SELECT count(*) FROM users WHERE tenant_id = $1", tenant) == 200
