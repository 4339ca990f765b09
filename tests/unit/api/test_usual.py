"""The quick reader of requests against the one that reads every field: the same request, or nothing said."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.shape import read_request
from api.usual import read_notification, read_usual
from domain.errors import RequestRefused

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
WORDS = {"content": {"title": "Your parcel", "body": "It comes tomorrow."}}

_odd: st.SearchStrategy[Any] = st.sampled_from(
    [None, "", " a", "a ", "a\tb", "a\nb", "=?x?y?=", "é" * 40, 0, 1, True, 1.0, [], {}, "a" * 101]
)
_text = st.sampled_from(["a", "orders", "a b", "A", "a" * 64, "a" * 255, "a" * 256, "a" * 501, "x" * 16_385]) | _odd
_channels = st.lists(st.sampled_from(["push", "email", "sms", "webhook", "in_app", "fax", 1, None]), max_size=4)
_parts: dict[str, st.SearchStrategy[Any]] = {
    "to": _text
    | st.fixed_dictionaries({}, optional={"user": _text, "device_token": _text, "email": _text, "more": _text}),
    "template": _text,
    "data": st.sampled_from([{"a": [1, {"b": None}]}, {"a": "x" * 65_536}]) | _odd,
    "content": st.fixed_dictionaries({}, optional={"title": _text, "body": _text, "sms": _text, "x": _text}) | _odd,
    "channels": _channels | _odd | st.just({"push": 1}),
    "priority": st.sampled_from(["critical", "high", "normal", "low"]) | _odd,
    "category": _text,
    "collapse_id": _text,
    "dedupe_key": _text,
    "expires_in_s": st.sampled_from([1, 2_592_000, 2_592_001, -1]) | _odd,
    "locale": _odd,
    "send_at": _odd,
    "fallback": _odd,
    "more": _odd,
}
_changes = st.lists(
    st.sampled_from(sorted(_parts)).flatmap(lambda name: st.tuples(st.just(name), _parts[name])), max_size=3
)
_bases: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [{}, {"to": "user-1"} | WORDS, {"to": {"device_token": "a"}, "template": "a"}]
)
_documents = st.builds(lambda base, changes: base | dict(changes), _bases, _changes)


@given(_documents | _odd)
def test_a_usual_request_is_read_as_all_others_are(document: Any) -> None:
    usual = read_usual(document)

    if usual is not None:
        assert usual == read_request(document, now=NOW)
        assert type(usual.data) is dict


@pytest.mark.parametrize(
    "document",
    [
        {"to": "user-1"} | WORDS,
        {"to": {"user": "user-1"}, "template": "order_shipped"},
        {"to": {"device_token": "ab" * 32}, "channels": ["push"], "category": "general", "priority": "high"} | WORDS,
        {
            "to": "user-1",
            "template": "order_shipped",
            "data": {"order": "A-1001"},
            "channels": ["sms", "push", "email"],
            "category": "orders",
            "collapse_id": "order-A-1001",
            "dedupe_key": "shipped:A-1001",
            "expires_in_s": 3600,
        },
    ],
)
def test_what_is_usually_sent_is_usual(document: dict[str, Any]) -> None:
    assert read_usual(document) == read_request(document, now=NOW)


def test_what_is_not_usual_is_read_field_by_field() -> None:
    request = read_notification({"to": {"email": "a@example.org"}, "locale": "fr"} | WORDS, now=NOW)

    assert (request.to.email, request.locale) == ("a@example.org", "fr")


def test_every_fault_of_an_unusual_request_is_named() -> None:
    with pytest.raises(RequestRefused) as refused:
        read_notification({"to": 5, "channels": ["pigeon"], "priority": "urgent"}, now=NOW)

    assert {fault.pointer for fault in refused.value.faults} == {"/to", "/channels/0", "/priority", "/template"}
