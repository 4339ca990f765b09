"""The export of a user: everything, as one document, and never more of it in memory than a page."""

import tracemalloc

import jsonschema
import pytest

from api import exporting
from api.app import create_app
from domain.ids import notification_id
from plumbing.tables.personal import HOLDINGS
from tests.integration.api.doors import FakeBatcher, KeyRing, make_house
from tests.integration.people.subject import Stage, make_person
from tests.integration.tracking.builders import person

WORDS = b'{"body": "%s"}' % (b"x" * 4000)


async def test_an_export_holds_everything_that_is_personal(stage: Stage) -> None:
    sent = await make_person(stage)

    answer = await stage.call("GET", f"{stage.path}/export")

    told = answer.json()
    assert set(told) == {holding.exported_as for holding in HOLDINGS.values() if holding.exported_as}
    assert [part for part, content in told.items() if stage.mark not in repr(content)] == []
    assert [each["id"] for each in told["notifications"]] == [str(one) for one in sent]
    first = told["notifications"][0]
    assert first["data"]["body"] == stage.mark
    failed = next(each for each in first["deliveries"] if each["status"] == "failed")
    assert failed["events"][0]["facts"]["reason"] == "address_rejected"
    assert told["contacts"][0]["address"] == told["user"]["email"]
    assert told["preferences"]["document"]["categories"] == {f"c-{stage.mark}": False}
    assert told["devices"][0]["device_info"] == {"name": stage.mark}
    assert told["mailbox"][0]["payload"]["aps"] == {"alert": stage.mark}
    assert answer.headers["content-type"] == "application/json"


async def test_an_export_is_what_the_document_of_the_api_says(stage: Stage) -> None:
    await make_person(stage)
    document = create_app(make_house(FakeBatcher(), KeyRing())).openapi()
    schema = document["paths"]["/api/v1/users/{user}/export"]["get"]["responses"]["200"]["content"]["application/json"]

    told = (await stage.call("GET", f"{stage.path}/export")).json()

    jsonschema.validate(told, {**schema["schema"], "components": document["components"]})


async def test_nobody_is_exported_who_is_not_known(stage: Stage) -> None:
    answer = await stage.client.get("/api/v1/users/nobody/export")

    assert answer.status_code == 404


async def test_somebody_without_any_past_is_exported_too(stage: Stage) -> None:
    await stage.call("PUT", stage.path, {})

    told = (await stage.call("GET", f"{stage.path}/export")).json()

    assert told["user"]["id"] == stage.user
    assert [content for part, content in told.items() if part not in {"user", "preferences"}] == [[]] * 8
    assert told["preferences"] == {"version": 1, "document": {}, "updated_at": None}


@pytest.mark.parametrize("count", [5000])
async def test_a_long_past_never_lies_in_memory_as_a_whole(stage: Stage, count: int) -> None:
    who = await person(stage.pool, stage.tenant)
    await stage.pool.executemany(
        "INSERT INTO notifications (id, tenant_id, user_id, mode, template_version, category, priority, data,"
        " decisions, expires_at, created_at) VALUES ($1, $2, $3, 1, 0, 'general', 3, $4, '[]', now(), now())",
        [(notification_id(), stage.tenant, who.user_id, WORDS) for _ in range(count)],
    )
    user = await stage.pool.fetchval("SELECT external_id FROM users WHERE id = $1", who.user_id)
    subject = await exporting.find(stage.house, stage.tenant, user)
    assert subject is not None
    size_bytes = 0
    tracemalloc.start()

    async for piece in exporting.stream(stage.house, subject):
        size_bytes += len(piece)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert size_bytes > count * 4000
    assert peak_bytes < 8_000_000, "a page of a hundred, not the whole"
