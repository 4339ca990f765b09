"""An erased person is gone from every table, from Redis and from the logs; what figures need stays."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest
from structlog.testing import capture_logs

from api import erasing
from domain.clock import utc_now
from domain.delivery import DeliveryStatus
from domain.ids import delivery_id
from plumbing.tables import METADATA
from plumbing.tables.personal import HOLDINGS
from preferences import erasures
from tests.integration.people.subject import Stage, make_person
from tests.integration.push.test_device_duties import led_by
from tests.integration.tracking.builders import person, recorded, records
from tracking.erasure import without_inputs
from workers.people_duties import PeopleDuties


async def test_after_erasing_the_mark_of_a_person_is_nowhere(stage: Stage) -> None:
    sent = await make_person(stage)
    unmarked = {
        (name, column)
        for name, holding in HOLDINGS.items()
        for column in holding.personal
        if not await stage.marked(name, column)
    }
    assert unmarked == set(), "the test must see every personal column filled before it sees it empty"
    await stage.send()

    with capture_logs() as lines:
        answer = await stage.client.delete(stage.path)

    assert answer.status_code == 204, lines
    await stage.pool.execute("DELETE FROM topics WHERE tenant_id = $1 AND name = $2", stage.tenant, f"t-{stage.mark}")
    left = {table: rows for table in METADATA.tables if (rows := await stage.found_in(table))}
    assert left == {}
    assert await stage.found_in_redis() == []
    assert stage.mark not in repr(lines)
    assert len(sent) == 2


async def test_what_figures_need_stays(stage: Stage) -> None:
    sent = await make_person(stage)
    before = await stage.pool.fetch("SELECT id, status, reason FROM deliveries WHERE tenant_id = $1", stage.tenant)

    await stage.call("DELETE", stage.path)

    told = (await stage.call("GET", f"/api/v1/notifications/{sent[0]}/explain")).json()
    after = await stage.pool.fetch("SELECT id, status, reason FROM deliveries WHERE tenant_id = $1", stage.tenant)
    assert {row["id"] for row in after} == {row["id"] for row in before}
    failed = next(each for each in told["notification"]["deliveries"] if each["status"] == "failed")
    assert failed["attempts"][0]["facts"] == {"status": "failed", "reason": "address_rejected"}
    stored = delivery_id(sent[0], 2)
    assert {row["id"]: row["status"] for row in after}[stored] == DeliveryStatus.CANCELLED.code
    assert [gate["verdict"] for gate in told["gates"]] == ["pass"]
    suppressed = (await stage.call("GET", "/api/v1/suppressions")).json()["items"]
    assert [(each["category"], each["address"]) for each in suppressed] == [("marketing", None)]


async def test_a_repeated_request_still_gets_its_first_answer(stage: Stage) -> None:
    await stage.call("PUT", stage.path, {"email": "ada@example.org"})
    wish = {"to": stage.user, "content": {"title": "Hello", "body": "you"}}
    asked: dict[str, Any] = {"json": wish, "headers": {"idempotency-key": stage.mark}}
    first = await stage.client.post("/api/v1/notifications", **asked)
    await stage.call("DELETE", stage.path)

    again = await stage.client.post("/api/v1/notifications", **asked)

    assert (again.status_code, again.json()) == (first.status_code, first.json())
    assert again.headers["idempotent-replayed"] == "true"


async def test_the_proof_says_who_when_and_how_much_but_not_whom(stage: Stage) -> None:
    await make_person(stage)
    await stage.call("DELETE", stage.path)

    again = await stage.client.delete(stage.path)
    told = (await stage.call("GET", f"/api/v1/erasures?user={stage.user}")).json()["items"]
    others = (await stage.call("GET", "/api/v1/erasures?user=somebody")).json()["items"]

    assert again.status_code == 404
    assert others == []
    assert len(told) == 1
    assert stage.mark not in repr(told)
    assert told[0]["actor"] == "cn_live_kkkk"
    assert told[0]["emptied_at"] is not None
    assert told[0]["closed_at"] is None
    counts = {name: told[0]["counts"][name] for name in ("devices", "mailbox", "notifications", "dead_letters")}
    assert counts == {"devices": 1, "mailbox": 1, "notifications": 2, "dead_letters": 1}
    assert told[0]["counts"]["contacts"] == 3, "two of the user, and one of them as an address alone"


async def test_a_long_past_is_emptied_by_the_duty_in_batches(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasing, "WITHIN_S", 0.0)
    who = await person(stage.pool, stage.tenant)
    await recorded(stage.pool, records(who, 450))
    user = await stage.pool.fetchval("SELECT external_id FROM users WHERE id = $1", who.user_id)
    await stage.call("DELETE", f"/api/v1/users/{user}")
    emptied = "SELECT count(*) FROM notifications WHERE user_id = $1 AND data = '{}'"
    assert await stage.pool.fetchval(emptied, who.user_id) == 0
    duty = PeopleDuties()

    turns = 0
    while await _turn(stage.pool, duty):
        turns += 1

    assert await stage.pool.fetchval(emptied, who.user_id) == 450
    assert turns >= 3
    told = (await stage.call("GET", f"/api/v1/erasures?user={user}")).json()["items"][0]
    assert told["counts"]["notifications"] == 450
    assert told["emptied_at"] is not None


async def test_what_was_under_way_is_emptied_when_it_is_looked_at_again(stage: Stage) -> None:
    sent = await make_person(stage)
    await stage.call("DELETE", stage.path)
    late = msgspec.json.encode({"status": "bounced", "answer": stage.mark})
    event = "INSERT INTO events (delivery_id, at, kind, attempt, detail) VALUES ($1, now(), 41, 1, $2)"
    await stage.pool.execute(event, delivery_id(sent[0], 1), late)
    assert await stage.found_in("events")

    for wait in (timedelta(minutes=16), timedelta(hours=73)):
        while await _turn(stage.pool, PeopleDuties(clock=lambda wait=wait: utc_now() + wait)):  # type: ignore[misc]  # bound now
            pass

    assert await stage.found_in("events") == []
    told = (await stage.call("GET", f"/api/v1/erasures?user={stage.user}")).json()["items"][0]
    assert told["closed_at"] is not None


async def test_erasing_again_and_at_once_is_harmless(stage: Stage) -> None:
    await make_person(stage)

    answers = await asyncio.gather(*(stage.client.delete(stage.path) for _ in range(5)))

    assert sorted(answer.status_code for answer in answers) == [204, 404, 404, 404, 404]
    assert await stage.pool.fetchval("SELECT count(*) FROM erasures WHERE tenant_id = $1", stage.tenant) == 1


async def test_nobody_erases_a_user_of_another_tenant(stage: Stage, hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    await make_person(stage)
    async with hot_pool.acquire() as conn, conn.transaction():
        begun = await erasures.begin(
            conn, stage.house.seal, UUID(int=7), stage.user, actor="other", now=utc_now(), counts={}
        )

    assert begun is None
    assert (await stage.client.get(stage.path)).status_code == 200


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"[]", b"[]"),
        (b'{"gates":[],"plan":[1]}', b'{"gates":[],"plan":[1]}'),
        (b'{"gates":[{"gate":"consent","inputs":{"a":1}}],"plan":[]}', b'{"gates":[{"gate":"consent"}],"plan":[]}'),
    ],
)
def test_decisions_lose_what_was_looked_at_and_nothing_else(before: bytes, after: bytes) -> None:
    assert without_inputs(before) == after


async def _turn(pool: asyncpg.Pool, duty: PeopleDuties) -> bool:
    return await duty.go_on(led_by(pool))  # type: ignore[arg-type]  # a leader of one
