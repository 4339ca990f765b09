"""Planning broadcasts: who gets one and who does not, what it carries, and where it waits when there is no room."""

import asyncio
from datetime import timedelta
from uuid import UUID

import asyncpg
import msgspec
import pytest

from campaigns.broadcasts import BroadcastStatus
from campaigns.planner import Planner
from campaigns.subscribers import following, still_there
from domain.clock import utc_now
from domain.delivery import DeliveryStatus
from domain.lanes import Channel, Priority
from domain.notification import Content
from domain.reasons import Reason
from fanout.accept import Intake
from fanout.limits import Policy
from plumbing import metrics
from tests.builders import a_sender
from tests.integration.campaigns.crowd import a_topic, again, plan_all, planned, publish, subscribe, subscribers
from tests.integration.devices import a_device, a_user, an_app

QUEUED = DeliveryStatus.QUEUED.code


async def test_every_subscriber_gets_one_delivery_and_an_envelope_carries_a_batch(
    intake: Intake, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    await a_topic(hot_pool, tenant)
    devices = await subscribers(hot_pool, tenant, 25)
    broadcast = await publish(intake, tenant)

    assert await plan_all(Planner(intake, batch=10)) == 25

    rows = await planned(hot_pool, broadcast)
    assert [row["address_id"] for row in rows] == devices
    assert {row["status"] for row in rows} == {QUEUED}
    envelopes = await hot_pool.fetch("SELECT * FROM outbox WHERE tenant_id = $1 AND published_at IS NULL", tenant)
    assert sorted(len(row["delivery_ids"]) for row in envelopes) == [5, 10, 10]
    assert {(row["channel"], row["priority"]) for row in envelopes} == {(Channel.PUSH.code, Priority.NORMAL.code)}
    now = await again(hot_pool, broadcast)
    assert (now.status, now.planned) == (BroadcastStatus.FINISHED, 25)


async def test_gates_apply_and_explain_says_why_a_device_was_left_out(
    intake: Intake, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    await a_topic(hot_pool, tenant)
    app = await an_app(hot_pool, tenant)
    ada, bob = await a_user(hot_pool, tenant, "ada", channels={"push": False}), await a_user(hot_pool, tenant, "bob")
    hers, his = [await a_device(hot_pool, tenant, app, user=user) for user in (ada, bob)]
    strange = await a_device(hot_pool, tenant, app)
    await subscribe(hot_pool, tenant, hers, his, strange)
    broadcast = await publish(intake, tenant)

    await plan_all(Planner(intake))

    rows = {row["address_id"]: row for row in await planned(hot_pool, broadcast)}
    assert {device: row["status"] for device, row in rows.items()} == {
        hers: DeliveryStatus.SUPPRESSED.code,
        his: QUEUED,
        strange: QUEUED,
    }
    assert rows[hers]["reason"] == Reason.CHANNEL_OPT_OUT.code
    gates = msgspec.json.decode(rows[hers]["decisions"])["gates"]
    assert gates[-2]["reason"] == "channel_opt_out"
    assert next(gate for gate in gates if gate["gate"] == "key_limit")["inputs"] == {"asked": False}
    assert (await again(hot_pool, broadcast)).planned == 3


async def test_who_is_gone_or_served_by_others_is_no_subscriber(
    intake: Intake, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    await a_topic(hot_pool, tenant)
    app = await an_app(hot_pool, tenant)
    valid = await a_device(hot_pool, tenant, app)
    gone = await a_device(hot_pool, tenant, app, is_gone=True)
    foreign = await a_device(hot_pool, tenant, app, provider="fcm")
    await subscribe(hot_pool, tenant, valid, gone, foreign)
    broadcast = await publish(intake, tenant)

    await plan_all(Planner(intake))

    assert [row["address_id"] for row in await planned(hot_pool, broadcast)] == [valid]


async def test_who_joins_after_the_publication_or_leaves_before_the_planning_gets_nothing(
    intake: Intake, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    await a_topic(hot_pool, tenant)
    early = await subscribers(hot_pool, tenant, 3)
    broadcast = await publish(intake, tenant)
    await subscribers(hot_pool, tenant, 2)
    await hot_pool.execute("DELETE FROM topic_subscriptions WHERE device_id = $1", early[1])

    await plan_all(Planner(intake))

    assert [row["address_id"] for row in await planned(hot_pool, broadcast)] == [early[0], early[2]]


async def test_who_leaves_between_the_look_and_the_commit_is_not_planned(
    intake: Intake, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    await a_topic(hot_pool, tenant)
    devices = await subscribers(hot_pool, tenant, 3)
    broadcast = await publish(intake, tenant)

    looked_at = await following(hot_pool, broadcast, 2)
    await hot_pool.execute("DELETE FROM topic_subscriptions WHERE device_id = $1", devices[0])
    async with hot_pool.acquire() as conn, conn.transaction():
        there = await still_there(conn, broadcast, looked_at[-1])

    assert (looked_at, there) == (devices[:2], {devices[1]})


async def test_subscribers_of_another_tenants_topic_of_that_name_get_nothing(
    intake: Intake, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    other = await hot_pool.fetchval(
        "INSERT INTO tenants (id, name) VALUES (gen_random_uuid(), gen_random_uuid()::text) RETURNING id"
    )
    for each in (tenant, other):
        await a_topic(hot_pool, each)
    await subscribers(hot_pool, other, 3)
    mine = await subscribers(hot_pool, tenant, 1)
    broadcast = await publish(intake, tenant)

    await plan_all(Planner(intake))

    assert [row["address_id"] for row in await planned(hot_pool, broadcast)] == mine


@pytest.mark.parametrize(("storage", "is_live_only"), [("none", True), ("most_recent", False)])
async def test_what_a_topic_keeps_decides_what_a_push_carries(
    intake: Intake, hot_pool: asyncpg.Pool, tenant: UUID, storage: str, is_live_only: bool
) -> None:
    await a_topic(hot_pool, tenant, storage=storage)
    await subscribers(hot_pool, tenant, 1)
    broadcast = await publish(intake, tenant, content=Content(title="Goal!", body="Two to one."))

    await plan_all(Planner(intake))

    [row] = await planned(hot_pool, broadcast)
    push = msgspec.json.decode(row["data"], type=Content).push
    assert push is not None
    assert push.payload == {"aps": {"alert": {"title": "Goal!", "body": "Two to one."}}}
    assert (push.topic, push.is_live_only) == ("news.sport", is_live_only)
    assert row["collapse_id"] == (None if is_live_only else "topic:news.sport")
    assert (row["expires_at"] - row["created_at"] <= timedelta(seconds=30)) is is_live_only


async def test_a_collapse_id_that_was_given_stands(intake: Intake, hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    await a_topic(hot_pool, tenant)
    await subscribers(hot_pool, tenant, 1)
    broadcast = await publish(intake, tenant, collapse_id="match-17")

    await plan_all(Planner(intake))

    assert [row["collapse_id"] for row in await planned(hot_pool, broadcast)] == ["match-17"]


async def test_its_life_counts_from_the_publication_however_late_it_is_planned(
    intake: Intake, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    await a_topic(hot_pool, tenant)
    await subscribers(hot_pool, tenant, 1)
    in_time, late = [await publish(intake, tenant, expires_in_s=seconds) for seconds in (600, 60)]

    planner = Planner(intake, clock=lambda: utc_now() + timedelta(seconds=120))
    await plan_all(planner)

    [row] = await planned(hot_pool, in_time)
    assert row["expires_at"] - in_time.created_at == pytest.approx(timedelta(seconds=600), abs=timedelta(seconds=2))
    [row] = await planned(hot_pool, late)
    assert (row["status"], row["reason"]) == (DeliveryStatus.SUPPRESSED.code, Reason.EXPIRED.code)


async def test_a_broadcast_is_one_request_of_its_key_and_many_of_its_users(
    intake: Intake, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    strict = Intake(
        hot_pool,
        intake.cache,
        intake.limiter,
        intake.seal,
        intake.catalog,
        intake.categories,
        Policy(key_per_s=0.001, key_burst=1, user_per_hour=1, user_burst=1),
    )
    await a_topic(hot_pool, tenant)
    await subscribers(hot_pool, tenant, 5)
    sender = a_sender(tenant)
    first = await publish(intake, tenant, sender=sender)
    await plan_all(Planner(strict))
    second = await publish(intake, tenant, sender=sender)
    await plan_all(Planner(strict))

    assert {row["status"] for row in await planned(hot_pool, first)} == {QUEUED}
    assert {row["reason"] for row in await planned(hot_pool, second)} == {Reason.RATE_LIMITED.code}


async def test_without_room_in_the_outbox_a_broadcast_waits_and_goes_on_when_there_is_some(
    intake: Intake, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    await a_topic(hot_pool, tenant)
    await subscribers(hot_pool, tenant, 50)
    broadcast = await publish(intake, tenant)

    assert await plan_all(Planner(intake, batch=10, max_waiting=20)) == 20
    assert (await again(hot_pool, broadcast)).status is BroadcastStatus.RUNNING
    assert await plan_all(Planner(intake, batch=10, max_waiting=20)) == 0
    await hot_pool.execute("UPDATE outbox SET published_at = now(), watch_at = now() + interval '1 h'")

    assert await plan_all(Planner(intake, batch=10, max_waiting=100)) == 30
    assert len(await planned(hot_pool, broadcast)) == 50


async def test_open_broadcasts_take_turns(intake: Intake, hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    await a_topic(hot_pool, tenant)
    await a_topic(hot_pool, tenant, "small")
    await subscribers(hot_pool, tenant, 40)
    await subscribers(hot_pool, tenant, 3, "small")
    large, small = await publish(intake, tenant), await publish(intake, tenant, "small")

    await Planner(intake, batch=10).turn()

    assert (await again(hot_pool, small)).status is BroadcastStatus.FINISHED
    assert (await again(hot_pool, large)).planned == 10


async def test_planners_at_once_never_plan_a_device_twice(intake: Intake, hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    await a_topic(hot_pool, tenant)
    devices = await subscribers(hot_pool, tenant, 600)
    broadcast = await publish(intake, tenant)
    before = metrics.BROADCAST_PLANNED._value.get()

    async def plan_until_finished() -> int:
        planner, done = Planner(intake, batch=20), 0
        while (await again(hot_pool, broadcast)).status is BroadcastStatus.RUNNING:
            done += await planner.turn()
        return done

    async with asyncio.timeout(30):
        shares = await asyncio.gather(*(plan_until_finished() for _ in range(3)))

    assert [row["address_id"] for row in await planned(hot_pool, broadcast)] == devices
    assert sum(shares) == (await again(hot_pool, broadcast)).planned == 600
    assert metrics.BROADCAST_PLANNED._value.get() - before == 600


async def test_one_that_cannot_be_planned_rests_and_keeps_no_other_waiting(
    intake: Intake, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    await a_topic(hot_pool, tenant)
    devices = await subscribers(hot_pool, tenant, 2)
    broken, whole = await publish(intake, tenant), await publish(intake, tenant)
    await hot_pool.execute(
        "UPDATE broadcasts SET request = convert_to(replace(convert_from(request, 'utf8'), '\"general\"', '\"gone\"'),"
        " 'utf8') WHERE id = $1",
        broken.id,
    )
    planner = Planner(intake)

    assert await plan_all(planner) == 2

    assert await planned(hot_pool, broken) == []
    assert (await again(hot_pool, broken)).status is BroadcastStatus.RUNNING
    assert [row["address_id"] for row in await planned(hot_pool, whole)] == devices
