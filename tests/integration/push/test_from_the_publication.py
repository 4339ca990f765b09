"""From a publication to devices: planner, relay, worker and channel together, with a gateway that listens."""

from uuid import UUID

import msgspec
import pytest

from campaigns.broadcasts import Broadcast
from campaigns.planner import Planner
from domain.delivery import DeliveryStatus
from domain.notification import Content
from domain.reasons import Reason
from fanout.accept import Intake
from fanout.limits import Policy
from fanout.relay import Relay
from plumbing.cache import Cache
from plumbing.limiter import Limiter
from preferences.categories import Categories
from templates.catalog import Catalog
from tests.integration.campaigns.crowd import a_topic, plan_all, planned, publish, subscribe
from tests.integration.devices import SEAL, a_device, an_app
from tests.integration.push.stage import PushStage
from tests.integration.workers.stage import eventually

S = DeliveryStatus


@pytest.fixture
async def intake(push: PushStage, cache: Cache) -> Intake:
    """What the planner works with; nothing is open or waiting."""
    await push.pool.execute("DELETE FROM broadcasts")
    await push.pool.execute("DELETE FROM outbox")
    limits = Policy(key_per_s=1, key_burst=1, user_per_hour=10_000, user_burst=1_000)
    return Intake(push.pool, cache, Limiter(cache), SEAL, Catalog([]), Categories(), limits)


async def reached(push: PushStage, intake: Intake, tenant: UUID, title: str) -> Broadcast:
    """A publication, planned and handed to the broker; whoever works there has to end it."""
    broadcast = await publish(intake, tenant, content=Content(title=title))
    await plan_all(Planner(intake))
    await Relay(push.pool, push.publisher).turn()

    async def is_over() -> bool:
        open_ = {S.QUEUED.code, S.SENDING.code}
        return not open_ & {row["status"] for row in await planned(push.pool, broadcast)}

    await eventually(is_over, within_s=40, what=f"the end of {title}")
    return broadcast


async def test_who_is_connected_gets_it_and_who_is_away_keeps_the_most_recent(
    push: PushStage, intake: Intake, tenant: UUID
) -> None:
    app = await an_app(push.pool, tenant)
    here, away = [await a_device(push.pool, tenant, app) for _ in range(2)]
    await a_topic(push.pool, tenant)
    await subscribe(push.pool, tenant, here, away)

    async with push.gateway() as gateway, push.worker():
        await gateway.login(here)
        first = await reached(push, intake, tenant, "One to one")
        second = await reached(push, intake, tenant, "Two to one")

    told = [msgspec.json.decode(frame.body) for frame in gateway.frames]
    assert [one["payload"]["aps"]["alert"]["title"] for one in told] == ["One to one", "Two to one"]
    assert {(one["topic"], one["collapse_id"]) for one in told} == {("news.sport", "topic:news.sport")}
    stood = [
        {row["address_id"]: S.of(row["status"]) for row in await planned(push.pool, one)} for one in (first, second)
    ]
    assert stood == [{here: S.SENT, away: S.COLLAPSED}, {here: S.SENT, away: S.STORED}]
    [kept] = await push.pool.fetch("SELECT topic, payload FROM mailbox WHERE device_id = $1", away)
    assert kept["topic"] == "news.sport"
    assert b"Two to one" in kept["payload"]


async def test_of_a_topic_that_keeps_nothing_who_is_away_gets_nothing(
    push: PushStage, intake: Intake, tenant: UUID
) -> None:
    app = await an_app(push.pool, tenant)
    here, away = [await a_device(push.pool, tenant, app) for _ in range(2)]
    await a_topic(push.pool, tenant, storage="none")
    await subscribe(push.pool, tenant, here, away)

    async with push.gateway() as gateway, push.worker():
        await gateway.login(here)
        broadcast = await reached(push, intake, tenant, "Now")

    rows = {row["address_id"]: row for row in await planned(push.pool, broadcast)}
    assert [msgspec.json.decode(frame.body)["topic"] for frame in gateway.frames] == ["news.sport"]
    assert S.of(rows[here]["status"]) is S.SENT
    assert (S.of(rows[away]["status"]), Reason.of(rows[away]["reason"])) == (S.EXPIRED, Reason.DEVICE_OFFLINE)
    assert await push.pool.fetchval("SELECT count(*) FROM mailbox WHERE tenant_id = $1", tenant) == 0
