"""The shape of a request: what passes, and where each fault points."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.shape import MAX_DATA_BYTES, read_request
from domain.errors import RequestRefused

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
GOOD: dict[str, Any] = {"to": "user-1", "template": "order_shipped"}


def faults_of(**parts: Any) -> dict[str, str]:
    """What is wrong with a good request after these changes: pointer -> detail."""
    try:
        read_request(GOOD | parts, now=NOW)
    except RequestRefused as refusal:
        return {fault.pointer: fault.detail for fault in refusal.faults}
    return {}


@pytest.mark.parametrize(
    ("parts", "pointer"),
    [
        ({"to": None}, "/to"),
        ({"to": 5}, "/to"),
        ({"to": ""}, "/to"),
        ({"to": "u" * 256}, "/to"),
        ({"to": "a\nb"}, "/to"),
        ({"to": " a"}, "/to"),
        ({"to": {}}, "/to"),
        ({"to": {"user": 5}}, "/to/user"),
        ({"to": {"user": "a", "timezone": "Mars/Base"}}, "/to/timezone"),
        ({"to": {"user": "a", "timezone": "../../etc/passwd"}}, "/to/timezone"),
        ({"to": {"user": "a", "locale": "english please"}}, "/to/locale"),
        ({"to": {"user": "a", "name": "A\r\nBcc: x"}}, "/to/name"),
        ({"to": {"user": "a", "is_admin": True}}, "/to/is_admin"),
        ({"to": {"email": "a@example.org", "name": "Ada"}}, "/to/name"),
        ({"to": {"email": "a@example.org", "locale": "fr"}}, "/to/locale"),
        ({"to": {"phone": "+33612345678", "timezone": "Europe/Paris"}}, "/to/timezone"),
        ({"template": None, "content": {"title": "a"}, "data": {"order": 1}}, "/data"),
        ({"template": "../x"}, "/template"),
        ({"template": "Order"}, "/template"),
        ({"template": 1}, "/template"),
        ({"content": {"title": "a"}}, "/content"),
        ({"template": None}, "/template"),
        ({"template": None, "content": {}}, "/content"),
        ({"template": None, "content": {"title": "a" * 501}}, "/content/title"),
        ({"template": None, "content": {"body": "a" * 16_385}}, "/content/body"),
        ({"template": None, "content": {"body": "a"}, "version": 1}, "/version"),
        ({"template": None, "content": {"email": {"text": "a"}}}, "/content/email/subject"),
        ({"template": None, "content": {"email": {"subject": "a"}}}, "/content/email/text"),
        ({"template": None, "content": {"sms": {}}}, "/content/sms/text"),
        ({"version": 0}, "/version"),
        ({"version": 1.0}, "/version"),
        ({"data": []}, "/data"),
        ({"data": {"a": "x" * MAX_DATA_BYTES}}, "/data"),
        ({"channels": []}, "/channels"),
        ({"channels": "email"}, "/channels"),
        ({"channels": ["email", "email"]}, "/channels/1"),
        ({"channels": ["pigeon"]}, "/channels/0"),
        ({"channels": [["email"]]}, "/channels/0"),
        ({"priority": "urgent"}, "/priority"),
        ({"priority": ["high"]}, "/priority"),
        ({"category": "a b"}, "/category"),
        ({"collapse_id": "é" * 33}, "/collapse_id"),
        ({"dedupe_key": "d" * 256}, "/dedupe_key"),
        ({"dedupe_key": ""}, "/dedupe_key"),
        ({"expires_in_s": 0}, "/expires_in_s"),
        ({"expires_in_s": 2_592_001}, "/expires_in_s"),
        ({"send_at": "tomorrow"}, "/send_at"),
        ({"send_at": "2026-12-01T10:00:00"}, "/send_at"),
        ({"send_at": "2026-02-30T10:00:00Z"}, "/send_at"),
        ({"send_at": "2028-01-01T00:00:00Z"}, "/send_at"),
        ({"send_at": 1_700_000_000}, "/send_at"),
        ({"locale": "x"}, "/locale"),
        ({"a/b": 1}, "/a~1b"),
    ],
)
def test_a_fault_is_pointed_at(parts: dict[str, Any], pointer: str) -> None:
    assert list(faults_of(**parts)) == [pointer]


def test_every_fault_is_named_at_once() -> None:
    faults = faults_of(priority="urgent", expires_in_s="12", category="A", nonsense=1)

    assert set(faults) == {"/priority", "/expires_in_s", "/category", "/nonsense"}


def test_null_is_the_same_as_absent() -> None:
    nothing = dict.fromkeys(("content", "data", "channels", "priority", "category", "send_at", "fallback", "locale"))

    assert faults_of(**nothing) == {}


def test_a_moment_in_the_past_is_now() -> None:
    assert read_request(GOOD | {"send_at": "2026-11-20T11:59:59Z"}, now=NOW).send_at is None


def test_a_moment_with_an_offset_becomes_utc() -> None:
    request = read_request(GOOD | {"send_at": "2026-11-20t15:30:00.5+02:00"}, now=NOW)

    assert request.send_at == NOW + timedelta(hours=1, minutes=30, milliseconds=500)


def test_an_id_of_the_longest_allowed_length_passes() -> None:
    assert faults_of(to="u" * 255, dedupe_key="d" * 255, collapse_id="c" * 64) == {}
