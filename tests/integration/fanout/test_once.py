"""Once only: equal Idempotency-Keys are one notification, equal dedupe keys send once."""

import asyncio
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from domain.errors import RequestRefused
from domain.notification import NotificationStatus, Recipient
from domain.reasons import Reason
from fanout.batch import Batcher
from fanout.cases import Accepted
from tests.builders import a_key, a_request, a_sender, an_item
from tests.integration.fanout.conftest import Published, count


async def test_twins_in_one_batch_are_one_notification(batcher: Batcher, hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    sender = a_sender(tenant)

    answers = await asyncio.gather(*(batcher.submit(an_item(sender, a_key("twins"))) for _ in range(5)))

    assert len({answer.id for answer in answers}) == 1
    assert sorted(answer.replayed for answer in answers) == [False, True, True, True, True]
    assert await count(hot_pool, "notifications", tenant) == 1


async def test_a_later_twin_gets_the_first_answer_again(batcher: Batcher, hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    sender = a_sender(tenant)
    first = await batcher.submit(an_item(sender, a_key("later")))
    await hot_pool.execute("UPDATE deliveries SET status = 4 WHERE id = $1", first.deliveries[0].id)

    second = await batcher.submit(an_item(sender, a_key("later")))

    assert second.replayed
    assert second.answer() == first.answer()


async def test_a_key_with_another_request_is_refused(batcher: Batcher, tenant: UUID) -> None:
    sender = a_sender(tenant)
    together = await asyncio.gather(
        batcher.submit(an_item(sender, a_key("reused", "one"))),
        batcher.submit(an_item(sender, a_key("reused", "two"))),
        return_exceptions=True,
    )

    with pytest.raises(RequestRefused, match="idempotency_key_reused"):
        await batcher.submit(an_item(sender, a_key("reused", "three")))

    refused = [each for each in together if isinstance(each, RequestRefused)]
    assert [each.reason for each in refused] == ["idempotency_key_reused"]


async def test_32_a_key_is_free_again_after_24_hours_and_a_second(
    batcher: Batcher, hot_pool: asyncpg.Pool, tenant: UUID, published: Published
) -> None:
    sender = a_sender(tenant)
    first = await batcher.submit(an_item(sender, a_key("a day")))
    await _age(hot_pool, first.id, timedelta(hours=23, minutes=59))
    within = await batcher.submit(an_item(sender, a_key("a day")))
    await _age(hot_pool, first.id, timedelta(minutes=1, seconds=1))

    after = await batcher.submit(an_item(sender, a_key("a day")))
    again = await batcher.submit(an_item(sender, a_key("a day")))

    assert (within.id, within.replayed) == (first.id, True)
    assert (after.id != first.id, after.replayed) == (True, False)
    assert (again.id, again.replayed) == (after.id, True)
    assert sum(len(row.delivery_ids) for row in published.rows) == 2
    assert await count(hot_pool, "notifications", tenant) == 2


async def _age(pool: asyncpg.Pool, first: UUID, by: timedelta) -> None:
    """Let so much time go by for the key of this notification."""
    await pool.execute(
        "UPDATE idempotency SET expires_at = expires_at - $2::interval WHERE notification_id = $1", first, by
    )


async def test_equal_dedupe_keys_in_one_batch_send_once(
    batcher: Batcher, hot_pool: asyncpg.Pool, tenant: UUID, published: Published
) -> None:
    sender = a_sender(tenant)
    items = [an_item(sender, dedupe_key="once") for _ in range(4)]

    answers = await asyncio.gather(*(batcher.submit(item) for item in items))

    first = next(answer for answer in answers if answer.duplicate_of is None)
    others = [answer for answer in answers if answer is not first]
    assert {answer.duplicate_of for answer in others} == {first.id}
    assert {(answer.status, answer.reason) for answer in others} == {(NotificationStatus.SUPPRESSED, Reason.DUPLICATE)}
    assert sum(len(row.delivery_ids) for row in published.rows) == 1
    assert await count(hot_pool, "notifications", tenant) == 4


async def test_a_dedupe_key_is_free_again_for_somebody_else_and_after_its_window(
    batcher: Batcher, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    sender = a_sender(tenant)
    first = await batcher.submit(an_item(sender, dedupe_key="window"))
    other = await batcher.submit(an_item(sender, to="another@example.com", dedupe_key="window"))
    await hot_pool.execute("UPDATE dedupe SET expires_at = now() - interval '1 s' WHERE notification_id = $1", first.id)

    again = await batcher.submit(an_item(sender, dedupe_key="window"))

    assert other.duplicate_of is None
    assert again.duplicate_of is None


async def test_a_bulk_with_a_key_is_answered_again_as_it_was(
    batcher: Batcher, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    sender = a_sender(tenant)
    requests = [a_request("a@example.com"), a_request(Recipient(user="nobody")), a_request("b@example.com")]
    first = await batcher.submit_bulk(sender, requests, a_key("bulk"))

    second = await batcher.submit_bulk(sender, requests, a_key("bulk"))

    assert second.replayed
    assert [_shown(result) for result in second.results] == [_shown(result) for result in first.results]
    assert await count(hot_pool, "notifications", tenant) == 2


def _shown(result: Accepted | RequestRefused) -> object:
    return result.answer() if isinstance(result, Accepted) else (result.reason, result.detail, result.faults)
