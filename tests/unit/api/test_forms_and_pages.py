"""Forms from mail programs, and the pages that recipients see."""

import re

import pytest
from starlette.requests import Request

from api.forms import read_form
from api.pages import button, page
from domain.errors import RequestRefused

BOUNDARY = "----=_Part"
MULTIPART = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--{BOUNDARY}--\r\n'
).encode()


def request(body: bytes, content_type: str) -> Request:
    """A request with a form."""

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body, "more_body": False}

    headers = [(b"content-type", content_type.encode())]
    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"List-Unsubscribe=One-Click", "application/x-www-form-urlencoded"),
        (b"List-Unsubscribe=One%2DClick&x=", "application/x-www-form-urlencoded; charset=utf-8"),
        (MULTIPART, f'multipart/form-data; boundary="{BOUNDARY}"'),
    ],
)
async def test_one_click_is_understood_in_both_forms(body: bytes, content_type: str) -> None:
    fields = await read_form(request(body, content_type), timeout_s=1)

    assert fields["List-Unsubscribe"] == "One-Click"


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{}", "application/json", 415),
        (b"a=1", "text/plain", 415),
        (b"a=" + b"1" * 20_000, "application/x-www-form-urlencoded", 413),
        (b"&".join([b"a=1"] * 100), "application/x-www-form-urlencoded", 400),
        (b"\xff=\xfe", "application/x-www-form-urlencoded", 400),
        (b"nonsense", "multipart/form-data", 400),
    ],
)
async def test_what_is_no_small_form_is_refused(body: bytes, content_type: str, status: int) -> None:
    with pytest.raises(RequestRefused) as refused:
        await read_form(request(body, content_type), timeout_s=1)

    assert refused.value.status == status


def test_a_page_holds_text_as_text_and_nothing_that_runs() -> None:
    answer = page("<b>Title</b>", "<script>alert(1)</script>", form=button('"Go"', name="a", value='"><script>'))

    text = bytes(answer.body).decode()
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert not re.search(r"https?://", text)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "set-cookie" not in answer.headers
