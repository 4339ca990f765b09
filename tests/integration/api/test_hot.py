"""The two hot routes from outside: answers, bulk results in order, idempotency keys, what is not there yet."""

import pytest

from domain.errors import OURSELVES, RequestRefused, Unavailable
from domain.lanes import Channel, Priority
from plumbing.limiter import Answer
from tests.integration.api.doors import SECRET, Door

GOOD = {"to": "user-1", "content": {"title": "Hello", "body": "World"}}


def test_what_was_asked_reaches_accept_as_it_was_meant(door: Door) -> None:
    door.post(
        {
            "to": {"user": "user-42", "timezone": "Europe/Paris", "locale": "pt-BR", "name": "Ada"},
            "template": "order_shipped",
            "data": {"order": "A-1001", "lines": [1, 2.5, None, True]},
            "channels": ["email", "sms"],
            "priority": "high",
            "category": "orders",
            "collapse_id": "order-A-1001",
            "dedupe_key": "shipped-A-1001",
            "expires_in_s": 3600,
            "send_at": None,
        }
    )

    request = door.batcher.items[0].request
    assert (request.to.user, request.to.timezone, request.to.locale) == ("user-42", "Europe/Paris", "pt-BR")
    assert request.channels == (Channel.EMAIL, Channel.SMS)
    assert request.priority is Priority.HIGH
    assert request.data == {"order": "A-1001", "lines": [1, 2.5, None, True]}
    assert request.expires_in_s == 3600


@pytest.mark.parametrize(
    ("part", "pointer"),
    [
        ({"channels": ["email", "webhook"]}, "/channels/1"),
        ({"channels": ["in_app"]}, "/channels/0"),
        ({"fallback": [{"channel": "sms"}]}, "/fallback"),
    ],
)
def test_what_does_not_exist_yet_is_named_and_not_ignored(door: Door, part: dict[str, object], pointer: str) -> None:
    answer = door.post(GOOD | part)

    assert answer.status == 422
    assert answer.json()["reason"] == "not_available_yet"
    assert answer.pointers()[0] == pointer


def test_a_single_send_tells_what_the_key_has_left_as_every_other_route_does(door: Door) -> None:
    door.batcher.limit = Answer(True, 100, 50, 99, 0, 1)

    first = door.post(GOOD, idempotency_key="limits-told")
    again = door.post(GOOD, idempotency_key="limits-told")

    assert (first.headers["ratelimit"], first.headers["ratelimit-policy"]) == ('"key";r=99;t=1', '"key";q=100;w=50')
    assert "ratelimit" not in again.headers


def test_bulk_answers_in_order_and_one_bad_item_spoils_none(door: Door) -> None:
    items = [GOOD, {"to": "user-2"}, GOOD, {"to": {"email": "no"}, "template": "t"}, "nonsense", GOOD]

    answer = door.post({"notifications": items}, "/api/v1/notifications/bulk")

    told = answer.json()
    assert answer.status == 202
    assert (told["accepted"], told["rejected"]) == (3, 3)
    assert [result["index"] for result in told["results"]] == list(range(6))
    assert [result["status"] for result in told["results"]] == [
        "accepted",
        "rejected",
        "accepted",
        "rejected",
        "rejected",
        "accepted",
    ]
    pointers = [[e["pointer"] for e in r["error"]["errors"]] for r in told["results"] if r["error"]]
    assert pointers == [["/notifications/1/template"], ["/notifications/3/to/email"], ["/notifications/4"]]


