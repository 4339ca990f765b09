"""Accept in processes that are killed with -9, before and after the commit; whoever sends again is not doubled."""

from uuid import UUID

import asyncpg

from plumbing.failpoints import Failpoint
from tests.integration.fanout.conftest import count
from tests.integration.fanout.processes import Sending, together

BAD = 250
"""Which of five hundred requests holds what only PostgreSQL finds wrong."""


async def test_killed_before_the_commit_nothing_is_there_and_the_retry_is_new(
    database_url: str, redis_url: str, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    urls, wishes = (database_url, redis_url), [{"key": f"before-{n}"} for n in range(20)]
    killed = await Sending.prepare(urls, tenant, wishes, Failpoint.ACCEPT_BEFORE_COMMIT)
    killed.go()
    assert await killed.answers() == []
    assert await count(hot_pool, "notifications", tenant) == 0

    (answers,) = await together(urls, tenant, wishes)

    assert [answer["replayed"] for answer in answers] == [False] * 20
    assert await count(hot_pool, "notifications", tenant) == 20


async def test_killed_after_the_commit_the_retry_gets_the_answer_that_was_never_heard(
    database_url: str, redis_url: str, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    urls, wishes = (database_url, redis_url), [{"key": f"after-{n}"} for n in range(20)]
    killed = await Sending.prepare(urls, tenant, wishes, Failpoint.ACCEPT_AFTER_COMMIT)
    killed.go()
    assert await killed.answers() == []

    (answers,) = await together(urls, tenant, wishes)

    kept = await count(hot_pool, "notifications", tenant)
    assert kept == 20
    assert sum(answer["replayed"] for answer in answers) >= 1
    due = await hot_pool.fetchval("SELECT count(*) FROM outbox WHERE tenant_id = $1 AND published_at IS NULL", tenant)
    assert due >= 1


async def test_equal_dedupe_keys_killed_before_the_commit_leave_their_window_free(
    database_url: str, redis_url: str, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    urls, wishes = (database_url, redis_url), [{"dedupe_key": "before"} for _ in range(5)]
    killed = await Sending.prepare(urls, tenant, wishes, Failpoint.ACCEPT_BEFORE_COMMIT)
    killed.go()
    assert await killed.answers() == []

    (answers,) = await together(urls, tenant, wishes)

    assert sorted(answer["status"] for answer in answers) == ["accepted", *["suppressed"] * 4]
    assert await count(hot_pool, "notifications", tenant) == 5


async def test_equal_dedupe_keys_killed_after_the_commit_are_never_sent_again(
    database_url: str, redis_url: str, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    urls, wishes = (database_url, redis_url), [{"dedupe_key": "after"} for _ in range(5)]
    killed = await Sending.prepare(urls, tenant, wishes, Failpoint.ACCEPT_AFTER_COMMIT)
    killed.go()
    assert await killed.answers() == []

    (answers,) = await together(urls, tenant, wishes)

    assert {answer["status"] for answer in answers} == {"suppressed"}
    assert await hot_pool.fetchval("SELECT count(*) FROM deliveries WHERE tenant_id = $1 AND status = 1", tenant) == 1


async def test_a_bulk_with_one_bad_request_killed_before_the_commit_left_nothing_and_is_taken_whole(
    database_url: str, redis_url: str, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    urls, wishes = (database_url, redis_url), _five_hundred()
    killed = await Sending.prepare(urls, tenant, wishes, Failpoint.ACCEPT_BEFORE_COMMIT, bulk_key="bulk-before")
    killed.go()
    assert await killed.answers() == []
    assert await count(hot_pool, "notifications", tenant) == 0

    again = await Sending.prepare(urls, tenant, wishes, bulk_key="bulk-before")
    again.go()
    answers = await again.answers()

    assert [n for n, answer in enumerate(answers) if "error" in answer] == [BAD]
    assert not any(answer.get("replayed") for answer in answers)
    assert await count(hot_pool, "notifications", tenant) == 499


async def test_a_bulk_with_one_bad_request_killed_after_the_commit_is_answered_as_it_would_have_been(
    database_url: str, redis_url: str, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    urls, wishes = (database_url, redis_url), _five_hundred()
    killed = await Sending.prepare(urls, tenant, wishes, Failpoint.ACCEPT_AFTER_COMMIT, bulk_key="bulk-after")
    killed.go()
    assert await killed.answers() == []
    assert await count(hot_pool, "notifications", tenant) == 499

    again = await Sending.prepare(urls, tenant, wishes, bulk_key="bulk-after")
    again.go()
    answers = await again.answers()

    assert [n for n, answer in enumerate(answers) if "error" in answer] == [BAD]
    assert all(answer["replayed"] for answer in answers if "error" not in answer)
    assert await count(hot_pool, "notifications", tenant) == 499


def _five_hundred() -> list[dict[str, str | None]]:
    return [{"to": f"b{n}@example.com", "collapse_id": "bad\0" if n == BAD else None} for n in range(500)]
