"""Requests that are odd below JSON: framings, heads, ranges, methods; each is answered in the form of all errors."""

import socket

import httpx2
import pytest
import structlog

from api.app import create_app
from tests.integration.api.doors import SECRET, Door, FakeBatcher, KeyRing, make_house, read_answer

GOOD = {"to": "user-1", "content": {"title": "Hello", "body": "World"}}


async def test_18_what_a_stranger_says_about_itself_is_not_believed() -> None:
    app = create_app(make_house(FakeBatcher(), KeyRing()))
    sent = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: object) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/metrics",
        "raw_path": b"/metrics",
        "query_string": b"",
        "headers": [(b"x-forwarded-for", b"127.0.0.1")],
        "client": ("203.0.113.9", 4000),
        "server": ("127.0.0.1", 8000),
        "scheme": "http",
        "http_version": "1.1",
        "root_path": "",
    }

    await app(scope, receive, send)

    assert sent[0]["status"] == 401  # type: ignore[index]  # an ASGI message


def test_18_metrics_are_for_this_machine_and_not_for_what_it_forwards(door: Door) -> None:
    assert door.request("GET", "/metrics", secret=None).status == 200
    assert door.request("GET", "/metrics", secret=None, x_forwarded_for="1.2.3.4").status == 401
    assert door.request("GET", "/metrics", x_forwarded_for="1.2.3.4").status == 200


def test_19_two_framings_at_once_are_refused_and_the_connection_closed(door: Door) -> None:
    sent = (
        b"POST /api/v1/notifications HTTP/1.1\r\nhost: carillon\r\ntransfer-encoding: chunked\r\n"
        b"content-length: 4\r\ncontent-type: application/json\r\n\r\n0\r\n\r\nGET /health/live HTTP/1.1\r\n\r\n"
    )
    with door.connect() as connection:
        connection.sendall(sent)
        answer = read_answer(connection)
        rest = _read_to_end(connection)

    assert answer.status == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert rest == b""


@pytest.mark.parametrize("line", ["content-length: 5\r\ncontent-length: 6", "content-length: -1", "bad header: x"])
def test_19_framing_that_can_be_read_in_two_ways_is_refused(door: Door, line: str) -> None:
    answer = door.raw(f"POST /api/v1/notifications HTTP/1.1\r\nhost: a\r\n{line}\r\n\r\n".encode())

    assert answer.status == 400
    assert answer.headers["connection"] == "close"


def test_20_ten_thousand_query_parameters_are_refused(door: Door) -> None:
    query = "&".join(f"q{number}=1" for number in range(10_000))

    assert door.request("GET", f"/api/v1/notifications?{query}").status in {400, 414, 431}
    assert door.request("GET", f"/api/v1/notifications?{query[:9000]}").status == 414


def test_20_a_header_of_a_megabyte_is_refused(door: Door) -> None:
    with door.connect() as connection:
        connection.sendall(b"GET /health/live HTTP/1.1\r\nhost: carillon\r\nx-big: " + b"a" * 70_000)
        answer = read_answer(connection)

    assert answer.status == 431
    assert answer.json()["reason"] == "headers_too_large"


def test_20_too_many_headers_are_refused(door: Door) -> None:
    lines = b"".join(b"x-%d: 1\r\n" % number for number in range(200))

    assert door.raw(b"GET /health/live HTTP/1.1\r\nhost: carillon\r\n" + lines + b"\r\n").status == 431


def test_21_ten_thousand_ranges_are_answered_at_once(door: Door) -> None:
    ranges = "bytes=" + ",".join(["0-"] * 10_000)

    assert door.request("GET", "/health/live", range=ranges).status == 200


def test_a_connection_is_kept_for_the_next_request(door: Door) -> None:
    request = b"GET /health/live HTTP/1.1\r\nhost: carillon\r\n\r\n"
    with door.connect() as connection:
        statuses = []
        for _ in range(3):
            connection.sendall(request)
            statuses.append(read_answer(connection).status)

    assert statuses == [200, 200, 200]


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/api/v1/notifications/", 404, "not_found"),
        ("PATCH", "/api/v1/notifications/bulk", 405, "method_not_allowed"),
        ("POST", "/health/live", 405, "method_not_allowed"),
        ("GET", "/a%00b", 400, "malformed_path"),
    ],
)
def test_routes_and_methods_that_do_not_exist_are_problems_too(
    door: Door, method: str, path: str, status: int, reason: str
) -> None:
    answer = door.request(method, path)

    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["reason"] == reason
    assert answer.json()["status"] == status


def test_a_wrong_method_is_told_every_right_one(door: Door) -> None:
    assert door.request("PUT", "/api/v1/notifications").headers["allow"] == "GET, POST"


def test_what_went_wrong_inside_stays_inside(door: Door) -> None:
    door.batcher.failure = RuntimeError("SELECT secret FROM somewhere")

    answer = door.post(GOOD)

    assert answer.status == 500
    assert answer.json()["reason"] == "internal_error"
    assert b"SELECT" not in answer.body
    assert b"Traceback" not in answer.body
    assert answer.json()["instance"].endswith(answer.headers["x-request-id"])


def test_an_answer_names_no_server_and_forbids_guessing(door: Door) -> None:
    answer = door.post(GOOD)

    assert "server" not in answer.headers
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert len(answer.headers["x-request-id"]) == 32


def _read_to_end(connection: socket.socket) -> bytes:
    read = b""
    try:
        while part := connection.recv(4096):
            read += part
    except ConnectionResetError:
        pass
    return read


def test_keys_are_asked_for_by_header_only(door: Door) -> None:
    assert door.request("GET", f"/api/v1/notifications?key={SECRET}", secret=None).status in {401, 405}


async def test_one_line_is_written_per_request_without_who_it_is_about() -> None:
    ring = KeyRing()
    key = ring.add(SECRET)
    app = create_app(make_house(FakeBatcher(), ring))
    headers = {"authorization": f"Bearer {SECRET}"}

    with structlog.testing.capture_logs() as lines:
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://carillon") as client:
            answers = [
                await client.post("/api/v1/notifications", json=GOOD | {"to": "ada-lovelace"}, headers=headers),
                await client.get("/u/some-secret-token"),
                await client.get("/nowhere/ada@example.org"),
            ]

    ids = [answer.headers["x-request-id"] for answer in answers]
    written = [line for line in lines if line["event"] == "request.answered" and line["request_id"] in ids]
    assert [line["status"] for line in written] == [202, 404, 404]
    assert (written[0]["tenant_id"], written[0]["key"]) == (key.tenant_id, key.prefix)
    assert written[1]["route"] == "/u/{token}"
    assert not any(word in str(written) for word in ("ada", SECRET, "some-secret-token"))
