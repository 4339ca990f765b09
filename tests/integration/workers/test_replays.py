"""Replays of dead letters: a canary, ten, the rest; stopped by a failure, paced, resumed, and nothing sent twice."""

import asyncio
from uuid import UUID

import pytest

from domain.delivery import DeliveryStatus
from domain.ids import notification_of
from domain.reasons import Reason
from fanout.relay import Relay
from plumbing.failpoints import Failpoint
from tests.integration.api.bench import PATH
from tests.integration.letters import died
from tests.integration.tracking.builders import status_of
from tests.integration.workers.replaying import Replaying
from tests.integration.workers.stage import eventually
from tests.integration.workers.test_kills import KILLED
from tests.integration.workers.test_roles import running
from tracking.events import EventKind

pytestmark = pytest.mark.usefixtures("outbox_is_empty")


async def test_one_goes_first_then_ten_then_the_rest(replaying: Replaying, tenant: UUID) -> None:
    letters = await died(replaying.stage.pool, tenant, 40)
    asked = await replaying.ask(filter={"reason": "template_missing_variable"}, rate_per_s=20)
    sizes = []

    for _ in range(2):
        await replaying.beat()
        waiting = await replaying.queued(letters)
        sizes.append((len(waiting), (await replaying.told(asked["id"]))["status"]))
        await replaying.beat()
        assert await replaying.queued(letters) == waiting, "nothing follows before the first ones have answered"
        await replaying.answer(waiting)
    await replaying.time_passes(5)
    await replaying.beat()
    await replaying.time_passes(5)
    await replaying.beat()

    assert (asked["status"], asked["matched"]) == ("canary", 40)
    assert sizes == [(1, "canary"), (10, "ten")]
    told = await replaying.told(asked["id"])
    assert (told["status"], told["replayed"], told["looked_at"], told["refused"]) == ("finished", 40, 40, {})
    assert told["finished_at"] is not None
    assert await replaying.bench.list_ids() == []


async def test_the_same_delivery_waits_again_with_an_event_an_envelope_and_a_line(
    replaying: Replaying, tenant: UUID
) -> None:
    [one] = await died(replaying.stage.pool, tenant, words=b"{}")
    await replaying.bench.mine.patch(f"{PATH}/{one.letter}", json={"data": {"order": "A-7"}})
    asked = await replaying.ask(ids=[str(one.letter)])

    await replaying.beat()

    pool = replaying.stage.pool
    assert await status_of(pool, one.delivery) is DeliveryStatus.QUEUED
    assert await replaying.stage.events(one.delivery) == [EventKind.REQUEUED.code]
    row = await pool.fetchrow(
        "SELECT o.delivery_ids, o.published_at FROM outbox o JOIN deliveries d ON d.envelope_id = o.id WHERE d.id = $1",
        one.delivery,
    )
    assert (row["delivery_ids"], row["published_at"]) == ([one.delivery], None)
    told = await replaying.bench.told(one.letter)
    assert told["settlement"] == "replayed"
    assert [(line["what"], line["run_id"]) for line in told["trail"]] == [("edited", None), ("replayed", asked["id"])]
    assert told["events"][0]["facts"]["replay"] == asked["id"]
    words = await pool.fetchval("SELECT data FROM notifications WHERE id = $1", notification_of(one.delivery))
    assert words == b'{"order":"A-7"}'
    assert [edit["data"] for edit in (await replaying.bench.told(one.letter, "?reveal=true"))["edits"]] == [
        {"order": "A-7"},
        {},
    ]


@pytest.mark.parametrize(
    "end", [DeliveryStatus.FAILED, DeliveryStatus.DEAD_LETTERED, DeliveryStatus.AMBIGUOUS, DeliveryStatus.RESTING]
)
async def test_a_canary_that_fails_again_stops_it(replaying: Replaying, tenant: UUID, end: DeliveryStatus) -> None:
    letters = await died(replaying.stage.pool, tenant, 30)
    asked = await replaying.ask(filter={})
    await replaying.beat()
    [canary] = await replaying.queued(letters)

    await replaying.answer([canary], end)
    await replaying.beat()
    await replaying.beat()

    told = await replaying.told(asked["id"])
    assert (told["status"], told["replayed"], told["is_complete"]) == ("stopped", 1, True)
    assert told["why"] == f"canary: delivery {canary} is {end}"
    assert await replaying.queued(letters) == []
    assert len(await replaying.bench.list_ids()) == 29


async def test_one_of_the_ten_that_fails_stops_it(replaying: Replaying, tenant: UUID) -> None:
    letters = await died(replaying.stage.pool, tenant, 30)
    asked = await replaying.ask(filter={})
    await replaying.beat()
    await replaying.answer(await replaying.queued(letters))
    await replaying.beat()
    ten = await replaying.queued(letters)

    await replaying.answer(ten[:9])
    await replaying.answer(ten[9:], DeliveryStatus.BOUNCED)
    await replaying.beat()

    told = await replaying.told(asked["id"])
    assert (told["status"], told["replayed"]) == ("stopped", 11)
    assert told["why"].startswith("ten: ")


async def test_a_canary_that_nobody_tried_says_nothing_and_another_one_goes(replaying: Replaying, tenant: UUID) -> None:
    letters = await died(replaying.stage.pool, tenant, 3)
    asked = await replaying.ask(filter={})
    await replaying.beat()
    first = await replaying.queued(letters)

    await replaying.answer(first, DeliveryStatus.SUPPRESSED)
    await replaying.beat()

    assert len(await replaying.queued(letters)) == 1
    assert (await replaying.told(asked["id"]))["status"] == "canary"


