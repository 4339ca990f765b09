"""The API of status webhooks: made with a secret that is shown once, each tenant's own, hostile URLs refused."""

from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx2
import pytest
from standardwebhooks import Webhook as StandardWebhook

from api.app import create_app
from domain.ids import uuid7
from plumbing.outside import Outside
from plumbing.secrets import Box
from tests.integration.api.doors import SECRET, FakeBatcher, KeyRing, make_house
from tests.integration.webhooks.receiver import Reply
from tests.integration.webhooks.telling import Telling
from tracking.webhooks.endpoints import MOST_PER_TENANT

FOREIGN = {"authorization": "Bearer cn_live_" + "f" * 43}
PATH = "/api/v1/webhooks"
SENT = "notification.delivery.sent"
OWN_SECRET = "whsec_" + "C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
NAMES = {"hooks.example": ["93.184.215.14"], "localtest.example": ["127.0.0.1"], "two.example": ["8.8.8.8", "10.0.0.1"]}


async def resolve(host: str, port: int) -> Sequence[str]:
    if host == "localhost":
        return ["127.0.0.1"]
    return NAMES.get(host, [])


@pytest.fixture
async def client(tenant: UUID, hot_pool: asyncpg.Pool, telling: Telling, box: Box) -> AsyncIterator[httpx2.AsyncClient]:
    ring = KeyRing()
    ring.add(SECRET, tenant_id=tenant)
    ring.add(FOREIGN["authorization"].removeprefix("Bearer "), tenant_id=uuid7())
    async with Outside("localhost", resolve=resolve) as outside:
        app = create_app(make_house(FakeBatcher(), ring, hot_pool=hot_pool, box=box, outside=outside))
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://carillon") as client:
            client.headers["authorization"] = f"Bearer {SECRET}"
            yield client


async def made(client: httpx2.AsyncClient, **wishes: Any) -> dict[str, Any]:
    answer = await client.post(PATH, json={"url": "https://hooks.example/x", "events": [SENT], **wishes})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def test_a_webhook_is_made_read_changed_listed_and_deleted(client: httpx2.AsyncClient) -> None:
    new = await made(client)
    path = f"{PATH}/{new['id']}"

    read = (await client.get(path)).json()
    changed = await client.patch(path, json={"events": ["notification.delivery.failed"] * 2, "is_active": False})
    active = await client.patch(path, json={"is_active": True})
    listed = (await client.get(PATH)).json()
    gone = [(await client.delete(path)).status_code, (await client.delete(path)).status_code]

    assert new["secret"].startswith("whsec_")
    assert read == {name: value for name, value in new.items() if name != "secret"}
    assert read["is_active"] is True
    assert changed.json()["events"] == ["notification.delivery.failed"]
    assert (changed.json()["is_active"], changed.json()["disabled_reason"]) == (False, "by_hand")
    assert (active.json()["is_active"], active.json()["disabled_at"]) == (True, None)
    assert listed == {"items": [active.json()], "next_cursor": None}
    assert gone == [204, 404]
    assert (await client.get(path)).status_code == 404
    assert (await client.get(PATH)).json()["items"] == []


async def test_a_list_goes_on_page_by_page(client: httpx2.AsyncClient) -> None:
    ids = [(await made(client))["id"] for _ in range(3)]

    first = (await client.get(PATH, params={"limit": 2})).json()
    second = (await client.get(PATH, params={"limit": 2, "cursor": first["next_cursor"]})).json()

    assert [one["id"] for one in first["items"] + second["items"]] == ids
    assert second["next_cursor"] is None


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://0x7f000001/",
        "https://2130706433/",
        "https://127.1/",
        "https://[::ffff:169.254.169.254]/",
        "https://[64:ff9b::a9fe:a9fe]/",
        "https://localtest.example/",
        "https://two.example/",
        "https://nowhere.example/",
        "https://user:pw@hooks.example/",
        "https://hooks.example:22/",
        "gopher://hooks.example/",
        "file:///etc/passwd",
        "https://hooks.example\\@evil.example/",
        "https://evil.example#@hooks.example/",
    ],
)
async def test_a_url_that_leads_inside_is_refused_when_made_and_when_changed(
    client: httpx2.AsyncClient, url: str
) -> None:
    path = f"{PATH}/{(await made(client))['id']}"

    answers = [
        await client.post(PATH, json={"url": url, "events": [SENT]}),
        await client.patch(path, json={"url": url}),
    ]

    assert [answer.status_code for answer in answers] == [422, 422]
    assert {answer.json()["errors"][0]["pointer"] for answer in answers} == {"/url"}
    assert (await client.get(path)).json()["url"] == "https://hooks.example/x"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"events": [SENT]}, "/url"),
        ({"url": "https://hooks.example/"}, "/events"),
        ({"url": "https://hooks.example/", "events": []}, "/events"),
        ({"url": "https://hooks.example/", "events": ["notification.delivery.queued"]}, "/events/0"),
        ({"url": "https://hooks.example/", "events": [SENT], "secret": "short"}, "/secret"),
        ({"url": "https://hooks.example/", "events": [SENT], "secret": "whsec_AAAA"}, "/secret"),
        ({"url": "https://hooks.example/", "events": [SENT], "tenant_id": "x"}, "/tenant_id"),
        ({"url": 5, "events": [SENT]}, "/url"),
    ],
)
async def test_what_is_wrong_with_a_webhook_is_told_by_field(
    client: httpx2.AsyncClient, body: dict[str, Any], pointer: str
) -> None:
    answer = await client.post(PATH, json=body)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer


async def test_a_secret_of_one_s_own_is_kept_sealed_and_shown_once(
    client: httpx2.AsyncClient, hot_pool: asyncpg.Pool
) -> None:
    new = await made(client, secret=OWN_SECRET)

    sealed = await hot_pool.fetchval("SELECT secret_sealed FROM webhooks WHERE id = $1", UUID(new["id"]))
    shown = (await client.get(f"{PATH}/{new['id']}")).text

    assert new["secret"] == OWN_SECRET
    assert b"C2FVsBQ" not in sealed
    assert "whsec_" not in shown


async def test_rotating_gives_a_new_secret_and_says_until_when_the_old_one_signs(client: httpx2.AsyncClient) -> None:
    new = await made(client)

    rotated = (await client.post(f"{PATH}/{new['id']}/rotate", json={"overlap_s": 60})).json()
    at_once = (await client.post(f"{PATH}/{new['id']}/rotate", json={"overlap_s": 0})).json()

    assert rotated["secret"] != new["secret"]
    assert rotated["old_secret_until"] is not None
    assert at_once["old_secret_until"] is None
    refused = await client.post(f"{PATH}/{new['id']}/rotate", json={"overlap_s": 10**9})
    assert refused.json()["errors"][0]["pointer"] == "/overlap_s"


async def test_a_test_event_is_told_logged_and_replayed(client: httpx2.AsyncClient, telling: Telling) -> None:
    new = await made(client, url=telling.receiver.url)
    path = f"{PATH}/{new['id']}"
    telling.receiver.script.append(Reply(500, body=b"no\0t now"))

    message = (await client.post(f"{path}/test")).json()["message_id"]
    await telling.courier.turn()
    replayed = await client.post(f"{path}/replay", json={"message_id": message})
    await telling.courier.turn()

    told = StandardWebhook(new["secret"]).verify(telling.receiver.taken[-1].body, telling.receiver.taken[-1].headers)
    assert told["type"] == "webhook.test"
    assert replayed.json() == {"replayed": 1, "has_more": False}
    lines = (await client.get(f"{path}/attempts")).json()["items"]
    assert [line["status_code"] for line in lines] == [200, 500]
    assert {line["message_id"] for line in lines} == {message}
    assert {line["type"] for line in lines} == {"webhook.test"}
    assert lines[1]["answer"] == "no\ufffdt now"


async def test_a_time_is_replayed_and_nonsense_is_refused(client: httpx2.AsyncClient, telling: Telling) -> None:
    new = await made(client, url=telling.receiver.url)
    path = f"{PATH}/{new['id']}/replay"
    await client.post(f"{PATH}/{new['id']}/test")
    await telling.courier.turn()

    all_of_it = await client.post(path, json={"since": "2020-01-01T00:00:00Z", "failed_only": False})
    nothing = await client.post(path, json={"since": "2020-01-01T00:00:00Z", "until": "2020-01-02T00:00:00Z"})
    refused = [
        await client.post(path, json=body)
        for body in (
            {},
            {"message_id": str(uuid4()), "since": "2020-01-01T00:00:00Z"},
            {"message_id": "x"},
            {"since": "yesterday"},
            {"since": "2020-01-02T00:00:00Z", "until": "2020-01-01T00:00:00Z"},
        )
    ]

    assert (all_of_it.status_code, all_of_it.json()["replayed"]) == (202, 1)
    assert nothing.json()["replayed"] == 0
    assert [answer.status_code for answer in refused] == [422] * 5
    assert (await client.post(path, json={"message_id": str(uuid4())})).status_code == 404


async def test_a_disabled_webhook_is_not_tested(client: httpx2.AsyncClient) -> None:
    new = await made(client)
    await client.patch(f"{PATH}/{new['id']}", json={"is_active": False})

    answer = await client.post(f"{PATH}/{new['id']}/test")

    assert (answer.status_code, answer.json()["reason"]) == (409, "webhook_disabled")


@pytest.mark.parametrize(
    ("method", "suffix", "body"),
    [
        ("GET", "", None),
        ("PATCH", "", {"is_active": False}),
        ("DELETE", "", None),
        ("POST", "/rotate", {}),
        ("GET", "/attempts", None),
        ("POST", "/replay", {"since": "2020-01-01T00:00:00Z"}),
        ("POST", "/test", None),
    ],
)
async def test_another_tenant_s_webhook_is_not_there(
    client: httpx2.AsyncClient, method: str, suffix: str, body: dict[str, Any] | None
) -> None:
    new = await made(client)
    path = f"{PATH}/{new['id']}{suffix}"

    foreign = await client.request(method, path, json=body, headers=FOREIGN)
    unknown = await client.request(method, f"{PATH}/{uuid4()}{suffix}", json=body)

    assert (foreign.status_code, unknown.status_code) == (404, 404)
    assert foreign.json()["reason"] == unknown.json()["reason"] == "not_found"
    assert (await client.get(f"{PATH}/{new['id']}")).json()["is_active"] is True
    assert (await client.get(PATH, headers=FOREIGN)).json()["items"] == []


async def test_a_tenant_has_so_many_webhooks_and_no_more(client: httpx2.AsyncClient) -> None:
    for _ in range(MOST_PER_TENANT):
        await made(client)

    answer = await client.post(PATH, json={"url": "https://hooks.example/x", "events": [SENT]})

    assert (answer.status_code, answer.json()["reason"]) == (422, "too_many_webhooks")


async def test_a_key_that_would_be_ignored_is_refused(client: httpx2.AsyncClient) -> None:
    answer = await client.post(
        PATH, json={"url": "https://hooks.example/x", "events": [SENT]}, headers={"idempotency-key": "a"}
    )

    assert (answer.status_code, answer.json()["reason"]) == (422, "not_available_yet")
