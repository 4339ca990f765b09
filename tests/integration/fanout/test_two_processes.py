"""Accept in two processes at once, and in processes that are killed: real ones, on one PostgreSQL."""

import asyncio
import json
import os
import random
import sys
from collections import Counter
from typing import Any
from uuid import UUID

import asyncpg

from plumbing.failpoints import VARIABLE, Failpoint


class Sending:
    """One sender process: prepared, then let loose, then heard."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def prepare(
        cls, urls: tuple[str, str], tenant: UUID, requests: list[dict[str, Any]], failpoint: Failpoint | None = None
    ) -> "Sending":
        """Start the process and wait until it could begin."""
        environment = {**os.environ, **({VARIABLE: str(failpoint)} if failpoint else {})}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.integration.fanout.sender_process",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=environment,
            limit=2**24,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        order = {"database_url": urls[0], "redis_url": urls[1], "tenant": str(tenant), "requests": requests}
        process.stdin.write(json.dumps(order).encode() + b"\n")
        assert await process.stdout.readline() == b"ready\n"
        return cls(process)

    def go(self) -> None:
        """Let it submit everything at once."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")

    async def answers(self) -> list[dict[str, Any]]:
        """What it was answered; empty when it was killed on the way."""
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), 60)
        await self._process.wait()
        answers: list[dict[str, Any]] = json.loads(line) if line else []
        return answers


async def together(urls: tuple[str, str], tenant: UUID, *orders: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Let several processes loose at the same time; their answers."""
    sendings = await asyncio.gather(*(Sending.prepare(urls, tenant, order) for order in orders))
    for sending in sendings:
        sending.go()
    return list(await asyncio.gather(*(sending.answers() for sending in sendings)))


async def count(pool: asyncpg.Pool, tenant: UUID) -> int:
    """Notifications of this tenant."""
    found: int = await pool.fetchval("SELECT count(*) FROM notifications WHERE tenant_id = $1", tenant)
    return found


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
    assert await count(hot_pool, tenant) == 300


async def test_equal_dedupe_keys_in_two_processes_send_once_and_never_deadlock(
    database_url: str, redis_url: str, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    wishes = [{"dedupe_key": f"d{n}", "to": "one@example.com"} for n in range(400)]

    first, second = await together(
        (database_url, redis_url), tenant, *(random.sample(wishes, len(wishes)) for _ in range(2))
    )

    outcomes = Counter(answer.get("status", answer.get("error")) for answer in [*first, *second])
    assert outcomes == {"accepted": 400, "suppressed": 400}
    assert await count(hot_pool, tenant) == 800


async def test_users_written_inline_by_two_processes_never_deadlock(
    database_url: str, redis_url: str, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    wishes = [{"to": {"user": f"u{n}", "email": f"u{n}@example.com"}} for n in range(200)]

    first, second = await together(
        (database_url, redis_url), tenant, *(random.sample(wishes, len(wishes)) for _ in range(2))
    )

    assert Counter(answer.get("status", answer.get("error")) for answer in [*first, *second]) == {"accepted": 400}
    assert await hot_pool.fetchval("SELECT count(*) FROM users WHERE tenant_id = $1", tenant) == 200


async def test_killed_before_the_commit_nothing_is_there_and_the_retry_is_new(
    database_url: str, redis_url: str, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    urls, wishes = (database_url, redis_url), [{"key": f"before-{n}"} for n in range(20)]
    killed = await Sending.prepare(urls, tenant, wishes, Failpoint.ACCEPT_BEFORE_COMMIT)
    killed.go()
    assert await killed.answers() == []
    assert await count(hot_pool, tenant) == 0

    (answers,) = await together(urls, tenant, wishes)

    assert [answer["replayed"] for answer in answers] == [False] * 20
    assert await count(hot_pool, tenant) == 20


async def test_killed_after_the_commit_the_retry_gets_the_answer_that_was_never_heard(
    database_url: str, redis_url: str, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    urls, wishes = (database_url, redis_url), [{"key": f"after-{n}"} for n in range(20)]
    killed = await Sending.prepare(urls, tenant, wishes, Failpoint.ACCEPT_AFTER_COMMIT)
    killed.go()
    assert await killed.answers() == []

    (answers,) = await together(urls, tenant, wishes)

    kept = await count(hot_pool, tenant)
    assert kept == 20
    assert sum(answer["replayed"] for answer in answers) >= 1
    due = await hot_pool.fetchval("SELECT count(*) FROM outbox WHERE tenant_id = $1 AND published_at IS NULL", tenant)
    assert due >= 1