async def test_a_double_click_is_one_replay_and_replaying_again_does_nothing(
    replaying: Replaying, tenant: UUID
) -> None:
    [one] = await died(replaying.stage.pool, tenant)
    body = {"ids": [str(one.letter)]}

    clicks = await asyncio.gather(*(replaying.bench.mine.post(f"{PATH}/replay", json=body) for _ in range(5)))
    other = await replaying.bench.mine.post(f"{PATH}/replay", json={"filter": {}})
    await asyncio.gather(*(replaying.beat() for _ in range(4)))
    await replaying.answer([one.delivery])
    await replaying.beat()
    again = await replaying.ask(**body)
    await replaying.beat()

    assert {click.status_code for click in clicks} == {202}
    assert len({click.json()["id"] for click in clicks}) == 1
    assert (other.status_code, other.json()["reason"]) == (409, "replay_under_way")
    assert again["id"] != clicks[0].json()["id"]
    told = await replaying.told(again["id"])
    assert (told["status"], told["replayed"], told["refused"]) == ("finished", 0, {"already_settled": 1})
    assert await replaying.stage.events(one.delivery) == [EventKind.REQUEUED.code]


async def test_a_key_names_one_replay(replaying: Replaying, tenant: UUID) -> None:
    [one] = await died(replaying.stage.pool, tenant)
    body, headers = {"ids": [str(one.letter)]}, {"idempotency-key": "once"}
    first = await replaying.bench.mine.post(f"{PATH}/replay", json=body, headers=headers)
    await replaying.bench.mine.delete(first.headers["location"])

    again = await replaying.bench.mine.post(f"{PATH}/replay", json=body, headers=headers)
    other = await replaying.bench.mine.post(f"{PATH}/replay", json={"filter": {}}, headers=headers)

    assert (again.json()["id"], again.headers["idempotent-replayed"]) == (first.json()["id"], "true")
    assert (other.status_code, other.json()["reason"]) == (422, "idempotency_key_reused")


async def test_a_cancelled_replay_sends_nothing_more(replaying: Replaying, tenant: UUID) -> None:
    letters = await died(replaying.stage.pool, tenant, 5)
    asked = await replaying.ask(filter={})
    await replaying.beat()

    cancelled = await replaying.bench.mine.delete(f"{PATH}/replays/{asked['id']}")
    await replaying.answer(await replaying.queued(letters))
    await replaying.beat()

    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    assert len(await replaying.bench.list_ids()) == 4
    assert (await replaying.bench.mine.get(f"{PATH}/replays")).json()["items"][0]["replayed"] == 1


async def test_the_rest_goes_no_faster_than_its_pace(replaying: Replaying, tenant: UUID) -> None:
    letters = await died(replaying.stage.pool, tenant, 60)
    await replaying.ask(filter={}, rate_per_s=3)
    for _ in range(2):
        await replaying.beat()
        await replaying.answer(await replaying.queued(letters))
    for _ in range(3):
        await replaying.beat()
    at_once = len(await replaying.queued(letters))

    await replaying.time_passes(60)
    for _ in range(3):
        await replaying.beat()

    assert at_once <= 3 * 6
    assert len(await replaying.queued(letters)) <= at_once + 3 * 6 + 3


async def test_what_killed_processes_goes_to_quarantine(replaying: Replaying, tenant: UUID) -> None:
    [one] = await died(replaying.stage.pool, tenant, reason=Reason.WORKER_CRASH)
    await replaying.ask(ids=[str(one.letter)])

    await replaying.beat()

    async def lies_there() -> bool:
        return await replaying.stage.publisher.queue_depth("quarantine.email") == 1

    await eventually(lies_there)
    assert await Relay(replaying.stage.pool, replaying.stage.publisher).turn() == 0
    assert await replaying.stage.pool.fetchval("SELECT crashes FROM deliveries WHERE id = $1", one.delivery) == 2


async def test_a_replay_goes_the_whole_way_through_a_worker(replaying: Replaying, tenant: UUID) -> None:
    stage = replaying.stage
    letters = await died(stage.pool, tenant, 15)
    relay = Relay(stage.pool, stage.publisher)
    asked = await replaying.ask(filter={})

    async def is_over() -> bool:
        await replaying.time_passes(1)
        await replaying.beat()
        await relay.turn()
        return bool((await replaying.told(asked["id"]))["is_complete"])

    async with stage.worker():
        await eventually(is_over)
        for one in letters:
            await stage.reaches(one.delivery, DeliveryStatus.SENT)

    assert sorted(called for called, _ in stage.channels.calls) == sorted(one.delivery for one in letters)
    assert (await replaying.told(asked["id"]))["replayed"] == 15


async def test_a_scheduler_killed_amid_a_replay_leaves_it_to_the_next_and_nothing_goes_twice(
    replaying: Replaying, tenant: UUID, environment: dict[str, str]
) -> None:
    pool = replaying.stage.pool
    await pool.execute("DELETE FROM leader")
    letters = await died(pool, tenant, 4)
    asked = await replaying.ask(filter={}, canary=4)

    async with running("scheduler", {**environment, "CARILLON_FAILPOINTS": Failpoint.REPLAY_BEFORE_COMMIT}) as first:
        await first.communicate()

    assert first.returncode == KILLED
    assert await replaying.queued(letters) == []
    await pool.execute("DELETE FROM leader")

    async def all_wait() -> bool:
        return len(await replaying.queued(letters)) == 4

    async with running("scheduler", environment):
        await eventually(all_wait)
        await replaying.answer([one.delivery for one in letters])

        async def is_over() -> bool:
            return bool((await replaying.told(asked["id"]))["is_complete"])

        await eventually(is_over)
    assert [await replaying.stage.events(one.delivery) for one in letters] == [[EventKind.REQUEUED.code]] * 4
    await pool.execute("DELETE FROM leader")
