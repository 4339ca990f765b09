"""Accept on real PostgreSQL and Redis: what is kept, what is refused and leaves no trace."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from domain.delivery import DeliveryStatus
from domain.errors import RequestRefused
from domain.lanes import Channel, Lane, Priority
from domain.notification import Mode, NotificationRequest, NotificationStatus, Recipient
from domain.reasons import Reason
from fanout.accept import Intake, peek
from fanout.batch import Batcher
from tests.builders import a_key, a_request, a_sender, an_item
from tests.integration.fanout.conftest import Published, count

pytestmark = pytest.mark.usefixtures("batcher")


async def test_a_request_is_in_postgresql_when_it_is_answered(
    batcher: Batcher, hot_pool: asyncpg.Pool, tenant: UUID, published: Published
) -> None:
    accepted = await batcher.submit(an_item(a_sender(tenant)))

    row = await hot_pool.fetchrow("SELECT status, channel FROM deliveries WHERE id = $1", accepted.deliveries[0].id)
    assert accepted.status is NotificationStatus.ACCEPTED
    assert (row["status"], row["channel"]) == (DeliveryStatus.QUEUED.code, Channel.EMAIL.code)
    assert published.rows[0].delivery_ids == [accepted.deliveries[0].id]


async def test_one_bad_row_among_five_hundred_errs_alone(
    batcher: Batcher, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    """The door would refuse a NUL; here it stands for anything that only PostgreSQL finds wrong."""
    sender = a_sender(tenant)
    items = [an_item(sender, to=f"u{n}@example.com", collapse_id="bad\0" if n == 250 else None) for n in range(500)]

    answers = await asyncio.gather(*(batcher.submit(item) for item in items), return_exceptions=True)

    refused = [n for n, answer in enumerate(answers) if isinstance(answer, BaseException)]
    assert refused == [250]
    assert isinstance(answers[250], RequestRefused)
    assert answers[250].reason == "data_rejected"
    assert await count(hot_pool, "notifications", tenant) == 499


async def test_in_a_bulk_one_bad_request_never_spoils_the_others(
    batcher: Batcher, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    sender = a_sender(tenant)
    shape = RequestRefused("invalid_request", "unknown field")
    requests: list[NotificationRequest | RequestRefused] = [
        a_request("a@example.com"),
        shape,
        a_request(Recipient(user="nobody")),
        a_request("b@example.com", collapse_id="bad\0"),
        a_request("c@example.com"),
    ]

    accepted = await batcher.submit_bulk(sender, requests, None)

    reasons = [result.reason if isinstance(result, RequestRefused) else None for result in accepted.results]
    assert reasons == [None, "invalid_request", "unknown_recipient", "data_rejected", None]
    assert await count(hot_pool, "notifications", tenant) == 2


async def test_an_unknown_user_is_refused_and_leaves_nothing(
    batcher: Batcher, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    with pytest.raises(RequestRefused, match="unknown_recipient"):
        await batcher.submit(an_item(a_sender(tenant), a_key("unknown"), to=Recipient(user="nobody")))

    assert await count(hot_pool, "notifications", tenant) == 0
    assert await count(hot_pool, "users", tenant) == 0


async def test_an_inline_recipient_becomes_a_user_with_the_same_commit(
    batcher: Batcher, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    sender = a_sender(tenant)
    inline = Recipient(user="user-1", email="user-1@example.com", timezone="Europe/Paris")
    await batcher.submit(an_item(sender, to=inline))

    later = await batcher.submit(an_item(sender, to=Recipient(user="user-1")))

    assert later.status is NotificationStatus.ACCEPTED
    assert await hot_pool.fetchval("SELECT timezone FROM users WHERE tenant_id = $1", tenant) == "Europe/Paris"


async def test_a_refused_request_writes_no_user(batcher: Batcher, hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    inline = Recipient(user="user-2", email="user-2@example.com")

    with pytest.raises(RequestRefused, match="unknown_template"):
        await batcher.submit(an_item(a_sender(tenant), to=inline, template="no-such", content=None))

    assert await count(hot_pool, "users", tenant) == 0


async def test_data_that_a_template_lacks_is_named(batcher: Batcher, tenant: UUID) -> None:
    with pytest.raises(RequestRefused) as refused:
        await batcher.submit(an_item(a_sender(tenant), template="order_shipped", content=None, data={}))

    assert refused.value.reason == "invalid_data"
    assert "/data/order" in {fault.pointer for fault in refused.value.faults}


async def test_a_scheduled_request_waits_in_postgresql(
    batcher: Batcher, hot_pool: asyncpg.Pool, tenant: UUID, published: Published
) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)

    accepted = await batcher.submit(an_item(a_sender(tenant), send_at=tomorrow))

    assert (accepted.deliveries[0].status, accepted.deliveries[0].reason) == (
        DeliveryStatus.DEFERRED,
        Reason.SCHEDULED,
    )
    assert await hot_pool.fetchval("SELECT available_at FROM outbox WHERE tenant_id = $1", tenant) == tomorrow
    assert published.rows == []


async def test_low_priority_is_left_to_the_relay(
    batcher: Batcher, hot_pool: asyncpg.Pool, tenant: UUID, published: Published
) -> None:
    await batcher.submit(an_item(a_sender(tenant), priority=Priority.LOW))

    assert published.rows == []
    assert await hot_pool.fetchval("SELECT available_at <= now() FROM outbox WHERE tenant_id = $1", tenant)


async def test_a_lane_without_room_is_left_to_the_relay(
    intake: Intake, hot_pool: asyncpg.Pool, tenant: UUID, published: Published
) -> None:
    asked = asyncio.Event()

    async def only_sms() -> list[Lane]:
        asked.set()
        return [Lane(Channel.SMS, Priority.NORMAL)]

    batcher = Batcher(intake, published, open_lanes=only_sms)
    batcher.open()
    await asked.wait()
    await batcher.submit(an_item(a_sender(tenant)))
    await batcher.close()

    assert published.rows == []
    assert await hot_pool.fetchval("SELECT available_at <= now() FROM outbox WHERE tenant_id = $1", tenant)


async def test_what_rabbitmq_confirmed_is_written_down(batcher: Batcher, hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    await batcher.submit(an_item(a_sender(tenant)))

    async with asyncio.timeout(20):
        while not await hot_pool.fetchval("SELECT published_at FROM outbox WHERE tenant_id = $1", tenant):
            await asyncio.sleep(0.05)
        watch_at = await hot_pool.fetchval("SELECT watch_at FROM outbox WHERE tenant_id = $1", tenant)
    assert watch_at > datetime.now(UTC)


async def test_a_preference_written_is_honoured_by_the_next_request(
    batcher: Batcher, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    """The cache still knows the older version: PostgreSQL's word counts."""
    sender, to = a_sender(tenant), Recipient(user="opting-out", email="opting-out@example.com")
    await batcher.submit(an_item(sender, to=to))
    await batcher.submit(an_item(sender, to=Recipient(user="opting-out")))
    user = await hot_pool.fetchval("UPDATE users SET version = version + 1 WHERE tenant_id = $1 RETURNING id", tenant)
    await hot_pool.execute(
        "INSERT INTO preferences (user_id, document, version) VALUES ($1, $2, 2)",
        user,
        '{"channels": {"email": false}}',
    )

    answer = await batcher.submit(an_item(sender, to=Recipient(user="opting-out")))

    assert (answer.status, answer.reason) == (NotificationStatus.SUPPRESSED, Reason.CHANNEL_OPT_OUT)


