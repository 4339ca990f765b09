"""Whatever a browser may show as a page says what may run in it, whichever route it comes from."""

import re

from starlette.routing import Route

from api.app import create_app
from domain.lanes import Channel
from plumbing.secrets import Seal
from preferences.consent import Subscription, make_token
from tests.integration.api.doors import TENANT, Answer, Door, FakeBatcher, KeyRing, make_house

PAGES = {("GET", "/client/"), ("GET", "/u/{token}"), ("POST", "/u/{token}")}
"""Everything of ours that is HTML; a new page belongs in here."""

_FORM = {"content_type": "application/x-www-form-urlencoded"}


def test_84_every_page_of_every_route_has_a_strict_policy(door: Door) -> None:
    routes = [route for route in create_app(make_house(FakeBatcher(), KeyRing())).routes if isinstance(route, Route)]
    click = b"List-Unsubscribe=One-Click"
    asked = {
        (method, route.path): door.request(method, _filled(route.path), click, secret=None, **_FORM)
        for route in routes
        for method in (route.methods or set()) - {"HEAD"}
    }
    unknown = {("GET", path): door.request("GET", path, secret=None) for path in ("/", "/<b>", "/client/<b>", "/u/")}
    wrong = {("DELETE", "/client/"): door.request("DELETE", "/client/", secret=None)}
    pages = {asking: answer for asking, answer in {**asked, **unknown, **wrong}.items() if _is_html(answer)}

    assert len(asked) > 50
    assert pages.keys() == PAGES
    for asking, answer in pages.items():
        _assert_strict(answer, asking)


def test_84_the_page_behind_a_good_link_has_it_too(door: Door) -> None:
    seal = Seal("a secret key for tests, 32 bytes long")
    kind = "<img src=x onerror=alert(1)>"
    token = make_token(seal, Subscription(TENANT, TENANT, None, Channel.EMAIL, kind))

    answer = door.request("GET", f"/u/{token}", secret=None)

    assert answer.status == 200
    assert b"&lt;img src=x" in answer.body
    assert b"<img" not in answer.body
    _assert_strict(answer, kind)


def _filled(template: str) -> str:
    return re.sub(r"{[^}]*}", "x", template)


def _is_html(answer: Answer) -> bool:
    return "html" in answer.headers.get("content-type", "") or b"<html" in answer.body


def _assert_strict(answer: Answer, asked: object) -> None:
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; "), asked
    assert {"frame-ancestors 'none'", "base-uri 'none'"} <= set(policy.split("; ")), asked
    assert "unsafe" not in policy, asked
    assert answer.headers["x-content-type-options"] == "nosniff", asked
    assert answer.headers["content-type"] == "text/html; charset=utf-8", asked
