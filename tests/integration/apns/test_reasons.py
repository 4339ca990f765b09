"""Every reason of Apple's that can occur here: its status, its word, and the apns-id of the push it is said of."""

import os
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import asyncpg
import httpx2
import pytest

from api.apns.reasons import STATUS, ApnsReason
from tests.apns_doors import BUNDLE, PAYLOAD, Provider, a_provider, a_token, push
from tests.integration.devices import an_app

R = ApnsReason
LARGE = b'{"aps":{"alert":"' + b"a" * 4096 + b'"}}'


@dataclass(frozen=True)
class Case:
    """A push with something wrong: what is changed about a good one."""

    reason: ApnsReason
    name: str
    headers: dict[str, str | None] = field(default_factory=dict)
    payload: Any = field(default_factory=lambda: PAYLOAD)
    path: str | None = None
    method: str = "POST"


CASES = [
    Case(R.BAD_PATH, "another path", path="/3/devices/00"),
    Case(R.BAD_PATH, "more path", path="/3/device/00/11"),
    Case(R.METHOD_NOT_ALLOWED, "GET", method="GET"),
    Case(R.METHOD_NOT_ALLOWED, "PUT", method="PUT"),
    Case(R.MISSING_PROVIDER_TOKEN, "no authorization", {"authorization": None}),
    Case(R.INVALID_PROVIDER_TOKEN, "no token", {"authorization": "bearer"}),
    Case(R.INVALID_PROVIDER_TOKEN, "another scheme", {"authorization": "Basic dXNlcjpwYXNz"}),
    Case(R.INVALID_PROVIDER_TOKEN, "not a token", {"authorization": "bearer abc.def.ghi"}),
    Case(R.INVALID_PROVIDER_TOKEN, "a long token", {"authorization": "bearer " + "a" * 3000}),
    Case(R.MISSING_TOPIC, "no topic", {"apns_topic": None}),
    Case(R.BAD_TOPIC, "a topic with spaces", {"apns_topic": "com example"}),
    Case(R.BAD_TOPIC, "an endless topic", {"apns_topic": "a" * 256}),
    Case(R.TOPIC_DISALLOWED, "the topic of somebody else", {"apns_topic": "com.example.other"}),
    Case(R.TOPIC_DISALLOWED, "a suffix that Apple has not", {"apns_topic": f"{BUNDLE}.beta"}),
    Case(R.MISSING_DEVICE_TOKEN, "no token in the path", path="/3/device/"),
    Case(R.MISSING_DEVICE_TOKEN, "not even a slash", path="/3/device"),
    Case(R.BAD_DEVICE_TOKEN, "not hexadecimal", path="/3/device/" + "xy" * 32),
    Case(R.BAD_DEVICE_TOKEN, "an odd number of digits", path="/3/device/" + "a" * 63),
    Case(R.BAD_DEVICE_TOKEN, "far too long", path="/3/device/" + "ab" * 500),
    Case(R.BAD_DEVICE_TOKEN, "a token that nobody has", path="/3/device/" + os.urandom(32).hex()),
    Case(R.BAD_DEVICE_TOKEN, "an encoded NUL", path="/3/device/%00%00"),
    Case(R.BAD_MESSAGE_ID, "no UUID", {"apns_id": "1234"}),
    Case(R.BAD_MESSAGE_ID, "a UUID in braces", {"apns_id": f"{{{uuid4()}}}"}),
    Case(R.BAD_MESSAGE_ID, "an empty id", {"apns_id": ""}),
    Case(R.INVALID_PUSH_TYPE, "a type that Apple has not", {"apns_push_type": "shout"}),
    Case(R.INVALID_PUSH_TYPE, "a type in capitals", {"apns_push_type": "ALERT"}),
    Case(R.BAD_PRIORITY, "a number between", {"apns_priority": "7"}),
    Case(R.BAD_PRIORITY, "no number", {"apns_priority": "high"}),
    Case(R.BAD_PRIORITY, "in the background at once", {"apns_push_type": "background", "apns_priority": "10"}),
    Case(R.BAD_PRIORITY, "in the background, some time", {"apns_push_type": "background", "apns_priority": "1"}),
    Case(R.BAD_EXPIRATION_DATE, "before 1970", {"apns_expiration": "-1"}),
    Case(R.BAD_EXPIRATION_DATE, "half a second", {"apns_expiration": "1.5"}),
    Case(R.BAD_EXPIRATION_DATE, "a date", {"apns_expiration": "2030-01-01"}),
    Case(R.BAD_EXPIRATION_DATE, "beyond all clocks", {"apns_expiration": "9" * 30}),
    Case(R.BAD_COLLAPSE_ID, "65 bytes", {"apns_collapse_id": "c" * 65}),
    Case(R.BAD_COLLAPSE_ID, "an empty one", {"apns_collapse_id": ""}),
    Case(R.PAYLOAD_EMPTY, "no body", payload=b""),
    Case(R.PAYLOAD_EMPTY, "an empty object", payload={}),
    Case(R.PAYLOAD_EMPTY, "a list", payload=[PAYLOAD]),
    Case(R.PAYLOAD_EMPTY, "not JSON", payload=b"{aps}"),
    Case(R.PAYLOAD_EMPTY, "not UTF-8", payload=b'{"aps":{"alert":"\xff"}}'),
    Case(R.PAYLOAD_EMPTY, "NaN", payload=b'{"aps":{"badge":NaN}}'),
    Case(R.PAYLOAD_EMPTY, "a NUL inside", payload=b'{"aps":{"alert":"\\u0000"}}'),
    Case(R.PAYLOAD_EMPTY, "half of a surrogate pair", payload=b'{"aps":{"alert":"\\ud800"}}'),
    Case(R.PAYLOAD_EMPTY, "nested too deeply", payload=b'{"aps":' + b"[" * 900 + b"]" * 900 + b"}"),
    Case(R.PAYLOAD_EMPTY, "an aps that is no object", payload={"aps": "hello"}),
    Case(R.PAYLOAD_TOO_LARGE, "more than 4096 bytes", payload=LARGE),
    Case(R.PAYLOAD_TOO_LARGE, "200 KiB", payload=LARGE * 50),
]
ELSEWHERE = {
    R.DEVICE_TOKEN_NOT_FOR_TOPIC: "below",
    R.UNREGISTERED: "below",
    R.DUPLICATE_HEADERS: "below",
    R.EXPIRED_PROVIDER_TOKEN: "test_provider_tokens",
    R.TOO_MANY_PROVIDER_TOKEN_UPDATES: "test_provider_tokens",
    R.TOO_MANY_REQUESTS: "test_trouble",
    R.SERVICE_UNAVAILABLE: "test_trouble",
    R.SHUTDOWN: "tests/unit/api/test_apns_door",
    R.IDLE_TIMEOUT: "tests/unit/api/test_apns_door",
    R.INTERNAL_SERVER_ERROR: "tests/unit/api/test_apns_door",
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.reason}: {case.name}")
async def test_what_is_wrong_is_answered_in_apples_words(
    case: Case, client: httpx2.AsyncClient, hot_pool: asyncpg.Pool, provider: Provider
) -> None:
    token, _ = await a_token(hot_pool, provider)
    apns_id = str(uuid4())
    headers = provider.headers(**{"apns_id": apns_id, **case.headers})

    answer = await push(
        client, token, headers, case.payload, path=case.path or f"/3/device/{token}", method=case.method
    )

    assert (answer.status, answer.reason, answer.timestamp) == (STATUS[case.reason], case.reason, None)
    assert (answer.apns_id == apns_id) == ("apns_id" not in case.headers)
    assert answer.headers["content-type"] == "application/json"
    assert await _count(hot_pool, provider) == 0


