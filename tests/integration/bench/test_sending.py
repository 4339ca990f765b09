"""The sending scenarios on real servers: ledgers that agree, and ones that were doctored."""

import asyncio
from pathlib import Path

import pytest

from ops.bench.accounting import per_notification_us, used_s
from ops.bench.agreement import Disagreement, differences, insist
from ops.bench.calls import drawn, sampled, tree_of
from ops.bench.peer import Wish
from ops.bench.platform_peer import PlatformPeer
from ops.bench.rendering import RenderPlan, measure_render
from ops.bench.rounds import NotAccepted, one_round
from ops.stack.database import connected

WITHIN_S = 30.0


@pytest.mark.parametrize(
    "wish",
    [Wish(80, 8), Wish(130, 2, per_request=50), Wish(40, 8, per_s=200.0)],
    ids=["single", "bulk", "latency"],
)
async def test_every_notification_of_a_round_ends_delivered_and_is_heard_once(peer: PlatformPeer, wish: Wish) -> None:
    came_to = await one_round(peer, wish, settle_s=WITHIN_S)

    assert came_to.statuses == {"delivered": wish.count}
    assert (came_to.accepted, came_to.unasked, came_to.is_cut) == (wish.count, 0, False)
    assert 0 < came_to.p50_ms <= came_to.p90_ms <= came_to.p99_ms
    assert came_to.door_per_s > 0
    assert came_to.final_per_s > 0


async def test_rows_that_were_doctored_are_found_out(peer: PlatformPeer) -> None:
    await peer.begin()
    sent = await peer.send(Wish(20, 4))
    assert await peer.settled(sent, within_s=WITHIN_S)
    heard = await peer.heard()
    assert differences(sent, await peer.kept(), heard) == []
    lost, undone = sorted(sent.accepted)[:2]

    async with connected(peer.side.run.database_url) as conn:
        await conn.execute("DELETE FROM deliveries WHERE id = $1", lost)
        await conn.execute("UPDATE deliveries SET status = 1 WHERE id = $1", undone)

    with pytest.raises(Disagreement, match=rf"1 accepted but not in the database \({lost}\); 1 queued"):
        insist("Carillon", sent, await peer.kept(), heard)


async def test_a_door_that_refuses_ends_the_run_with_its_words(peer: PlatformPeer) -> None:
    key, peer.side._headers = peer.side._headers, (("Authorization", "Bearer nobody"),)
    try:
        with pytest.raises(NotAccepted, match=r"Carillon refused 3 of 3: 401 "):
            await one_round(peer, Wish(3, 1), settle_s=WITHIN_S)
    finally:
        peer.side._headers = key


async def test_what_has_not_been_asked_by_the_deadline_is_not_asked_any_more(peer: PlatformPeer) -> None:
    came_to = await one_round(peer, Wish(1000, 2, per_s=100.0, within_s=0.3), settle_s=WITHIN_S)

    assert came_to.is_cut
    assert came_to.accepted + came_to.unasked == 1000
    assert came_to.statuses == {"delivered": came_to.accepted}


async def test_the_account_charges_every_role_and_the_calls_name_its_code(peer: PlatformPeer, calls: Path) -> None:
    written, before = calls / "api.folded", used_s(peer.pids)
    async with sampled(peer.pids["api"], written):
        came_to = await one_round(peer, Wish(300, 16), settle_s=WITHIN_S)
    parts = per_notification_us(before, used_s(peer.pids), came_to.accepted)

    assert [role for role in ("api", "worker", "gateway", "PostgreSQL", "broker") if not parts[role]] == []
    assert "send_one (api/hot.py)" in drawn(tree_of(written.read_text().splitlines()), least_share=0.0)


async def test_versions_are_those_of_what_runs(peer: PlatformPeer) -> None:
    known = await peer.versions()

    assert list(known) == ["PostgreSQL", "Redis", "RabbitMQ", "Python"]
    assert all(known.values())


async def test_every_shipped_message_is_rendered_on_every_channel_that_it_has(peer: PlatformPeer) -> None:
    made = await measure_render(peer.side.run, RenderPlan(seconds=0.005))

    assert {("order_shipped", "push"), ("order_shipped", "email"), ("order_shipped", "sms")} <= {
        (one.template, one.channel) for one in made
    }
    assert min(one.per_s for one in made) > 0


async def test_two_rounds_do_not_see_each_other(peer: PlatformPeer) -> None:
    await one_round(peer, Wish(5, 1), settle_s=WITHIN_S)
    await peer.begin()
    await asyncio.sleep(0)

    assert (await peer.kept()).statuses == {}
    assert (await peer.heard()).at == {}