async def test_peek_says_what_accept_would_and_leaves_nothing(
    intake: Intake, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    item = an_item(a_sender(tenant), to=Recipient(user="peeked", email="peeked@example.com"), dedupe_key="peek")

    case = await peek(intake, item, now=datetime.now(UTC))

    assert [each.status for each in case.deliveries] == [DeliveryStatus.QUEUED]
    assert {str(decision.gate) for decision in case.decisions} >= {"recipient", "consent", "quiet_hours", "dedupe"}
    for table in ("notifications", "users", "contacts", "outbox"):
        assert await count(hot_pool, table, tenant) == 0
    assert await hot_pool.fetchval("SELECT count(*) FROM dedupe WHERE notification_id = $1", case.id) == 0


async def test_test_keys_are_kept_apart(batcher: Batcher, hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    live = await batcher.submit(an_item(a_sender(tenant), dedupe_key="modes"))
    test = await batcher.submit(an_item(a_sender(tenant, Mode.TEST), dedupe_key="modes"))

    modes = await hot_pool.fetch("SELECT id, mode FROM notifications WHERE tenant_id = $1 ORDER BY id", tenant)
    assert test.duplicate_of is None
    assert {row["id"]: Mode.of(row["mode"]) for row in modes} == {live.id: Mode.LIVE, test.id: Mode.TEST}
