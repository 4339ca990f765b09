"""The files of the web client: all there, of the right kind, and never allowed to run what is not ours."""

import re

import pytest

from api.webclient import FOLDER
from tests.integration.api.doors import Door

FILES = {
    "/client/": "text/html; charset=utf-8",
    "/client/carillon.js": "text/javascript; charset=utf-8",
    "/client/memory.js": "text/javascript; charset=utf-8",
    "/client/pauses.js": "text/javascript; charset=utf-8",
    "/client/registering.js": "text/javascript; charset=utf-8",
    "/client/page.js": "text/javascript; charset=utf-8",
    "/client/style.css": "text/css; charset=utf-8",
    "/client/icon.svg": "image/svg+xml",
}


@pytest.mark.parametrize(("path", "kind"), FILES.items())
def test_a_file_is_there_with_a_strict_policy(door: Door, path: str, kind: str) -> None:
    answer = door.request("GET", path, secret=None)
    again = door.request("GET", path, secret=None, if_none_match=answer.headers["etag"])

    assert (answer.status, answer.headers["content-type"]) == (200, kind)
    assert answer.body == (FOLDER / (path.removeprefix("/client/") or "index.html")).read_bytes()
    assert (again.status, again.body) == (304, b"")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_every_file_of_the_folder_is_served() -> None:
    assert {path.name for path in FOLDER.iterdir() if path.is_file()} == {
        path.removeprefix("/client/") or "index.html" for path in FILES
    }


@pytest.mark.parametrize("path", ["/client/../app.py", "/client/%2e%2e/wire.py", "/client/..", "/client/carillon.js/"])
def test_nothing_else_is_served(door: Door, path: str) -> None:
    assert door.request("GET", path, secret=None).status == 404


def test_the_folder_without_its_slash_leads_to_the_page(door: Door) -> None:
    answer = door.request("GET", "/client", secret=None)

    assert (answer.status, answer.headers["location"]) == (308, "/client/")


def test_the_page_has_nothing_inline_and_nothing_from_elsewhere() -> None:
    page = (FOLDER / "index.html").read_text()

    assert re.findall(r"<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=|<style|javascript:", page) == []
    assert re.findall(r'\b(?:src|href)="(?!icon\.svg|style\.css|page\.js|#)[^"]*"', page) == []
