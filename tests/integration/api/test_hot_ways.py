"""The hot routes past the framework and through it: whichever way a request takes, it gets the same answer."""

import json
import re
import socket
from collections.abc import Iterator

import pytest

from api.hot import BULK_PATH, PATH
from domain.errors import OURSELVES, RequestRefused, Unavailable
from plumbing.limiter import Answer as Spending
from tests.integration.api.doors import SECRET, Answer, Door, read_answer

GOOD = {"to": "user-1", "content": {"title": "Hello", "body": "World"}}
RAW = json.dumps(GOOD).encode()
BULK = json.dumps({"notifications": [GOOD, {"to": 5}, GOOD]}).encode()
KEY = {"authorization": f"Bearer {SECRET}", "content-type": "application/json"}

_OF_ONE_ANSWER = re.compile(rb"[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}|request:[\da-f]{32}")


def odd(path: str) -> str:
    """The same path for everybody who decodes it, as only the framework does."""
    return path.replace("notifications", "notification%73")


def sent(path: str, headers: dict[str, str], body: bytes) -> bytes:
    """A whole request."""
    head = "".join(f"{name}: {value}\r\n" for name, value in ({"content-length": str(len(body))} | headers).items())
    return f"POST {path} HTTP/1.1\r\nhost: carillon\r\n{head}\r\n".encode("latin-1") + body


def alike(answer: Answer) -> tuple[int, dict[str, str], bytes]:
    """What does not differ from one request to the next."""
    same = {name: value for name, value in answer.headers.items() if name not in {"x-request-id", "date", "location"}}
    assert len(answer.headers["x-request-id"]) == 32
    return answer.status, same | {"location": str("location" in answer.headers)}, _OF_ONE_ANSWER.sub(b"", answer.body)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (KEY, RAW),
        (KEY | {"content-type": 'Application/JSON; charset="UTF-8"'}, RAW),
        (KEY, b'{"to":"user-1","to":"user-2"}'),
        (KEY, b'{"to": 5, "priority": "urgent"}'),
        (KEY, b'{"to":"user-1\\u0000"}'),
        (KEY, b"{"),
        (KEY, b"[]"),
        (KEY, b""),
        (KEY, b"x" * 300_000),
        (KEY | {"content-length": "1000000000"}, b""),
        (KEY | {"content-encoding": "gzip"}, RAW),
        (KEY | {"content-type": "text/plain"}, RAW),
        (KEY | {"idempotency-key": ""}, RAW),
        (KEY | {"authorization": "Bearer nobody's"}, RAW),
        (KEY | {"authorization": f"Basic {SECRET}"}, RAW),
        (KEY | {"connection": "close"}, RAW),
        ({}, RAW),
    ],
)
@pytest.mark.parametrize("path", [PATH, BULK_PATH])
def test_both_ways_lead_to_the_same_answer(door: Door, path: str, headers: dict[str, str], body: bytes) -> None:
    straight, through = door.raw(sent(path, headers, body)), door.raw(sent(odd(path), headers, body))

    assert alike(straight) == alike(through)


@pytest.mark.parametrize(
    "failure", [RequestRefused("rate_limited", "wait", 429, retry_after_s=3), Unavailable(OURSELVES, "too much")]
)
@pytest.mark.parametrize("path", [PATH, BULK_PATH])
def test_both_ways_lead_to_the_same_refusal_by_accept(door: Door, path: str, failure: Exception) -> None:
    door.batcher.failure = failure

    straight, through = (door.raw(sent(way, KEY, BULK if path == BULK_PATH else RAW)) for way in (path, odd(path)))

    assert straight.status in {429, 503}
    assert alike(straight) == alike(through)


def test_both_ways_tell_the_same_of_what_was_accepted(door: Door) -> None:
    door.batcher.limit = Spending(True, 100, 50, 99, 0, 1)

    for path, body, key in ((PATH, RAW, {"idempotency-key": "way-1"}), (BULK_PATH, BULK, {})):
        straight, through = door.raw(sent(path, KEY, body)), door.raw(sent(odd(path), KEY, body))
        assert (straight.status, alike(straight)) == (202, alike(through))
        first, again = (door.raw(sent(way, KEY | key, body)) for way in (path, odd(path)))
        assert first.headers.get("idempotent-replayed") is None
        assert again.headers.get("idempotent-replayed") == ("true" if key else None)


@pytest.fixture
def connection(door: Door) -> Iterator[socket.socket]:
    """A raw connection."""
    with door.connect() as raw:
        yield raw


def test_a_body_that_comes_after_its_head_and_in_parts_is_read_whole(door: Door, connection: socket.socket) -> None:
    whole = sent(PATH, KEY, RAW)

    for part in (whole[: -len(RAW)], RAW[:5], RAW[5:]):
        connection.sendall(part)

    assert read_answer(connection).status == 202
    assert door.batcher.items[0].request.to.user == "user-1"


def test_a_body_that_does_not_come_is_waited_for_no_longer_than_allowed(connection: socket.socket) -> None:
    connection.sendall(sent(PATH, KEY, RAW)[:-1])

    answer = read_answer(connection)

    assert (answer.status, answer.json()["reason"]) == (408, "body_too_slow")


def test_a_sender_who_asks_first_is_told_to_go_on(connection: socket.socket) -> None:
    head, _, body = sent(PATH, KEY | {"expect": "100-continue"}, RAW).partition(b"\r\n\r\n")
    connection.sendall(head + b"\r\n\r\n")

    assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.sendall(body)

    assert read_answer(connection).status == 202


def test_requests_in_one_packet_are_answered_in_their_order(connection: socket.socket) -> None:
    connection.sendall(sent(PATH, KEY, RAW) + sent(PATH, KEY, b"[]") + sent(odd(PATH), KEY, RAW) + sent(PATH, {}, RAW))

    answers = b""
    while answers.count(b"HTTP/1.1 ") < 4:
        answers += connection.recv(65_536)

    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"202", b"422", b"202", b"401"]
