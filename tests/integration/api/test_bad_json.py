"""Bodies that are no good JSON: each gets its 4xx with a pointer, and nothing reaches accept."""

import select

import pytest

from tests.integration.api.doors import SECRET, Door, read_answer

GOOD = {"to": "user-1", "content": {"title": "Hello", "body": "World"}, "data": {}}


def body(inside: str = "", *, title: str = '"Hello"', data: str = "{}") -> bytes:
    """A good request, as text, with parts replaced."""
    text = f'{{"to":"user-1","content":{{"title":{title},"body":"World"}},"data":{data}{inside}}}'
    return text.encode()


def test_a_good_request_is_accepted(door: Door) -> None:
    answer = door.post(GOOD)

    assert answer.status == 202
    assert answer.headers["location"] == f"/api/v1/notifications/{answer.json()['id']}"
    assert len(door.batcher.items) == 1


@pytest.mark.parametrize(
    ("sent", "status", "pointer"),
    [
        pytest.param(body(title=r'"a\u0000b"'), 422, "/content/title", id="1-nul-in-title"),
        pytest.param(body(data=r'{"k":"\u0000"}'), 422, "/data/k", id="2-nul-in-data"),
        pytest.param(body(title=r'"\ud800"'), 422, "/content/title", id="3-lone-surrogate"),
        pytest.param(body(data=r'{"a":[{"b":"x\udfff"}]}'), 422, "/data/a/0/b", id="4-lone-surrogate-in-data"),
        pytest.param(body(title='"\xff"').decode().encode("latin-1"), 400, None, id="5-not-utf-8"),
        pytest.param(body(',"expires_in_s":NaN'), 422, "/expires_in_s", id="6-nan"),
        pytest.param(body(',"expires_in_s":-Infinity'), 422, "/expires_in_s", id="6-infinity"),
        pytest.param(body(',"expires_in_s":1e400'), 422, "/expires_in_s", id="6-1e400"),
        pytest.param(body(data='{"k":NaN}'), 422, "/data/k", id="7-nan-in-data"),
        pytest.param(body(data='{"k":9223372036854775808}'), 422, "/data/k", id="8-beyond-64-bits"),
        pytest.param(body(data='{"k":' + "9" * 5000 + "}"), 400, None, id="8-5000-digits"),
        pytest.param(b'{"a":' * 20_000 + b"1" + b"}" * 20_000, 400, None, id="9-20000-deep"),
        pytest.param(b"[" * 100_000 + b"]" * 100_000, 400, None, id="9-100000-deep"),
        pytest.param(body(data='{"k":' + "[" * 900 + "]" * 900 + "}"), 422, "", id="9-900-deep"),
        pytest.param(body(data='{"k":' + "[" * 40 + "]" * 40 + "}"), 422, "/data/k" + "/0" * 30, id="9-40-deep"),
        pytest.param(body(',"to":"user-2"'), 400, None, id="10-duplicate-key"),
        pytest.param(body(data='{"k":1,"k":2}'), 400, None, id="10-duplicate-key-in-data"),
        pytest.param(body(',"tenant_id":"x"'), 422, "/tenant_id", id="13-tenant_id"),
        pytest.param(body(',"status":"sent"'), 422, "/status", id="13-status"),
        pytest.param(body(',"is_admin":true'), 422, "/is_admin", id="13-is_admin"),
        pytest.param(body(',"expires_in_s":"12"'), 422, "/expires_in_s", id="14-text-as-number"),
        pytest.param(body(',"expires_in_s":true'), 422, "/expires_in_s", id="14-true-as-number"),
        pytest.param(body().decode().encode("utf-16"), 400, None, id="15-utf-16"),
        pytest.param(b"\xef\xbb\xbf" + body(), 400, None, id="15-byte-order-mark"),
        pytest.param(b"", 415, None, id="nothing-at-all"),
        pytest.param(b"nonsense", 400, None, id="no-json"),
        pytest.param(b"[]", 422, "", id="an-array"),
    ],
)
def test_a_body_that_cannot_be_kept_is_refused(door: Door, sent: bytes, status: int, pointer: str | None) -> None:
    answer = door.post(sent)

    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert pointer is None or answer.pointers()[0] == pointer
    assert door.batcher.items == []


def test_11_a_body_of_20_mb_is_refused_before_it_is_sent(door: Door) -> None:
    with door.connect() as connection:
        connection.sendall(head("content-length: 20000000"))
        answer = read_answer(connection)

    assert answer.status == 413
    assert answer.json()["reason"] == "body_too_large"


def test_12_an_endless_chunked_body_is_refused_at_256_kib(door: Door) -> None:
    chunk = b"8000\r\n" + b" " * 0x8000 + b"\r\n"
    with door.connect() as connection:
        connection.sendall(head("transfer-encoding: chunked"))
        for _ in range(9):
            connection.sendall(chunk)
        answer = read_answer(connection)
        with pytest.raises(OSError, match=r"reset|pipe|aborted"):
            connection.sendall(chunk * 1000)

    assert answer.status == 413


def test_16_json_as_plain_text_is_refused(door: Door) -> None:
    assert door.post(GOOD, content_type="text/plain").status == 415


def test_17_a_compressed_body_is_refused(door: Door) -> None:
    assert door.post(GOOD, content_encoding="gzip").status == 415


def test_a_charset_other_than_utf_8_is_refused(door: Door) -> None:
    assert door.post(GOOD, content_type="application/json; charset=latin-1").status == 415
    assert door.post(GOOD, content_type="application/json; charset=UTF-8").status == 202


def test_22_a_slow_body_is_given_up_while_others_are_served(door: Door) -> None:
    with door.connect() as slow:
        slow.sendall(head("content-length: 100") + b"{")
        other = door.post(GOOD).status
        was_answered = bool(select.select([slow], [], [], 0)[0])
        answer = read_answer(slow)

    assert other == 202
    assert not was_answered
    assert answer.status == 408
    assert answer.json()["reason"] == "body_too_slow"


def head(line: str) -> bytes:
    """The head of a POST whose body follows."""
    return (
        "POST /api/v1/notifications HTTP/1.1\r\nhost: carillon\r\n"
        f"authorization: Bearer {SECRET}\r\ncontent-type: application/json\r\n{line}\r\n\r\n"
    ).encode()
