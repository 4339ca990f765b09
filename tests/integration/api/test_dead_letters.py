"""Dead letters over HTTP: listed, told in full and masked, clustered, discarded with who and why."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from domain.clock import rfc3339, utc_now
from domain.lanes import Channel
from domain.reasons import Reason
from tests.integration.api.bench import PATH, Bench, open_bench
from tests.integration.letters import died, unreadable
from tests.integration.tracking.builders import person

HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    '<svg/onload=alert(1)>"><iframe srcdoc="<script>alert(1)</script>">',
]


@pytest.fixture
async def bench(hot_pool: asyncpg.Pool, engine: Any, tenant: UUID) -> AsyncIterator[Bench]:
    """An operator of a tenant without letters."""
    async with open_bench(hot_pool, engine, tenant) as bench:
        yield bench


async def test_letters_are_listed_the_last_that_died_first_and_a_page_at_a_time(bench: Bench) -> None:
    letters = [str(one.letter) for one in await died(bench.pool, bench.tenant_id, 5)]

    first = (await bench.mine.get(f"{PATH}?limit=2")).json()
    second = (await bench.mine.get(f"{PATH}?limit=2&cursor={first['next_cursor']}")).json()
    third = (await bench.mine.get(f"{PATH}?limit=2&cursor={second['next_cursor']}")).json()

    assert [each["id"] for page in (first, second, third) for each in page["items"]] == letters[::-1]
    assert third["next_cursor"] is None


async def test_letters_are_narrowed_by_what_they_have_in_common(bench: Bench) -> None:
    [email] = await died(bench.pool, bench.tenant_id)
    [sms] = await died(bench.pool, bench.tenant_id, channel=Channel.SMS, reason=Reason.PROVIDER_REJECTED, detail="no")
    [cluster] = [
        each["cluster"]
        for each in (await bench.mine.get(f"{PATH}/clusters")).json()["items"]
        if each["channel"] == "sms"
    ]
    later = rfc3339(utc_now() + timedelta(minutes=1))

    assert await bench.list_ids("?channel=sms") == [str(sms.letter)]
    assert await bench.list_ids("?reason=template_missing_variable") == [str(email.letter)]
    assert await bench.list_ids(f"?cluster={cluster}") == [str(sms.letter)]
    assert await bench.list_ids(f"?since={later}") == []
    assert len(await bench.list_ids(f"?until={later}")) == 2
    assert await bench.list_ids("?state=settled") == []


@pytest.mark.parametrize("query", ["?cursor=x", "?limit=101", "?cluster=%27", "?state=lost", "?reason=%00", "?x=1"])
async def test_questions_that_make_no_sense_are_refused(bench: Bench, query: str) -> None:
    assert (await bench.mine.get(f"{PATH}{query}")).status_code == 422


async def test_a_letter_is_told_with_its_whole_story_and_nobody_in_it(bench: Bench) -> None:
    who = await person(bench.pool, bench.tenant_id)
    words = b'{"order":"A-1001","note":"for grandma","lines":[{"count":2,"name":"tea"}],"gift":true,"empty":""}'
    detail = "550 <ada@example.org> +33612345678 refused"
    [one] = await died(bench.pool, who, words=words, detail=detail, reason=Reason.PROVIDER_REJECTED)
    await bench.pool.execute(
        "INSERT INTO events (delivery_id, at, kind, attempt, detail) VALUES ($1, now(), 3, 1, $2)",
        one.delivery,
        b'{"status": "failed", "provider": "smtp", "answer": "550 ada@example.org unknown"}',
    )

    answer = await bench.viewer.get(f"{PATH}/{one.letter}")
    told = answer.json()

    for secret in ("ada@", "Ada", "+33612345678", "grandma", "tea", "A-1001", str(who.contacts[Channel.EMAIL])):
        assert secret not in answer.text
    assert told["data"] == {
        "order": "[hidden]",
        "note": "[hidden]",
        "lines": [{"count": 2, "name": "[hidden]"}],
        "gift": True,
        "empty": "",
    }
    assert told["recipient"] == {
        "user": f"user-{who.user_id}",
        "name": "[hidden]",
        "address": "[hidden]@example.org",
    }
    assert told["detail"] == "550 <[hidden]> [hidden] refused"
    assert [attempt["outcome"] for attempt in told["notification"]["deliveries"][0]["attempts"]] == ["attempt_failed"]
    assert told["events"][0]["facts"]["provider"] == "smtp"
    assert (told["reason"], told["notification_id"]) == ("provider_rejected", told["notification"]["id"])
    assert told["evidence"]["template"] == "order_shipped"


async def test_to_reveal_a_letter_needs_the_scope_and_is_noted(bench: Bench) -> None:
    [one] = await died(bench.pool, bench.tenant_id)

    refused = await bench.viewer.get(f"{PATH}/{one.letter}?reveal=true")
    shown = await bench.told(one.letter, "?reveal=true")
    afterwards = await bench.told(one.letter)

    assert (refused.status_code, refused.json()["reason"]) == (403, "scope_missing")
    assert (shown["data"], shown["recipient"]["name"]) == ({"order": "A-1001"}, "Ada")
    assert shown["recipient"]["address"].endswith("@example.org")
    assert "[hidden]" not in shown["recipient"]["address"]
    assert [(line["what"], line["who"]) for line in afterwards["trail"]] == [("revealed", "cn_live_kkkk")]
    assert afterwards["data"] == {"order": "[hidden]"}


async def test_what_belongs_to_another_tenant_is_not_there(bench: Bench) -> None:
    [one] = await died(bench.pool, bench.tenant_id)
    body = {"ids": [str(one.letter)], "why": "mine"}

    answers = [
        await bench.foreign.get(f"{PATH}/{one.letter}"),
        await bench.foreign.get(f"{PATH}/{one.letter}?reveal=true"),
        await bench.foreign.patch(f"{PATH}/{one.letter}", json={"data": {"order": "B"}}),
        await bench.foreign.patch(PATH, json={"ids": [str(one.letter)], "set": {"data": {"order": "B"}}}),
        await bench.foreign.post(f"{PATH}/discard", json=body),
        await bench.mine.get(f"{PATH}/{uuid4()}"),
    ]

    assert [answer.status_code for answer in answers] == [404] * 6
    assert (await bench.foreign.get(PATH)).json()["items"] == []
    assert (await bench.foreign.get(f"{PATH}/clusters")).json()["items"] == []
    told = await bench.told(one.letter)
    assert (told["settled_at"], told["trail"]) == (None, [])


async def test_a_message_that_nobody_could_read_is_told_without_a_journey(bench: Bench) -> None:
    letter = await unreadable(bench.pool, bench.tenant_id, "?secret@example.org")

    told, shown = await bench.told(letter), await bench.told(letter, "?reveal=true")

    assert (told["evidence"], told["notification"], told["data"]) == ({"body": "[hidden]"}, None, None)
    assert shown["evidence"] == {"body": "?secret@example.org"}


async def test_clusters_tell_how_many_how_fast_and_whom(bench: Bench) -> None:
    ada, grace = await person(bench.pool, bench.tenant_id), await person(bench.pool, bench.tenant_id)
    mine = [await died(bench.pool, ada, 3, detail=f"order {number} is odd") for number in (17, 18)]
    await died(bench.pool, grace, 1, detail="order 19 is odd")
    await died(bench.pool, grace, 1, detail="something else")
    old = [one.letter for one in mine[0]]
    await bench.pool.execute(
        "UPDATE dead_letters SET created_at = now() - interval '90 minutes' WHERE id = ANY($1::uuid[])", old
    )

    largest, smallest = (await bench.mine.get(f"{PATH}/clusters")).json()["items"]

    assert (largest["count"], largest["reach"], largest["last_hour"], largest["hour_before"]) == (7, 2, 4, 3)
    assert (largest["channel"], largest["error"], largest["template"]) == ("email", "order * is odd", "order_shipped@3")
    assert largest["first_seen_at"] < largest["last_seen_at"]
    assert (smallest["count"], smallest["error"]) == (1, "something else")


async def test_discarding_settles_with_who_and_why_and_twice_is_once(bench: Bench) -> None:
    letters = [one.letter for one in await died(bench.pool, bench.tenant_id, 3)]
    body = {"ids": [str(one) for one in letters[:2]], "why": "the sale is over"}

    first = await bench.mine.post(f"{PATH}/discard", json=body)
    again = await bench.mine.post(f"{PATH}/discard", json=body)

    assert first.json() == {"discarded": 2, "already_settled": 0, "is_complete": True}
    assert again.json() == {"discarded": 0, "already_settled": 2, "is_complete": True}
    assert await bench.list_ids() == [str(letters[2])]
    told = await bench.told(letters[0])
    assert told["settlement"] == "discarded"
    assert [(line["what"], line["why"]) for line in told["trail"]] == [("discarded", "the sale is over")]


async def test_discarding_by_a_filter_takes_all_of_them_and_nothing_else(bench: Bench) -> None:
    await died(bench.pool, bench.tenant_id, 1200, detail="odd")
    [other] = await died(bench.pool, bench.tenant_id, reason=Reason.PROVIDER_REJECTED)

    asked = {"filter": {"reason": "template_missing_variable"}, "why": "typo"}
    answer = await bench.mine.post(f"{PATH}/discard", json=asked)

    assert answer.json() == {"discarded": 1200, "already_settled": 0, "is_complete": True}
    assert await bench.list_ids() == [str(other.letter)]


@pytest.mark.parametrize(
    "body",
    [
        {"why": "x"},
        {"ids": [], "why": "x"},
        {"ids": ["x"], "why": "x"},
        {"filter": {}},
        {"filter": {}, "why": " "},
        {"filter": {"status": "open"}, "why": "x"},
        {"filter": {}, "ids": [str(uuid4())], "why": "x"},
    ],
)
async def test_a_discard_without_a_why_or_a_choice_is_refused(bench: Bench, body: dict[str, Any]) -> None:
    [one] = await died(bench.pool, bench.tenant_id)

    assert (await bench.mine.post(f"{PATH}/discard", json=body)).status_code == 422
    assert (await bench.told(one.letter))["settled_at"] is None


async def test_a_viewer_can_change_nothing(bench: Bench) -> None:
    [one] = await died(bench.pool, bench.tenant_id)
    ids = [str(one.letter)]

    answers = [
        await bench.viewer.patch(f"{PATH}/{one.letter}", json={"data": {"order": "B"}}),
        await bench.viewer.patch(PATH, json={"ids": ids, "set": {"data": {"order": "B"}}}),
        await bench.viewer.post(f"{PATH}/discard", json={"ids": ids, "why": "x"}),
    ]

    assert [answer.status_code for answer in answers] == [403] * 3
    assert (await bench.told(one.letter))["trail"] == []


@pytest.mark.parametrize("text", HOSTILE)
async def test_hostile_payloads_are_told_as_text(bench: Bench, text: str) -> None:
    letter = await unreadable(bench.pool, bench.tenant_id, text)

    answer = await bench.mine.get(f"{PATH}/{letter}?reveal=true")

    assert answer.headers["content-type"].startswith("application/json")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.json()["evidence"] == {"body": text}


async def test_the_trail_is_only_added_to(bench: Bench) -> None:
    [one] = await died(bench.pool, bench.tenant_id)
    await bench.mine.patch(f"{PATH}/{one.letter}", json={"data": {"order": "B-2"}})

    for statement in (
        "DELETE FROM dead_letter_audit WHERE letter_id = $1",
        "UPDATE dead_letter_audit SET who = 'nobody' WHERE letter_id = $1",
        "UPDATE dead_letter_audit SET who = 'nobody', diff = NULL WHERE letter_id = $1",
    ):
        with pytest.raises(asyncpg.RaiseError):
            await bench.pool.execute(statement, one.letter)
    await bench.pool.execute("UPDATE dead_letter_audit SET diff = NULL WHERE letter_id = $1", one.letter)

    [line] = (await bench.told(one.letter))["trail"]
    assert (line["what"], line["diff"]) == ("edited", None)
