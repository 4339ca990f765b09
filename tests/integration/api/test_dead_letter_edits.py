"""Edits of dead letters over HTTP: versions beside the original, checked as accept checks, told with what differs."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from domain.clock import rfc3339, utc_now
from domain.lanes import Channel
from tests.integration.api.bench import PATH, Bench, open_bench
from tests.integration.letters import died, unreadable

CONTENT = b'{"title":"Hello","body":"World","email":null,"sms_text":null,"push":null}'


@pytest.fixture
async def bench(hot_pool: asyncpg.Pool, engine: Any, tenant: UUID) -> AsyncIterator[Bench]:
    """An operator of a tenant without letters."""
    async with open_bench(hot_pool, engine, tenant) as bench:
        yield bench


async def test_an_edit_is_a_new_version_beside_the_original(bench: Bench) -> None:
    [one] = await died(bench.pool, bench.tenant_id, words=b'{"ordre":"A-1"}')
    body = {"data": {"order": "A-1", "ordre": None}, "why": "a typo of the shop"}

    edited = await bench.mine.patch(f"{PATH}/{one.letter}", json=body)
    again = await bench.mine.patch(f"{PATH}/{one.letter}", json={"data": {"carrier": "Northway"}})

    assert edited.status_code == 200
    assert edited.json() == {
        "id": str(one.letter),
        "version": 1,
        "diff": [
            {"op": "add", "path": "/data/order", "value": "A-1"},
            {"op": "remove", "path": "/data/ordre", "was": "[hidden]"},
        ],
    }
    assert again.json()["version"] == 2
    told = await bench.told(one.letter, "?reveal=true")
    assert told["data"] == {"order": "A-1", "carrier": "Northway"}
    assert [(each["version"], each["data"], each["by"]) for each in told["edits"]] == [
        (2, {"order": "A-1", "carrier": "Northway"}, "cn_live_kkkk"),
        (1, {"order": "A-1"}, "cn_live_kkkk"),
        (0, {"ordre": "A-1"}, "carillon"),
    ]
    assert told["trail"][0]["diff"][1] == {"op": "remove", "path": "/data/ordre", "was": "A-1"}
    assert told["trail"][0]["why"] == "a typo of the shop"
    assert await bench.pool.fetchval("SELECT status FROM deliveries WHERE id = $1", one.delivery) == 7
    masked = await bench.told(one.letter)
    assert "A-1" not in str(masked["edits"]) + str(masked["trail"])


@pytest.mark.parametrize(
    ("body", "reason", "pointer"),
    [
        ({"data": {"order": None}}, "invalid_data", "/data/order"),
        ({"data": {"tracking_url": "javascript:alert(1)"}}, "invalid_data", "/data/tracking_url"),
        ({"data": {"x": "y" * 70_000}}, "invalid_data", "/data"),
        ({"content": {"title": "x"}}, "invalid_content", "/content"),
        ({"content": {"titel": "x"}}, "invalid_request", "/content/titel"),
        ({"address": "ada@example.org"}, "not_available_yet", "/address"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "invalid_request", "/expires_at"),
        ({"expires_at": "2999-01-01T00:00:00Z"}, "invalid_request", "/expires_at"),
        ({"expires_at": 12}, "invalid_request", "/expires_at"),
        ({"data": {}, "content": {}}, "invalid_request", ""),
        ({"status": "sent"}, "invalid_request", "/status"),
        ({}, "invalid_request", ""),
    ],
)
async def test_what_accept_would_refuse_is_no_edit(
    bench: Bench, body: dict[str, Any], reason: str, pointer: str
) -> None:
    [one] = await died(bench.pool, bench.tenant_id)

    answer = await bench.mine.patch(f"{PATH}/{one.letter}", json=body)

    assert (answer.status_code, answer.json()["reason"]) == (422, reason)
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]
    assert (await bench.told(one.letter))["edits"] == []


async def test_content_is_edited_whole_and_must_have_words_for_the_channel(bench: Bench) -> None:
    [one] = await died(bench.pool, bench.tenant_id, words=CONTENT, template=None)

    edited = await bench.mine.patch(f"{PATH}/{one.letter}", json={"content": {"title": "Hello", "body": "Ada"}})
    push_only = await bench.mine.patch(f"{PATH}/{one.letter}", json={"content": {"push": {"aps": {"alert": "x"}}}})
    data = await bench.mine.patch(f"{PATH}/{one.letter}", json={"data": {"a": 1}})

    assert edited.json()["diff"] == [{"op": "replace", "path": "/content/body", "value": "Ada", "was": "[hidden]"}]
    assert (push_only.status_code, push_only.json()["reason"]) == (422, "invalid_content")
    assert (data.status_code, data.json()["reason"]) == (422, "invalid_data")
    assert (await bench.told(one.letter, "?reveal=true"))["content"] == {"title": "Hello", "body": "Ada"}


async def test_content_of_a_push_is_shown_as_it_is_asked_for(bench: Bench) -> None:
    words = b'{"title":"T","push":{"payload":{"aps":{"alert":"x"}},"wake":5,"is_live_only":true,"topic":"news"}}'
    [one] = await died(bench.pool, bench.tenant_id, words=words, template=None)
    await bench.pool.execute("UPDATE deliveries SET channel = $2 WHERE id = $1", one.delivery, Channel.PUSH.code)
    shown = (await bench.told(one.letter, "?reveal=true"))["content"]

    shown["push"]["aps"]["alert"] = "y"
    edited = await bench.mine.patch(f"{PATH}/{one.letter}", json={"content": shown})

    assert [each["path"] for each in edited.json()["diff"]] == ["/content/push/aps/alert"]
    kept = await bench.pool.fetchval("SELECT data FROM dead_letter_edits WHERE letter_id = $1 AND version = 1", one[0])
    assert b'"is_live_only":true' in kept
    assert b'"topic":"news"' in kept


async def test_the_life_of_a_letter_can_be_extended(bench: Bench) -> None:
    [one] = await died(bench.pool, bench.tenant_id, expires_in_s=-60)
    at = rfc3339(utc_now() + timedelta(hours=2))

    edited = await bench.mine.patch(f"{PATH}/{one.letter}", json={"expires_at": at})

    assert [each["path"] for each in edited.json()["diff"]] == ["/expires_at"]
    assert (await bench.told(one.letter))["expires_at"] == at


async def test_a_settled_letter_and_one_without_a_delivery_cannot_be_edited(bench: Bench) -> None:
    [one] = await died(bench.pool, bench.tenant_id)
    await bench.mine.post(f"{PATH}/discard", json={"ids": [str(one.letter)], "why": "x"})
    nothing = await unreadable(bench.pool, bench.tenant_id)

    answers = [await bench.mine.patch(f"{PATH}/{each}", json={"data": {"a": 1}}) for each in (one.letter, nothing)]

    assert [(answer.status_code, answer.json()["reason"]) for answer in answers] == [
        (409, "already_settled"),
        (422, "unreadable"),
    ]


async def test_many_are_edited_at_once_and_those_that_do_not_fit_are_told(bench: Bench) -> None:
    fitting = await died(bench.pool, bench.tenant_id, 3, words=b"{}")
    [other] = await died(bench.pool, bench.tenant_id, words=CONTENT, template=None)

    asked = {"filter": {"channel": "email"}, "set": {"data": {"order": "A-7"}, "why": "all of them"}}
    answer = await bench.mine.patch(PATH, json=asked)

    assert answer.json()["edited"] == 3
    assert [(each["id"], each["reason"]) for each in answer.json()["refused"]] == [(str(other.letter), "invalid_data")]
    for one in fitting:
        assert (await bench.told(one.letter, "?reveal=true"))["data"] == {"order": "A-7"}