def test_each_reason_has_a_case() -> None:
    assert {case.reason for case in CASES} | set(ELSEWHERE) == set(ApnsReason)


async def test_a_token_of_another_app_of_the_tenant_is_not_for_this_topic(
    client: httpx2.AsyncClient, hot_pool: asyncpg.Pool, provider: Provider
) -> None:
    other = await an_app(hot_pool, provider.tenant, "com.example.other")
    stranger = Provider(provider.tenant, other, provider.team, provider.key_id, provider.pair)
    token, _ = await a_token(hot_pool, stranger)

    answer = await push(client, token, provider.headers())

    assert (answer.status, answer.reason) == (400, R.DEVICE_TOKEN_NOT_FOR_TOPIC)


async def test_a_token_of_another_tenant_is_as_unknown_as_one_that_nobody_has(
    client: httpx2.AsyncClient, hot_pool: asyncpg.Pool, provider: Provider
) -> None:
    other = await a_provider(hot_pool)
    token, _ = await a_token(hot_pool, other)

    answer = await push(client, token, provider.headers())

    assert (answer.status, answer.reason) == (400, R.BAD_DEVICE_TOKEN)


async def test_a_device_of_another_push_service_is_unknown_at_this_door(
    client: httpx2.AsyncClient, hot_pool: asyncpg.Pool, provider: Provider
) -> None:
    token, _ = await a_token(hot_pool, provider, provider="fcm")

    answer = await push(client, token, provider.headers())

    assert (answer.status, answer.reason) == (400, R.BAD_DEVICE_TOKEN)


