"""Reads for the API: one, lists by every filter, cursors, explanation and statistics, each within its tenant."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.clock import utc_now
from domain.delivery import DeliveryStatus
from domain.errors import RequestRefused
from domain.ids import uuid7
from domain.lanes import Channel, Priority
from domain.notification import NotificationStatus
from domain.reasons import Reason
from tests.integration.tracking.builders import finished, person, recorded, records
from tracking import history, leader, rollups
from tracking.claim import claim
from tracking.events import EventKind
from tracking.finish import finish
from tracking.rollups import GroupBy
from tracking.walk import MAX_WALK, SHORT_LIST_BYTES, Filters


async def _all(read_pool: asyncpg.Pool, tenant: UUID, filters: Filters, *, limit: int = 100) -> list[UUID]:
    """Every page of a list, one after the other."""
    found: list[UUID] = []
    cursor = None
    while True:
        page = await history.listing(read_pool, tenant, filters, limit=limit, cursor=cursor)
        assert len(page["items"]) <= limit
        found += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


async def test_one_notification_is_told_with_its_deliveries_and_their_attempts(
    hot_pool: asyncpg.Pool, read_pool: asyncpg.Pool, tenant: UUID
) -> None:
    made = records(await person(hot_pool, tenant), channels=(Channel.EMAIL, Channel.SMS))
    ids = await recorded(hot_pool, made)
    first = (await claim(hot_pool, ids[:1], lease_s=20)).claimed[0]
    at = utc_now()
    resting = finished(first, DeliveryStatus.RESTING, reason=Reason.PROVIDER_THROTTLED, next_attempt_at=at)
    await finish(hot_pool, [resting])
    second = (await claim(hot_pool, ids[:1], lease_s=20)).claimed[0]

    under_way = await history.one(read_pool, tenant, made.notifications[0].id)
    await finish(hot_pool, [finished(second)])
    done = await history.one(read_pool, tenant, made.notifications[0].id)

    assert under_way is not None
    assert done is not None
    assert [one["outcome"] for one in under_way["deliveries"][0]["attempts"]] == [EventKind.ATTEMPT_RESTING, None]
    assert [one["outcome"] for one in done["deliveries"][0]["attempts"]] == [
        EventKind.ATTEMPT_RESTING,
        EventKind.ATTEMPT_SENT,
    ]
    assert [one["status"] for one in done["deliveries"]] == [DeliveryStatus.SENT, DeliveryStatus.QUEUED]
    assert done["status"] is NotificationStatus.IN_PROGRESS
    assert done["user"] == f"user-{made.notifications[0].user_id}"


async def test_status_and_explanation_agree_with_the_whole(
    hot_pool: asyncpg.Pool, read_pool: asyncpg.Pool, tenant: UUID
) -> None:
    made = records(await person(hot_pool, tenant))
    ids = await recorded(hot_pool, made)
    await finish(hot_pool, [finished((await claim(hot_pool, ids, lease_s=20)).claimed[0])])

    explanation = await history.explain(read_pool, tenant, made.notifications[0].id)

    assert explanation is not None
    assert explanation["gates"] == []
    assert [event["kind"] for event in explanation["events"]] == [EventKind.ATTEMPT_SENT]
    assert await history.status(read_pool, tenant, made.notifications[0].id) == {
        "id": made.notifications[0].id,
        "status": NotificationStatus.COMPLETED,
        "deliveries": [{"id": ids[0], "status": DeliveryStatus.SENT}],
    }


async def test_another_tenant_sees_nothing(hot_pool: asyncpg.Pool, read_pool: asyncpg.Pool, tenant: UUID) -> None:
    made = records(await person(hot_pool, tenant))
    await recorded(hot_pool, made)
    one, stranger = made.notifications[0].id, uuid7()

    assert await history.one(read_pool, stranger, one) is None
    assert await history.status(read_pool, stranger, one) is None
    assert await history.explain(read_pool, stranger, one) is None
    assert await _all(read_pool, stranger, Filters()) == []


@pytest.mark.parametrize("limit", [1, 3, 100])
async def test_lists_are_newest_first_and_pages_neither_miss_nor_repeat(
    hot_pool: asyncpg.Pool, read_pool: asyncpg.Pool, tenant: UUID, limit: int
) -> None:
    made = records(await person(hot_pool, tenant), 10, channels=(Channel.EMAIL, Channel.SMS))
    ids = await recorded(hot_pool, made)
    won = (await claim(hot_pool, ids[:8], lease_s=20)).claimed
    await finish(hot_pool, [finished(one, DeliveryStatus.FAILED, reason=Reason.ADDRESS_REJECTED) for one in won])
    newest_first = sorted((row.id for row in made.notifications), reverse=True)
    failed = [one for one in newest_first if any(delivery.id.int >> 16 == one.int >> 16 for delivery in won)]

    assert await _all(read_pool, tenant, Filters(), limit=limit) == newest_first
    assert await _all(read_pool, tenant, Filters(status=DeliveryStatus.FAILED), limit=limit) == failed
    assert await _all(read_pool, tenant, Filters(status=DeliveryStatus.QUEUED), limit=limit) == newest_first[:-4]


async def test_every_filter_narrows_the_list(hot_pool: asyncpg.Pool, read_pool: asyncpg.Pool, tenant: UUID) -> None:
    who, other = await person(hot_pool, tenant), await person(hot_pool, tenant)
    mine = records(who, channels=(Channel.SMS,), category="security", priority=Priority.HIGH)
    theirs = records(other)
    await recorded(hot_pool, mine)
    await recorded(hot_pool, theirs)
    wanted = [mine.notifications[0].id]
    hour = timedelta(hours=1)

    assert await _all(read_pool, tenant, Filters(channel=Channel.SMS)) == wanted
    assert await _all(read_pool, tenant, Filters(user=f"user-{who.user_id}")) == wanted
    assert await _all(read_pool, tenant, Filters(category="security")) == wanted
    assert await _all(read_pool, tenant, Filters(priority=Priority.HIGH)) == wanted
    assert await _all(read_pool, tenant, Filters(channel=Channel.SMS, category="orders")) == []
    assert await _all(read_pool, tenant, Filters(user="nobody")) == []
    assert len(await _all(read_pool, tenant, Filters(since=utc_now() - hour, until=utc_now() + hour))) == 2
    assert await _all(read_pool, tenant, Filters(since=utc_now() + hour)) == []
    assert await _all(read_pool, tenant, Filters(until=utc_now() - hour)) == []


async def test_a_status_nobody_has_ends_the_walk_with_a_cursor(
    hot_pool: asyncpg.Pool, read_pool: asyncpg.Pool, tenant: UUID
) -> None:
    await recorded(hot_pool, records(await person(hot_pool, tenant), MAX_WALK + 100))

    page = await history.listing(read_pool, tenant, Filters(status=DeliveryStatus.DELIVERED))

    assert page["items"] == []
    assert page["next_cursor"] is not None
    assert await _all(read_pool, tenant, Filters(status=DeliveryStatus.DELIVERED)) == []


@pytest.mark.parametrize(("others", "is_found_at_once"), [(0, True), (SHORT_LIST_BYTES // 50, False)])
async def test_what_is_open_is_found_behind_any_number_that_ended_while_the_to_do_list_is_short(
    hot_pool: asyncpg.Pool, read_pool: asyncpg.Pool, tenant: UUID, others: int, is_found_at_once: bool
) -> None:
    await hot_pool.execute("TRUNCATE outbox")
    who = await person(hot_pool, tenant)
    waiting = records(who, channels=(Channel.EMAIL, Channel.SMS))
    await recorded(hot_pool, waiting)
    await recorded(hot_pool, records(who, MAX_WALK + 1, status=DeliveryStatus.SUPPRESSED))
    await hot_pool.execute(
        "INSERT INTO outbox (id, tenant_id, channel, priority, delivery_ids, available_at)"
        " SELECT gen_random_uuid(), gen_random_uuid(), 1, 3, ARRAY[gen_random_uuid()], now()"
        " FROM generate_series(1, $1)",
        others,
    )

    page = await history.listing(read_pool, tenant, Filters(status=DeliveryStatus.QUEUED))
    found = await _all(read_pool, tenant, Filters(status=DeliveryStatus.QUEUED))
    await hot_pool.execute("TRUNCATE outbox")

    assert bool(page["items"]) is is_found_at_once
    assert found == [waiting.notifications[0].id]


async def test_a_problem_and_a_channel_are_of_one_delivery_and_its_notification_is_told_once(
    hot_pool: asyncpg.Pool, read_pool: asyncpg.Pool, tenant: UUID
) -> None:
    channels = (Channel.EMAIL, Channel.SMS, Channel.SMS)
    made = records(await person(hot_pool, tenant), 3, channels=channels, status=DeliveryStatus.SUPPRESSED)
    await recorded(hot_pool, made)
    newest_first = sorted((row.id for row in made.notifications), reverse=True)

    for limit in (1, 2, 3):
        for channel in (None, Channel.SMS):
            filters = Filters(status=DeliveryStatus.SUPPRESSED, channel=channel)
            assert await _all(read_pool, tenant, filters, limit=limit) == newest_first
    assert await _all(read_pool, tenant, Filters(status=DeliveryStatus.SUPPRESSED, channel=Channel.PUSH)) == []


@pytest.mark.parametrize("cursor", ["", "x", "ä", "AAAA", "A" * 30, "A" * 400])
async def test_a_cursor_that_is_not_ours_is_refused(read_pool: asyncpg.Pool, tenant: UUID, cursor: str) -> None:
    with pytest.raises(RequestRefused) as refused:
        await history.listing(read_pool, tenant, Filters(), cursor=cursor)

    assert (refused.value.status, refused.value.reason) == (422, "invalid_cursor")


async def test_a_cursor_of_another_tenant_is_refused(
    hot_pool: asyncpg.Pool, read_pool: asyncpg.Pool, tenant: UUID
) -> None:
    await recorded(hot_pool, records(await person(hot_pool, tenant), 3))
    page = await history.listing(read_pool, tenant, Filters(), limit=1)

    with pytest.raises(RequestRefused):
        await history.listing(read_pool, uuid7(), Filters(), cursor=page["next_cursor"])


async def test_statistics_count_what_stands_there_and_say_as_of_when(
    hot_pool: asyncpg.Pool, engine: AsyncEngine, tenant: UUID
) -> None:
    ids = await recorded(hot_pool, records(await person(hot_pool, tenant), 3, channels=(Channel.EMAIL, Channel.SMS)))
    won = (await claim(hot_pool, ids[:2], lease_s=20)).claimed
    since = utc_now() - timedelta(hours=2)

    for batch in ([], won):
        await finish(hot_pool, [finished(one) for one in batch])
        async with hot_pool.acquire() as conn:
            await rollups.refresh(conn, utc_now())

    told = await rollups.stats(engine, tenant, since)
    split = await rollups.stats(engine, tenant, since, [GroupBy.CHANNEL, GroupBy.HOUR])
    assert {one.status: one.count for one in told.counts} == {DeliveryStatus.SENT: 2, DeliveryStatus.QUEUED: 4}
    assert sum(one.count for one in split.counts if one.group["channel"] == "sms") == 3
    assert told.as_of is not None
    assert utc_now() - told.as_of < timedelta(minutes=1)
    assert await rollups.stats(engine, uuid7(), since) == rollups.Stats(None, [])


@pytest.fixture
async def conn(hot_pool: asyncpg.Pool) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the hot pool."""
    async with hot_pool.acquire() as conn:
        yield conn


