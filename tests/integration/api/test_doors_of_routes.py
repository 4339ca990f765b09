"""Every route of the OpenAPI document: without a key, with a wrong one, without its scope; and no 5xx for any input."""

import json
import re
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.app import create_app
from api.auth import Scope
from tests.integration.api.doors import SECRET, Door, FakeBatcher, KeyRing, make_house

DOCUMENT: dict[str, Any] = create_app(make_house(FakeBatcher(), KeyRing())).openapi()
GUARDED = [
    (method.upper(), path, operation["security"][0]["key"][0])
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
    if operation["security"]
]


def concrete(path: str) -> str:
    """A path with ids that belong to nobody."""
    return re.sub(r"\{\w+\}", str(uuid4()), path)


@pytest.mark.parametrize(("method", "path", "scope"), GUARDED)
def test_a_route_opens_only_for_a_key_with_its_scope(door: Door, method: str, path: str, scope: str) -> None:
    wrong = "cn_live_" + "w" * 43
    without = "cn_live_" + f"without-{scope}".ljust(43, "-")
    door.ring.add(without, scopes=[each for each in Scope if each != scope])

    answers = {
        secret: door.request(method, concrete(path), {} if method in {"POST", "PUT", "PATCH"} else None, secret=secret)
        for secret in (None, wrong, without)
    }

    assert [answer.status for answer in answers.values()] == [401, 401, 403]
    assert all(answer.headers["www-authenticate"].startswith("Bearer") for answer in answers.values())
    assert all(answer.headers["content-type"] == "application/problem+json" for answer in answers.values())
    assert f'scope="{scope}"' in answers[without].headers["www-authenticate"]


_odd_texts = st.text(max_size=20) | st.sampled_from(
    ["", "\0", "\ud800", "\u2028", "=?utf-8?q?x?=", "user-1", "a@b.example", "+33612345678", "email", "push", "low"]
)
_odd = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _odd_texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_odd_texts, inner, max_size=4),
    max_leaves=8,
)
_names = sorted(DOCUMENT["components"]["schemas"]["NotificationRequestBody"]["properties"])
_words = st.fixed_dictionaries(
    {}, optional={"title": _odd, "body": _odd, "email": _odd, "sms": _odd, "push": _odd, "nonsense": _odd}
)
_requests = st.fixed_dictionaries(
    {"to": _odd | st.fixed_dictionaries({}, optional={"user": _odd, "email": _odd, "phone": _odd, "timezone": _odd})},
    optional={name: _odd if name != "content" else _words for name in _names if name != "to"},
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=_requests | st.builds(lambda items: {"notifications": items}, st.lists(_requests, max_size=3)))
def test_no_body_is_answered_with_5xx(door: Door, body: Any) -> None:
    raw = json.dumps(body).encode()

    for path in ("/api/v1/notifications", "/api/v1/notifications/bulk"):
        answer = door.post(raw, path)
        assert answer.status < 500
        assert answer.status == 202 or answer.json()["status"] == answer.status


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    path=st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#"), max_size=40),
    method=st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE"]),
)
def test_no_path_is_answered_with_5xx(door: Door, path: str, method: str) -> None:
    with door.connect() as connection:
        head = f"{method} /{path} HTTP/1.1\r\nhost: carillon\r\nauthorization: Bearer {SECRET}\r\n\r\n"
        connection.sendall(head.encode())
        status = int(connection.makefile("rb").readline().split()[1])

    assert status < 500
