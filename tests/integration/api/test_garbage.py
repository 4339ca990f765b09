"""What a request leaves behind: nothing that only the garbage collector could find, which stops everybody else."""

import gc
from collections.abc import Iterator

import pytest
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from tests.integration.api.doors import SECRET, Door, read_answer

GOOD = b'{"to": "user-1", "content": {"title": "Hello", "body": "World"}}'
TIMES = 20


@pytest.fixture
def uncollected() -> Iterator[None]:
    """Without the garbage collector."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize(("method", "path"), [("POST", "/api/v1/notifications"), ("GET", "/api/v1/nothing")])
def test_an_answered_request_is_gone_without_the_garbage_collector(door: Door, method: str, path: str) -> None:
    before = _kept()
    head = f"{method} {path} HTTP/1.1\r\nhost: c\r\nauthorization: Bearer {SECRET}\r\n"
    body = GOOD if method == "POST" else b""
    with door.connect() as connection:
        for _ in range(TIMES):
            lines = f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
            connection.sendall((head + lines).encode() + body)
            read_answer(connection)

        assert _kept() - before <= 1, "the connection knows its last request, and nobody any other"


def _kept() -> int:
    return sum(isinstance(each, RequestResponseCycle) for each in gc.get_objects())
