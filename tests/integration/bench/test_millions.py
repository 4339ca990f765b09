"""The scenarios for large databases, on small ones: what they fill is what they say, and what they ask is answered."""

import pytest

from domain.delivery import ENDED, DeliveryStatus
from domain.ids import moment_of
from ops.bench.backlog import BacklogPlan, measure_backlog
from ops.bench.filler import DAYS, Filled, fill
from ops.bench.platform_peer import PlatformPeer
from ops.bench.platform_side import PlatformSide
from ops.bench.read import ReadPlan, measure_read
from ops.stack.database import connected

ROWS = 4000


@pytest.fixture
def side(peer: PlatformPeer) -> PlatformSide:
    """A platform, which other tests may have used before."""
    return peer.side


@pytest.fixture(scope="module")
async def filled(peer: PlatformPeer) -> Filled:
    """Its past."""
    return await fill(peer.side.run.database_url, notifications=ROWS, say=lambda _: None)


async def test_a_past_has_every_end_in_its_share_and_every_id_in_its_time(side: PlatformSide, filled: Filled) -> None:
    async with connected(side.run.database_url) as conn:
        await conn.execute("CREATE TEMPORARY VIEW people AS SELECT * FROM users WHERE external_id LIKE 'person-%'")
        statuses = dict(
            await conn.fetch("SELECT d.status, count(*) FROM deliveries d JOIN people p ON p.id = d.user_id GROUP BY 1")
        )
        notes = await conn.fetch(
            "SELECT n.id, n.created_at, p.tenant_id = n.tenant_id AS is_mine FROM notifications n"
            " JOIN people p ON p.id = n.user_id"
        )
        events = await conn.fetchval(
            "SELECT count(*) FROM events e JOIN deliveries d ON d.id = e.delivery_id JOIN people p ON p.id = d.user_id"
        )

    assert len(notes) == filled.notifications == ROWS
    assert sum(statuses.values()) == filled.deliveries
    assert {DeliveryStatus.of(code) for code in statuses} <= {*ENDED, DeliveryStatus.AMBIGUOUS}
    assert 0.70 < statuses[DeliveryStatus.DELIVERED.code] / filled.deliveries < 0.78
    assert events == filled.events
    assert all(row["is_mine"] and abs((moment_of(row["id"]) - row["created_at"]).total_seconds()) < 1 for row in notes)
    assert (max(row["created_at"] for row in notes) - min(row["created_at"] for row in notes)).days >= DAYS - 1


async def test_every_question_about_a_past_is_answered(side: PlatformSide, filled: Filled) -> None:
    figures = await measure_read(side.run, filled, ReadPlan(rows=ROWS, asked=3))

    asked = {(each.tenant, each.question): each for each in figures.answers}
    assert asked["local", "get"].items == 1
    assert asked["local", "list, newest"].items == 50
    assert asked["local", "list, status=queued (nobody)"].items == 0
    assert asked["local", "list, status=failed"].items > 0
    assert all(0 < each.p50_ms <= each.p99_ms <= each.worst_ms for each in figures.answers)


@pytest.mark.parametrize("per_envelope", [1, 50])
async def test_a_backlog_waits_in_postgresql_and_is_worked_off_once_there_is_a_worker(
    side: PlatformSide, per_envelope: int
) -> None:
    plan = BacklogPlan(waiting=300, per_envelope=per_envelope, devices=10, watch_s=3.0, work_s=120.0)

    figures = await measure_backlog(side, plan, lambda _: None)

    assert (figures.heard, figures.twice) == (300, 0)
    assert figures.admitted == 300, "they are fewer than a lane holds"
    assert figures.before.keys() == figures.waiting.keys() == figures.working.keys() - {"worker-1"}