def test_a_bulk_item_that_cannot_be_kept_spoils_only_itself(door: Door) -> None:
    bad = r'{"to":"user-2","content":{"title":"a\u0000","body":"b"}}'
    good = '{"to":"user-1","content":{"title":"a","body":"b"}}'

    answer = door.post(
        f'{{"notifications":[{good},{bad},{good}]}}'.encode(), "/api/v1/notifications/bulk", idempotency_key="a"
    )

    results = answer.json()["results"]
    assert [result["status"] for result in results] == ["accepted", "rejected", "accepted"]
    assert results[1]["error"]["errors"][0]["pointer"] == "/notifications/1/content/title"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"notifications": []}, "/notifications"),
        ({"notifications": [GOOD] * 1001}, "/notifications"),
        ({"notifications": {}}, "/notifications"),
        ({}, "/notifications"),
        ([], ""),
        ({"notifications": [GOOD], "more": 1}, "/more"),
        ({"notifications": [GOOD], "a/b": 1}, "/a~1b"),
        (b'{"notifications": [], "\\ud800": 1}', "/?"),
        (b'{"notifications": ' + b"[" * 600 + b"]" * 600 + b"}", ""),
    ],
)
def test_a_bulk_request_of_wrong_shape_is_refused_as_a_whole(door: Door, body: object, pointer: str) -> None:
    answer = door.post(body, "/api/v1/notifications/bulk")

    assert answer.status == 422
    assert answer.pointers()[0] == pointer
    assert door.batcher.bulks == []


def test_bulk_takes_more_than_one_notification_may_and_not_more_than_4_mib(door: Door) -> None:
    wide = {"to": "user-1", "template": "t", "data": {"text": "x" * 60_000}}

    assert door.post({"notifications": [wide] * 20}, "/api/v1/notifications/bulk").status == 202
    assert door.post(wide | {"data": {"text": "x" * 300_000}}).status == 413
    assert door.post({"notifications": [wide] * 80}, "/api/v1/notifications/bulk").status == 413


def test_the_same_key_and_body_get_the_first_answer_again(door: Door) -> None:
    first = door.post(GOOD, idempotency_key="key-1")
    again = door.post(b'{ "content": {"body":"World", "title":"Hello"}, "to":"user-1"}', idempotency_key='"key-1"')

    assert first.status == again.status == 202
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json() == first.json()


def test_the_same_key_with_another_body_is_refused(door: Door) -> None:
    door.post(GOOD, idempotency_key="key-2")

    answer = door.post(GOOD | {"to": "user-2"}, idempotency_key="key-2")

    assert answer.status == 422
    assert answer.json()["reason"] == "idempotency_key_reused"


@pytest.mark.parametrize("key", ["", '""', "k" * 300, "a\x01b", "a b", "é"])
def test_30_a_key_that_is_no_key_is_refused(door: Door, key: str) -> None:
    assert door.post(GOOD, idempotency_key=key).status == 400


def test_30_another_tenants_equal_key_is_independent(door: Door) -> None:
    other = "cn_live_" + "o" * 43
    door.ring.add(other, tenant_id=door.ring.add(SECRET).id)
    door.post(GOOD, idempotency_key="key-3")

    answer = door.post(GOOD, secret=other, idempotency_key="key-3")

    assert answer.status == 202
    assert "idempotent-replayed" not in answer.headers


def test_a_refusal_of_accept_is_told_with_its_headers(door: Door) -> None:
    headers = {"RateLimit": '"key";r=0;t=3', "RateLimit-Policy": '"key";q=100;w=1'}
    door.batcher.failure = RequestRefused("rate_limited", "too many", 429, retry_after_s=3, headers=headers)

    answer = door.post(GOOD)

    assert answer.status == 429
    assert answer.json()["type"].endswith("#quota-exceeded")
    assert answer.headers["retry-after"] == "3"
    assert answer.headers["ratelimit"] == '"key";r=0;t=3'


def test_without_postgresql_nothing_is_accepted_and_a_time_to_return_is_named(door: Door) -> None:
    door.batcher.failure = Unavailable("PostgreSQL", "host=secret.internal", retry_after_s=2)

    answer = door.post(GOOD)

    assert answer.status == 503
    assert answer.headers["retry-after"] == "2"
    assert b"secret.internal" not in answer.body


def test_when_too_much_is_waiting_nobody_else_is_blamed(door: Door) -> None:
    door.batcher.failure = Unavailable(OURSELVES, "too many requests are waiting")

    answer = door.post(GOOD)

    assert answer.status == 503
    assert answer.json()["detail"].startswith("too much is waiting here")