async def test_a_device_that_is_gone_is_unregistered_since_a_moment_in_milliseconds(
    client: httpx2.AsyncClient, hot_pool: asyncpg.Pool, provider: Provider
) -> None:
    token, device = await a_token(hot_pool, provider, is_gone=True)
    gone_at = await hot_pool.fetchval("SELECT invalidated_at FROM devices WHERE id = $1", device)

    answer = await push(client, token, provider.headers())

    assert (answer.status, answer.reason) == (410, R.UNREGISTERED)
    assert answer.timestamp == int(gone_at.timestamp() * 1000)
    assert await _count(hot_pool, provider) == 0


@pytest.mark.parametrize("name", ["apns-priority", "apns-topic", "apns-id", "authorization"])
async def test_a_header_that_is_said_twice_is_refused(
    name: str, client: httpx2.AsyncClient, hot_pool: asyncpg.Pool, provider: Provider
) -> None:
    token, _ = await a_token(hot_pool, provider)
    headers = provider.headers(apns_id=str(uuid4()), apns_priority="10")

    answer = await push(client, token, [*headers.items(), (name, headers[name])])

    assert (answer.status, answer.reason) == (400, R.DUPLICATE_HEADERS)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("apns-collapse-id", R.BAD_COLLAPSE_ID),
        ("apns-topic", R.BAD_TOPIC),
        ("apns-expiration", R.BAD_EXPIRATION_DATE),
        ("authorization", R.INVALID_PROVIDER_TOKEN),
    ],
)
@pytest.mark.parametrize("value", [b"caf\xe9", "café".encode()], ids=["Latin", "UTF-8"])
async def test_a_header_that_is_no_ascii_is_refused_and_not_passed_over(
    name: str, value: bytes, reason: ApnsReason, client: httpx2.AsyncClient, hot_pool: asyncpg.Pool, provider: Provider
) -> None:
    token, _ = await a_token(hot_pool, provider)
    headers = {name.encode(): value.encode() for name, value in provider.headers().items()}

    answer = await push(client, token, list({**headers, name.encode(): value}.items()))

    assert answer.reason == reason


async def test_the_checks_come_in_apples_order(
    client: httpx2.AsyncClient, hot_pool: asyncpg.Pool, provider: Provider
) -> None:
    token, _ = await a_token(hot_pool, provider)
    wrong: dict[str, str | None] = {"authorization": None, "apns_topic": "com.example.other", "apns_priority": "7"}
    heard = []

    for path, mended in (
        ("x", None),
        ("x", "authorization"),
        ("x", "apns_topic"),
        (token, None),
        (token, "apns_priority"),
    ):
        wrong.pop(mended or "", None)
        answer = await push(client, token, provider.headers(**wrong), b"", path=f"/3/device/{path}")
        heard.append(answer.reason)

    assert heard == [
        R.MISSING_PROVIDER_TOKEN,
        R.TOPIC_DISALLOWED,
        R.BAD_DEVICE_TOKEN,
        R.BAD_PRIORITY,
        R.PAYLOAD_EMPTY,
    ]


async def _count(pool: asyncpg.Pool, provider: Provider) -> int:
    found: int = await pool.fetchval("SELECT count(*) FROM notifications WHERE tenant_id = $1", provider.tenant)
    return found
