"""Replays that are refused, as a whole or letter by letter: by whom, of how many, and by the rules of now."""

from datetime import timedelta
from uuid import UUID

import pytest

from domain.clock import rfc3339, utc_now
from domain.delivery import DeliveryStatus
from domain.errors import RequestRefused
from domain.ids import notification_of, uuid7
from domain.notification import Mode
from fanout.gates.dedupe import window_key
from tests.integration.api.bench import PATH
from tests.integration.letters import died, unreadable
from tests.integration.tracking.builders import person
from tests.integration.workers.replaying import Replaying
from tracking.dead import runs
from tracking.dead.listing import Chosen

pytestmark = pytest.mark.usefixtures("outbox_is_empty")


async def test_each_letter_is_asked_about_again_and_a_dry_run_says_the_same(replaying: Replaying, tenant: UUID) -> None:
    pool = replaying.stage.pool
    out, hasty, ada = await person(pool, tenant), await person(pool, tenant), await person(pool, tenant)
    fine = await died(pool, ada)
    late = await died(pool, ada, expires_in_s=-60)
    extended = await died(pool, ada, expires_in_s=-60)
    until = rfc3339(utc_now() + timedelta(hours=1))
    await replaying.bench.mine.patch(f"{PATH}/{extended[0].letter}", json={"expires_at": until})
    opted = await died(pool, out)
    await pool.execute(
        'INSERT INTO preferences (user_id, document, version) VALUES ($1, \'{"channels": {"email": false}}\', 1)',
        out.user_id,
    )
    cancelled, settled, moved = [(await died(pool, ada))[0] for _ in range(3)]
    await pool.execute(
        "UPDATE notifications SET cancelled_at = now() WHERE id = $1", notification_of(cancelled.delivery)
    )
    await replaying.bench.mine.post(f"{PATH}/discard", json={"ids": [str(settled.letter)], "why": "x"})
    await replaying.answer([moved.delivery], DeliveryStatus.DELIVERED)
    told_twice = await died(pool, hasty, dedupe_key="shipped")
    await pool.execute(
        "INSERT INTO dedupe (key, notification_id, expires_at) VALUES ($1, $2, now() + interval '1 hour')",
        window_key(tenant, Mode.LIVE, hasty.user_id, "orders", "shipped"),
        uuid7(),
    )
    bad = await unreadable(pool, tenant)
    single = [one.letter for group in (fine, late, extended, opted, told_twice) for one in group]
    ids = [str(one) for one in (*single, cancelled.letter, settled.letter, moved.letter, bad)]

    dry = await replaying.ask(ids=ids, dry_run=True, canary=100)
    assert await replaying.queued([*fine, *extended]) == []
    asked = await replaying.ask(ids=ids, canary=100)
    await replaying.beat()

    expected = dict.fromkeys(
        ("expired", "suppressed", "cancelled", "already_settled", "moved_on", "unreadable", "duplicate"), 1
    )
    told = await replaying.told(asked["id"])
    assert (dry["refused"], dry["replayed"], dry["matched"], dry["is_complete"]) == (expected, 2, 9, True)
    assert (told["refused"], told["replayed"]) == (expected, 2)
    assert await replaying.queued([*fine, *extended]) == sorted([fine[0].delivery, extended[0].delivery])
    trail = (await replaying.bench.told(opted[0].letter))["trail"]
    assert [(line["what"], line["why"]) for line in trail] == [("refused", "suppressed: channel_opt_out")]
    assert (await replaying.bench.told(late[0].letter))["settled_at"] is None


async def test_news_of_one_key_goes_once(replaying: Replaying, tenant: UUID) -> None:
    ada = await person(replaying.stage.pool, tenant)
    letters = await died(replaying.stage.pool, ada, 3, dedupe_key="shipped")
    asked = await replaying.ask(filter={}, canary=3)

    await replaying.beat()

    assert (await replaying.told(asked["id"]))["refused"] == {"duplicate": 2}
    assert len(await replaying.queued(letters)) == 1


async def test_who_may_only_read_replays_nothing_and_strangers_see_nothing(replaying: Replaying, tenant: UUID) -> None:
    [one] = await died(replaying.stage.pool, tenant)
    body = {"ids": [str(one.letter)]}
    asked = await replaying.ask(filter={})
    there = f"{PATH}/replays/{asked['id']}"
    bench = replaying.bench

    viewer = [
        await bench.viewer.post(f"{PATH}/replay", json=body),
        await bench.viewer.post(f"{PATH}/replay", json=body | {"dry_run": True}),
        await bench.viewer.delete(there),
    ]
    foreign = [
        await bench.foreign.post(f"{PATH}/replay", json=body),
        await bench.foreign.get(there),
        await bench.foreign.delete(there),
    ]

    assert [answer.status_code for answer in viewer] == [403] * 3
    assert [answer.status_code for answer in foreign] == [404] * 3
    assert (await bench.viewer.get(there)).json()["status"] == "canary"


@pytest.mark.parametrize("asked", [{"rate_per_s": 501}, {"rate_per_s": 0}, {"canary": 0}, {"canary": 101}])
async def test_a_replay_without_limits_is_refused(replaying: Replaying, asked: dict[str, int]) -> None:
    answer = await replaying.bench.mine.post(f"{PATH}/replay", json={"filter": {}} | asked)

    assert answer.status_code == 422


async def test_a_replay_of_too_many_is_refused_and_nothing_of_it_begun(replaying: Replaying, tenant: UUID) -> None:
    await died(replaying.stage.pool, tenant, 12)

    with pytest.raises(RequestRefused, match="at most 11 letters"):
        await runs.start(
            replaying.stage.pool,
            tenant,
            Chosen(),
            canary=1,
            rate_per_s=50,
            who="me",
            fingerprint=uuid7(),
            at_most=11,
        )

    assert (await replaying.bench.mine.get(f"{PATH}/replays")).json()["items"] == []
