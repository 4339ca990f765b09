"""Push words: a JSON document of templates, filled with values that stay values."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.content import PushContent
from domain.errors import Misconfigured, Permanent
from domain.lanes import Channel, Priority
from domain.notification import Content, PushParts
from domain.push import MAX_PAYLOAD_BYTES, Wake
from domain.reasons import Reason
from templates.catalog import Message
from templates.render import Person, render, render_content
from tests.unit.templates.conftest import Write

NOBODY = Person(None, None, None)


def _push(message: Message, data: dict[str, Any], **wishes: Any) -> PushContent:
    wishes = {"locale": None, "person": NOBODY, "unsubscribe_url": None, **wishes}
    content = render(message, Channel.PUSH, data, **wishes)
    assert isinstance(content, PushContent)
    return content


def _payload(message: Message, data: dict[str, Any], **wishes: Any) -> Any:
    return json.loads(_push(message, data, **wishes).payload)


def test_each_string_is_rendered_and_what_renders_to_nothing_is_left_out(write: Write) -> None:
    message = write(
        {
            "push.json": {
                "aps": {"alert": {"title": "Order {{ order }}", "body": "{{ note|default('') }}"}, "badge": "{{ n }}"},
                "data": {"order": "{{ order }}", "fixed": 3, "list": ["{{ order }}", True]},
                "actions": [{"id": "open", "title": "Open {{ order }}", "url": "{{ url|default('') }}"}],
            }
        }
    )

    assert message.variables(Channel.PUSH) == {"order", "n"}
    assert _payload(message, {"order": "A-1", "n": 3}) == {
        "aps": {"alert": {"title": "Order A-1"}, "badge": 3},
        "data": {"order": "A-1", "fixed": 3, "list": ["A-1", True]},
        "actions": [{"id": "open", "title": "Open A-1"}],
    }


@given(value=st.text(min_size=1, max_size=200))
def test_a_value_never_breaks_out_of_its_string(value: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("messages") / "note"
    folder.mkdir()
    (folder / "push.json").write_text('{"aps": {"alert": {"title": "To: {{ x }}."}}, "data": {"k": 1}}')
    from templates.catalog import read_message

    payload = _payload(read_message(folder), {"x": value})

    assert payload == {"aps": {"alert": {"title": f"To: {value}."}}, "data": {"k": 1}}


def test_the_nearest_locale_speaks(write: Write) -> None:
    message = write({"push.json": {"aps": {"alert": "Hello"}}, "push.fr.json": {"aps": {"alert": "Bonjour"}}})

    heard = [_payload(message, {}, locale=locale)["aps"]["alert"] for locale in ("fr-CA", "de", None)]

    assert heard == ["Bonjour", "Hello", "Hello"]
    assert message.locales == {"fr"}


def test_the_wake_is_the_messages_own_or_follows_from_the_priority(write: Write) -> None:
    plain, batched = (
        write({"push.json": {"aps": {"alert": "Hi"}}}),
        write({"push.json": {"aps": {"alert": "Hi"}, "wake": 1}}),
    )
    silent = write({"push.json": {"aps": {"content-available": 1}}})

    assert _push(plain, {}, priority=Priority.HIGH).wake is Wake.NOW
    assert _push(plain, {}, priority=Priority.LOW).wake is Wake.NAP
    assert _push(batched, {}).wake is Wake.BATCH
    assert (_push(silent, {}).wake, _push(silent, {}).is_silent) == (Wake.NAP, True)


@pytest.mark.parametrize(
    ("document", "detail"),
    [
        ({"aps": {}}, "/aps"),
        ({"data": {"a": 1}}, "/aps"),
        ({"aps": {"alert": "x"}, "nonsense": 1}, "/nonsense"),
        ({"aps": {"alert": "x"}, "wake": True}, "/wake"),
        ({"aps": {"alert": "{{ x "}}, "unexpected"),
    ],
)
def test_a_push_json_that_cannot_be_used_is_named_at_the_start(
    write: Write, document: dict[str, Any], detail: str
) -> None:
    with pytest.raises(Misconfigured, match=detail):
        write({"push.json": document})


def test_a_locale_alone_is_not_enough(write: Write) -> None:
    with pytest.raises(Misconfigured, match="none for everybody else"):
        write({"push.fr.json": {"aps": {"alert": "Bonjour"}}, "sms.txt": "x"})


@pytest.mark.parametrize(
    ("document", "data", "reason"),
    [
        ({"aps": {"alert": "{{ x.y }}"}}, {"x": {}}, Reason.TEMPLATE_MISSING_VARIABLE),
        ({"aps": {"alert": "{{ x }}"}}, {"x": " "}, Reason.TEMPLATE_ERROR),
        ({"aps": {"alert": "a", "badge": "{{ x }}"}}, {"x": "many"}, Reason.TEMPLATE_ERROR),
        ({"aps": {"alert": "a"}, "image_url": "{{ x }}"}, {"x": "http://plain.example/a.png"}, Reason.TEMPLATE_ERROR),
        ({"aps": {"alert": "{{ x }}"}}, {"x": "é" * 2100}, Reason.CONTENT_TOO_LARGE),
    ],
)
def test_what_cannot_be_sent_to_a_device_fails_with_its_reason(
    write: Write, document: dict[str, Any], data: dict[str, Any], reason: Reason
) -> None:
    with pytest.raises(Permanent) as raised:
        _push(write({"push.json": document}), data)

    assert raised.value.reason is reason


def test_title_and_body_become_an_alert_and_a_long_body_is_shortened_to_what_fits() -> None:
    short = render_content(Content(title="T", body="B"), Channel.PUSH, unsubscribe_url=None)
    long = render_content(Content(title="T", body="é\n" * 5000), Channel.PUSH, unsubscribe_url=None)

    assert isinstance(short, PushContent)
    assert isinstance(long, PushContent)
    assert json.loads(short.payload) == {"aps": {"alert": {"title": "T", "body": "B"}}}
    assert MAX_PAYLOAD_BYTES - 8 <= len(long.payload) <= MAX_PAYLOAD_BYTES
    assert json.loads(long.payload)["aps"]["alert"]["body"].endswith("é…")


def test_a_push_of_the_request_goes_as_it_is() -> None:
    parts = PushParts({"aps": {"alert": "x"}, "k": [1]}, wake=5, is_live_only=True, topic="news")

    content = render_content(Content(title="not this", push=parts), Channel.PUSH, unsubscribe_url=None)

    assert content == PushContent(b'{"aps":{"alert":"x"},"k":[1]}', Wake.NAP, False, True, "news")
