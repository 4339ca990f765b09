"""The shape of pushes: what a device may be sent, and where each fault points."""

from datetime import UTC, datetime
from typing import Any

import pytest

from api.shape import read_request
from domain.errors import RequestRefused
from domain.notification import PushParts, Recipient
from domain.payload import encode
from domain.push import MAX_PAYLOAD_BYTES

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
APS = {"alert": {"title": "Hi", "body": "There"}, "badge": 0, "sound": "default", "mutable-content": 1}


def _read(push: Any, **content: Any) -> PushParts | None:
    request = read_request({"to": "u", "content": {"push": push, **content}}, now=NOW)
    assert request.content is not None
    return request.content.push


def _refused(push: Any, **content: Any) -> RequestRefused:
    with pytest.raises(RequestRefused) as refused:
        _read(push, **content)
    return refused.value


def test_what_a_device_gets_is_what_was_sent() -> None:
    push = {
        "aps": APS | {"thread-id": "t", "interruption-level": "time-sensitive", "x-own": [1]},
        "data": {"a": {"b": 1}},
        "image_url": "https://example.org/a.png",
        "actions": [{"id": "open", "title": "Open", "url": "myapp://order/1"}],
    }

    assert _read(push | {"wake": 5}) == PushParts(push, 5)


@pytest.mark.parametrize(
    ("push", "alert"),
    [
        ({}, {"title": "T", "body": "B"}),
        ({"aps": {"badge": 2}}, {"title": "T", "body": "B"}),
        ({"aps": {"alert": "own"}}, "own"),
        ({"aps": {"content-available": 1}}, None),
    ],
)
def test_a_missing_alert_is_made_from_title_and_body_but_never_for_a_silent_push(
    push: dict[str, Any], alert: object
) -> None:
    parts = _read(push, title="T", body="B")

    assert parts is not None
    assert parts.payload["aps"].get("alert") == alert


def test_an_alert_from_a_long_body_takes_what_room_is_left() -> None:
    parts = _read({"data": {"k": "x" * 3000}}, body='"\n' * 5000)

    assert parts is not None
    assert len(encode(parts.payload)) <= MAX_PAYLOAD_BYTES
    assert parts.payload["aps"]["alert"]["body"].endswith("…")


@pytest.mark.parametrize(
    ("push", "pointer"),
    [
        ("hello", ""),
        ({}, ""),
        ({"data": {"a": 1}}, ""),
        ({"aps": []}, "/aps"),
        ({"aps": APS, "data": [1]}, "/data"),
        ({"aps": APS, "nonsense": 1}, "/nonsense"),
        ({"aps": APS, "wake": 7}, "/wake"),
        ({"aps": APS, "wake": True}, "/wake"),
        ({"aps": {"alert": 5}}, "/aps/alert"),
        ({"aps": {"alert": {"title": 5}}}, "/aps/alert/title"),
        ({"aps": {"alert": {"loc-args": ["a", 1]}}}, "/aps/alert/loc-args"),
        ({"aps": APS | {"badge": -1}}, "/aps/badge"),
        ({"aps": APS | {"badge": True}}, "/aps/badge"),
        ({"aps": APS | {"badge": "3"}}, "/aps/badge"),
        ({"aps": APS | {"sound": 1}}, "/aps/sound"),
        ({"aps": APS | {"sound": {"critical": 1}}}, "/aps/sound/name"),
        ({"aps": {"content-available": "1"}}, "/aps/content-available"),
        ({"aps": APS | {"thread-id": 3}}, "/aps/thread-id"),
        ({"aps": APS | {"category": {}}}, "/aps/category"),
        ({"aps": APS | {"interruption-level": "loud"}}, "/aps/interruption-level"),
        ({"aps": APS, "image_url": "http://example.org/a.png"}, "/image_url"),
        ({"aps": APS, "image_url": "https:// example.org"}, "/image_url"),
        ({"aps": APS, "actions": []}, "/actions"),
        ({"aps": APS, "actions": [{"id": str(n), "title": "t"} for n in range(5)]}, "/actions"),
        ({"aps": APS, "actions": [{"id": "a", "title": "t"}] * 2}, "/actions"),
        ({"aps": APS, "actions": [{"id": "a"}]}, "/actions/0/title"),
        ({"aps": APS, "actions": [{"id": [], "title": "t"}]}, "/actions/0/id"),
        ({"aps": APS, "actions": [{"id": "a", "title": "t", "url": "javascript:alert(1)"}]}, "/actions/0/url"),
        ({"aps": APS, "actions": [{"id": "a", "title": "t", "colour": 1}]}, "/actions/0/colour"),
    ],
)
def test_what_no_device_could_use_is_pointed_at(push: Any, pointer: str) -> None:
    refused = _refused(push)

    assert refused.reason == "invalid_request"
    assert f"/content/push{pointer}" in {fault.pointer for fault in refused.faults}


def test_one_byte_too_many_is_refused_by_name_and_the_last_one_that_fits_is_taken() -> None:
    room = MAX_PAYLOAD_BYTES - len(encode({"aps": {"alert": ""}}))

    assert _read({"aps": {"alert": "x" * room}}) is not None
    refused = _refused({"aps": {"alert": "x" * (room + 1)}})

    assert (refused.status, refused.reason) == (422, "payload_too_large")
    assert [fault.pointer for fault in refused.faults] == ["/content/push"]


def test_a_device_is_named_alone() -> None:
    request = read_request({"to": {"device_token": "abc"}, "content": {"body": "B"}}, now=NOW)
    with pytest.raises(RequestRefused) as refused:
        read_request({"to": {"device_token": "abc", "user": "u"}, "content": {"body": "B"}}, now=NOW)

    assert request.to == Recipient(device_token="abc")
    assert [fault.pointer for fault in refused.value.faults] == ["/to/user"]
