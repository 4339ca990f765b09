"""Trouble in the middle of accept: whoever waits is answered, and what is not kept costs nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
import pytest

from domain.errors import Unavailable
from domain.notification import Mode, NotificationStatus
from fanout.accept import Intake
from fanout.batch import MAX_WAITING_BULKS, Batcher
from fanout.cases import Accepted
from fanout.limits import Policy
from preferences.model import AmbiguousPolicy, Category, Kind
from tests.builders import EMAIL_ONLY, a_key, a_request, a_sender, an_item
from tests.integration.fanout.conftest import count
from tests.integration.fanout.test_limits_of_senders import at_work

_WAITING = "SELECT xact_start FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%INTO dedupe%'"


@asynccontextmanager
async def a_held_window(pool: asyncpg.Pool, holder: Accepted) -> AsyncIterator[asyncpg.transaction.Transaction]:
    """Somebody else's transaction that keeps the dedupe window of `holder` locked, until it is rolled back."""
    async with pool.acquire() as conn:
        transaction = conn.transaction()
        await transaction.start()
        await conn.execute("SELECT 1 FROM dedupe WHERE notification_id = $1 FOR UPDATE", holder.id)
        try:
            yield transaction
        finally:
            if conn.is_in_transaction():
                await transaction.rollback()


async def seen_waiting(pool: asyncpg.Pool, *, tries: int) -> None:
    """Return when so many transactions were seen waiting for a window, one after the other."""
    seen: set[object] = set()
    async with asyncio.timeout(20):
        while len(seen) < tries:
            seen |= {row["xact_start"] for row in await pool.fetch(_WAITING)}


async def test_a_replay_is_answered_also_when_its_batch_has_to_be_tried_again(
    batcher: Batcher, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    sender = a_sender(tenant)
    first = await batcher.submit(an_item(sender, a_key("again"), dedupe_key="held"))

    async with a_held_window(hot_pool, first):
        replay, blocked = await asyncio.gather(
            batcher.submit(an_item(sender, a_key("again"), dedupe_key="held")),
            batcher.submit(an_item(sender, dedupe_key="held")),
            return_exceptions=True,
        )

    assert isinstance(replay, Accepted)
    assert replay.replayed
    assert replay.answer() == first.answer()
    assert isinstance(blocked, Unavailable)


async def test_everybody_is_answered_when_the_last_try_finds_what_cannot_be_kept(
    batcher: Batcher, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    sender = a_sender(tenant)
    first = await batcher.submit(an_item(sender, dedupe_key="held"))

    async with a_held_window(hot_pool, first) as held:
        together = asyncio.gather(
            batcher.submit(an_item(sender, collapse_id="bad\0")),
            batcher.submit(an_item(sender, dedupe_key="held")),
            return_exceptions=True,
        )
        await seen_waiting(hot_pool, tries=3)
        await held.rollback()
        async with asyncio.timeout(20):
            bad, duplicate = await together

    assert getattr(bad, "reason", bad) == "data_rejected"
    assert getattr(duplicate, "duplicate_of", duplicate) == first.id


async def test_a_request_that_could_not_be_kept_costs_its_user_nothing(
    intake: Intake, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    sender = a_sender(tenant)

    async with at_work(intake, Policy(10_000, 10_000, 1, 3)) as strict:
        first = await strict.submit(an_item(sender, to="unlucky@example.com", dedupe_key="held"))
        async with a_held_window(hot_pool, first):
            with pytest.raises(Unavailable):
                await strict.submit(an_item(sender, to="unlucky@example.com", dedupe_key="held"))
            with pytest.raises(Unavailable):
                await strict.submit_bulk(sender, [a_request("unlucky@example.com", dedupe_key="held")], None)
        later = [await strict.submit(an_item(sender, to="unlucky@example.com")) for _ in range(2)]

    assert [answer.status for answer in later] == [NotificationStatus.ACCEPTED] * 2


async def test_a_bulk_request_that_meets_another_transaction_is_tried_again(
    batcher: Batcher, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    sender = a_sender(tenant)
    first = await batcher.submit(an_item(sender, dedupe_key="held"))

    async with a_held_window(hot_pool, first) as held:
        bulk = asyncio.create_task(batcher.submit_bulk(sender, [a_request(dedupe_key="held"), a_request()], None))
        await seen_waiting(hot_pool, tries=2)
        await held.rollback()
        answer = await bulk

    assert [getattr(each, "duplicate_of", each) for each in answer.results] == [first.id, None]
    assert await count(hot_pool, "notifications", tenant) == 3


async def test_more_bulk_requests_than_memory_should_hold_are_told_to_come_again(
    batcher: Batcher, tenant: UUID
) -> None:
    sender = a_sender(tenant)

    answers = await asyncio.gather(
        *(batcher.submit_bulk(sender, [a_request()], None) for _ in range(MAX_WAITING_BULKS + 2)),
        return_exceptions=True,
    )

    assert [type(answer) for answer in answers[-2:]] == [Unavailable, Unavailable]
    assert not any(isinstance(answer, BaseException) for answer in answers[:-2])


async def test_a_sender_that_went_away_spoils_nobody_elses_answer(
    batcher: Batcher, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    sender = a_sender(tenant)
    await batcher.submit(an_item(sender, a_key("gone")))

    gone = asyncio.create_task(batcher.submit(an_item(sender, a_key("gone"))))
    stays = asyncio.create_task(batcher.submit(an_item(sender)))
    await asyncio.sleep(0)
    gone.cancel()

    assert (await stays).status is NotificationStatus.ACCEPTED
    assert await count(hot_pool, "notifications", tenant) == 2


async def test_sends_of_a_test_key_spend_nothing_of_a_live_users_limit(intake: Intake, tenant: UUID) -> None:
    async with at_work(intake, Policy(10_000, 10_000, 1, 1)) as strict:
        await strict.submit(an_item(a_sender(tenant, Mode.TEST), to="both@example.com"))
        live = await strict.submit(an_item(a_sender(tenant), to="both@example.com"))

    assert live.status is NotificationStatus.ACCEPTED


async def test_a_category_without_a_window_knows_no_duplicates(
    intake: Intake, batcher: Batcher, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    category = Category("ticks", Kind.TRANSACTIONAL, True, False, EMAIL_ONLY, 0, 60, AmbiguousPolicy.HOLD)
    await intake.categories.put(hot_pool, tenant, category)
    sender = a_sender(tenant)

    answers = await asyncio.gather(
        *(batcher.submit(an_item(sender, dedupe_key="same", category="ticks")) for _ in range(3))
    )

    assert {answer.status for answer in answers} == {NotificationStatus.ACCEPTED}