async def test_one_leads_and_the_next_one_has_a_higher_epoch(conn: asyncpg.Connection) -> None:
    name = f"duty-{uuid7()}"

    first = await leader.lead(conn, name, "a")
    assert (await leader.lead(conn, name, "b"), await leader.lead(conn, name, "a")) == (None, first)

    await conn.execute("UPDATE leader SET until = now() - interval '1 s' WHERE name = $1", name)
    second = await leader.lead(conn, name, "b")
    assert first is not None
    assert second == first + 1
    assert not await leader.is_still_leader(conn, name, first)
    assert await leader.is_still_leader(conn, name, second)


async def test_an_owner_that_slept_past_its_lease_gets_a_new_epoch(conn: asyncpg.Connection) -> None:
    name = f"duty-{uuid7()}"
    first = await leader.lead(conn, name, "a")
    await conn.execute("UPDATE leader SET until = now() - interval '1 s' WHERE name = $1", name)

    assert await leader.lead(conn, name, "a") != first


async def test_who_resigns_lets_the_next_one_lead_at_once(conn: asyncpg.Connection) -> None:
    name = f"duty-{uuid7()}"
    await leader.lead(conn, name, "a")

    await leader.resign(conn, name, "a")

    assert await leader.lead(conn, name, "b") is not None
