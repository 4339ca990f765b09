"""A push that is put between ready pieces is the push that was looked at whole, whatever the texts."""

import json
from itertools import product
from typing import Any

import pytest
from jinja2 import Template

from domain.content import PushContent
from domain.errors import Permanent
from domain.lanes import Channel, Priority
from templates.environment import TEXT
from templates.push import MAX_MOULDS, Filled, NoPayload, PushWords, fill, fill_judging, read_push
from templates.render import Person, render
from tests.unit.templates.conftest import Write

TEXTS = ("x", "", " ", "active", "7", "-1", "1e3", "https://a.example/b", '"\\', "\n\u2028é", "\0", "\ud800", "x" * 101)
NOBODY = Person(None, None, None)
HOLE, OTHER = "{{ a }}", "{{ b }}"
ALERT = {"title": "Fixed"}
DOCUMENTS: list[dict[str, Any]] = [
    *({"aps": {"alert": ALERT, name: HOLE}} for name in ("badge", "sound", "thread-id", "category", "other")),
    *({"aps": {"alert": ALERT, name: HOLE}} for name in ("interruption-level", "relevance-score", "mutable-content")),
    *({"aps": {"content-available": flag, "alert": HOLE}} for flag in (1, HOLE)),
    *({"aps": {"content-available": 1, name: [HOLE]}} for name in ("alert", "badge", "sound")),
    *({"aps": {"content-available": 1, "alert": {name: HOLE}}} for name in ("title", "loc-args", "badge", "other")),
    {"aps": {"content-available": 1, "sound": {"name": HOLE}}},
    {"aps": {"alert": {"title": HOLE, "body": OTHER}}},
    {"aps": {"alert": {"body": HOLE}, "badge": OTHER}, "wake": 1},
    {"aps": {"alert": {"loc-args": [HOLE, "fixed", OTHER]}}},
    {"aps": {"alert": ALERT}, "data": {"a": HOLE, "deep": [{"b": OTHER}, HOLE, "", None, 1e16, 10**30], "c": OTHER}},
    {"aps": {"alert": ALERT}, "data": {"badge": HOLE}},
    {"aps": {"alert": ALERT}, "data": [HOLE, OTHER]},
    {"aps": {"alert": HOLE}, "data": float("nan")},
    {"aps": {"alert": HOLE}, "data": {"\ud800": 1}},
    {"aps": {"alert": ALERT}, "image_url": HOLE},
    {"aps": {"alert": HOLE}, "image_url": "https://a.example/fixed"},
    {"aps": {"alert": HOLE}, "image_url": "http://a.example/plain"},
    *(
        {"aps": {"alert": ALERT}, "actions": [{"id": "one", "title": "T", name: HOLE}]}
        for name in ("id", "title", "url")
    ),
    {"aps": {"alert": ALERT}, "actions": [{"id": HOLE, "title": "T"}, {"id": OTHER, "title": "T"}]},
    {"aps": {"alert": HOLE}, "actions": []},
    {"aps": {"alert": "fixed"}},
]


def _compile(text: str) -> tuple[Template, frozenset[str]]:
    return TEXT.from_string(text), frozenset()


def _ended(filling: Any, words: PushWords, texts: dict[str, Any], priority: Priority) -> Filled | str:
    try:
        made: Filled = filling(words, lambda template: template.render(texts), priority)
    except NoPayload as error:
        return str(error)
    except ValueError as error:
        return type(error).__name__
    return made


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_both_ways_end_alike(document: dict[str, Any]) -> None:
    words = read_push(document, _compile)

    for priority, first, second in product(Priority, TEXTS, TEXTS):
        texts = {"a": first, "b": second}
        assert _ended(fill, words, texts, priority) == _ended(fill_judging, words, texts, priority), texts


def test_most_documents_have_moulds() -> None:
    words = [read_push(document, _compile) for document in DOCUMENTS]
    for one in words:
        _ended(fill, one, {"a": "x", "b": "x"}, Priority.NORMAL)

    assert sum(any(one.moulds.values()) for one in words) > len(words) // 3


def test_a_document_has_a_mould_for_each_set_of_texts_that_are_there_and_not_without_end() -> None:
    document = {"aps": {"alert": "x"}, "data": {str(n): f"{{{{ t[{n}] }}}}" for n in range(9)}}
    words = read_push(document, _compile)

    for number in range(2**9):
        texts = {"t": ["x" if number >> n & 1 else "" for n in range(9)]}
        filled = _ended(fill, words, texts, Priority.NORMAL)
        assert isinstance(filled, Filled)
        there = {str(n): "x" for n in range(9) if number >> n & 1}
        assert json.loads(filled.payload) == {"aps": {"alert": "x"}, "data": there}
        assert len(words.moulds) <= MAX_MOULDS


def test_the_first_fault_is_told_though_a_later_text_lacks_a_name(write: Write) -> None:
    message = write({"push.json": {"aps": {"badge": "{{ n }}", "alert": "{{ x.y }}"}}})

    with pytest.raises(Permanent, match="no number"):
        render(message, Channel.PUSH, {"n": "many", "x": {}}, locale=None, person=NOBODY, unsubscribe_url=None)


@pytest.mark.parametrize("first", ["{% set x = 'secret' %}{{ x }}", "{% block x %}secret{% endblock %}"])
def test_what_one_text_sets_the_next_one_does_not_see(write: Write, first: str) -> None:
    message = write({"push.json": {"aps": {"alert": {"title": first, "body": "{{ x|default('nothing') }}"}}}})

    content = render(message, Channel.PUSH, {}, locale=None, person=NOBODY, unsubscribe_url=None)

    assert isinstance(content, PushContent)
    assert json.loads(content.payload)["aps"]["alert"] == {"title": "secret", "body": "nothing"}


def test_ranges_of_all_texts_of_a_push_are_counted_together(write: Write) -> None:
    loop = "{% for i in range(6000) %}{% endfor %}x"
    message = write({"push.json": {"aps": {"alert": {"title": loop, "body": loop}}}})

    with pytest.raises(Permanent, match="range"):
        render(message, Channel.PUSH, {}, locale=None, person=NOBODY, unsubscribe_url=None)
