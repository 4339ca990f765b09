"""Claims: one winner, committed before the answer, and an answer for every id."""

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

from domain.clock import utc_now
from domain.delivery import DeliveryStatus
from domain.errors import Unavailable
from domain.ids import delivery_id, notification_id, notification_of
from domain.lanes import Channel
from domain.reasons import Reason
from plumbing.database import open_hot_pool
from tests.integration.tracking.builders import finished, outbox_ids, person, recorded, records, status_of
from tracking.cancel import cancel
from tracking.claim import _CLAIM_QUICKLY, claim
from tracking.finish import finish


async def test_of_fifteen_concurrent_claims_exactly_one_wins(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    ids = await recorded(hot_pool, records(await person(hot_pool, tenant), 5))

    answers = await asyncio.gather(*(claim(hot_pool, ids, lease_s=20) for _ in range(15)))

    won = [one.id for answer in answers for one in answer.claimed]
    assert sorted(won) == sorted(ids)
    for answer in answers:
        others = [one for one, _ in answer.not_due]
        assert sorted([*(one.id for one in answer.claimed), *answer.leased, *others]) == sorted(ids)


async def test_a_claim_carries_what_rendering_and_sending_need(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    who = await person(hot_pool, tenant)
    (wanted,) = await recorded(hot_pool, records(who))

    (one,) = (await claim(hot_pool, [wanted], lease_s=20)).claimed

    assert (one.id, one.attempt, one.crashes, one.channel) == (wanted, 1, 0, Channel.EMAIL)
    assert one.address == f"{who.contacts[Channel.EMAIL]}@example.org"
    assert (one.name, one.user_locale, one.timezone) == ("Ada", "fr", "Europe/Paris")
    assert (one.template, one.template_version, one.data) == ("order_shipped", 3, b'{"order":"A-1001"}')
    assert timedelta(seconds=15) < one.lease_until - utc_now() < timedelta(seconds=25)
    assert await status_of(hot_pool, wanted) is DeliveryStatus.SENDING


async def test_what_may_have_killed_two_workers_is_claimed_only_by_who_works_it_alone(
    hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    once, twice = await recorded(hot_pool, records(await person(hot_pool, tenant), 2))
    await hot_pool.execute(
        "UPDATE deliveries SET crashes = CASE id WHEN $1 THEN 1 ELSE 2 END WHERE tenant_id = $2", once, tenant
    )

    among_others = await claim(hot_pool, [once, twice], lease_s=20)
    alone = await claim(hot_pool, [twice], lease_s=20, is_alone=True)

    assert ([one.id for one in among_others.claimed], among_others.suspects) == ([once], [twice])
    assert [(one.id, one.crashes) for one in alone.claimed] == [(twice, 2)]


async def test_what_is_under_way_answers_leased_even_when_its_lease_is_over(
    hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    ids = await recorded(hot_pool, records(await person(hot_pool, tenant)))
    await claim(hot_pool, ids, lease_s=-5)

    again = await claim(hot_pool, ids, lease_s=20)

    assert again.leased == ids
    assert not again.claimed


async def test_what_has_ended_or_never_was_answers_ended(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    ids = await recorded(hot_pool, records(await person(hot_pool, tenant)))
    won = await claim(hot_pool, ids, lease_s=20)
    await finish(hot_pool, [finished(won.claimed[0])])
    stranger = delivery_id(notification_id(), 1)

    again = await claim(hot_pool, [*ids, stranger], lease_s=20)

    assert sorted(again.ended) == sorted([*ids, stranger])


async def test_what_rests_is_not_due_before_its_time_and_is_claimed_after(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    who = await person(hot_pool, tenant)
    later = utc_now() + timedelta(minutes=10)
    early = await recorded(hot_pool, records(who, status=DeliveryStatus.DEFERRED, next_attempt_at=later))
    due = await recorded(hot_pool, records(who, status=DeliveryStatus.DEFERRED, next_attempt_at=utc_now()))

    answer = await claim(hot_pool, [*early, *due], lease_s=20)

    assert [one.id for one in answer.claimed] == due
    assert [one for one, _ in answer.not_due] == early
    assert abs(answer.not_due[0][1] - later) < timedelta(seconds=1)


async def test_what_is_past_its_time_expires_with_an_event_and_frees_its_envelope(
    hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    made = records(await person(hot_pool, tenant), expires_in_s=-1)
    ids = await recorded(hot_pool, made)

    answer = await claim(hot_pool, ids, lease_s=20)

    assert answer.ended == ids
    row = await hot_pool.fetchrow("SELECT status, problem, reason FROM deliveries WHERE id = $1", ids[0])
    assert tuple(row) == (DeliveryStatus.EXPIRED.code, DeliveryStatus.EXPIRED.code, Reason.EXPIRED.code)
    assert await hot_pool.fetchval("SELECT count(*) FROM events WHERE delivery_id = $1", ids[0]) == 1
    assert not await outbox_ids(hot_pool, made)


async def test_another_version_of_the_recipient_makes_a_delivery_stale(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    who = await person(hot_pool, tenant)
    ids = await recorded(hot_pool, records(who))
    await hot_pool.execute("UPDATE users SET version = version + 1 WHERE id = $1", who.user_id)

    answer = await claim(hot_pool, ids, lease_s=20)

    assert [one.id for one in answer.stale] == ids
    assert (answer.stale[0].category, answer.stale[0].user_id) == ("orders", who.user_id)
    assert await status_of(hot_pool, ids[0]) is DeliveryStatus.QUEUED


async def test_an_erased_recipient_makes_a_delivery_stale(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    who = await person(hot_pool, tenant)
    ids = await recorded(hot_pool, records(who))
    await hot_pool.execute("DELETE FROM users WHERE id = $1", who.user_id)

    answer = await claim(hot_pool, ids, lease_s=20)

    assert [one.id for one in answer.stale] == ids


async def test_the_beginning_of_quiet_hours_makes_a_delivery_stale(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    ids = await recorded(hot_pool, records(await person(hot_pool, tenant), recheck_at=utc_now() - timedelta(seconds=1)))

    assert [one.id for one in (await claim(hot_pool, ids, lease_s=20)).stale] == ids


async def test_a_cancelled_notification_is_never_claimed(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    made = records(await person(hot_pool, tenant))
    ids = await recorded(hot_pool, made)

    outcome = await cancel(hot_pool, tenant, made.notifications[0].id)

    assert outcome is not None
    assert [one.outcome for one in outcome] == ["withdrawn"]
    assert (await claim(hot_pool, ids, lease_s=20)).ended == ids
    assert not await outbox_ids(hot_pool, made)


async def test_a_claim_that_returns_after_a_cancellation_is_cancelled_at_the_next_claim(
    hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    made = records(await person(hot_pool, tenant))
    ids = await recorded(hot_pool, made)
    won = await claim(hot_pool, ids, lease_s=20)

    outcome = await cancel(hot_pool, tenant, made.notifications[0].id)
    await hot_pool.execute("UPDATE deliveries SET status = 1, lease_token = NULL WHERE id = $1", won.claimed[0].id)
    again = await claim(hot_pool, ids, lease_s=20)

    assert outcome is not None
    assert [one.outcome for one in outcome] == ["in_flight"]
    assert again.ended == ids
    assert await status_of(hot_pool, ids[0]) is DeliveryStatus.CANCELLED


async def test_claims_and_cancellations_at_once_leave_no_third_state(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    made = records(await person(hot_pool, tenant), 20, envelope_size=1)
    ids = await recorded(hot_pool, made)

    claims, cancellations = await asyncio.gather(
        asyncio.gather(*(claim(hot_pool, [one], lease_s=20) for one in ids)),
        asyncio.gather(*(cancel(hot_pool, tenant, one.id) for one in reversed(made.notifications))),
    )

    claimed = {one.id for answer in claims for one in answer.claimed}
    withdrawn = {one.delivery_id for answer in cancellations for one in answer or [] if one.outcome == "withdrawn"}
    assert claimed | withdrawn == set(ids)
    assert not claimed & withdrawn


async def test_what_ends_at_the_claim_is_told_apart(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    who = await person(hot_pool, tenant)
    expired = await recorded(hot_pool, records(who, expires_in_s=-1))
    made = records(who)
    cancelled = await recorded(hot_pool, made)
    await hot_pool.execute("UPDATE notifications SET cancelled_at = now() WHERE id = $1", made.notifications[0].id)

    answer = await claim(hot_pool, [*expired, *cancelled], lease_s=20)

    assert {one.id: one.status for one in answer.over} == {
        expired[0]: DeliveryStatus.EXPIRED,
        cancelled[0]: DeliveryStatus.CANCELLED,
    }
    assert {one.category for one in answer.over} == {"orders"}


async def test_a_row_that_somebody_holds_does_not_cost_what_was_claimed_beside_it_its_attempt(
    hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    who = await person(hot_pool, tenant)
    [held] = await recorded(hot_pool, records(who, expires_in_s=-1))
    [free] = await recorded(hot_pool, records(who))

    async with hot_pool.acquire() as conn, conn.transaction():
        await conn.execute("SELECT 1 FROM deliveries WHERE id = $1 FOR UPDATE", held)
        answer = await claim(hot_pool, [held, free], lease_s=20)
        with pytest.raises(Unavailable):
            await claim(hot_pool, [held], lease_s=20)

    assert [one.id for one in answer.claimed] == [free]
    assert [one for one, _ in answer.not_due] == [held]


async def test_a_claim_that_may_be_repeated_does_not_wait_for_the_disk_and_no_other_commit_learns_of_it(
    database_url: str, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    who = await person(hot_pool, tenant)
    once, again = await recorded(hot_pool, records(who)), await recorded(hot_pool, records(who))
    pool = await open_hot_pool(database_url, size=1)
    try:
        won = await claim(pool, once, lease_s=20, may_repeat=True)
        afterwards = await pool.fetchval("SHOW synchronous_commit")
        async with pool.acquire() as conn, conn.transaction():
            await conn.fetch(
                _CLAIM_QUICKLY, again, [notification_of(one) for one in again], uuid4(), timedelta(seconds=5), 2
            )
            meanwhile = await conn.fetchval("SHOW synchronous_commit")
    finally:
        await pool.close()

    assert [one.id for one in won.claimed] == once
    assert (meanwhile, afterwards) == ("off", "on")
