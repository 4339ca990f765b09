"""Rendering: locales, people, null and missing values, sizes, and words that come with the request."""

from typing import Any

import pytest

from domain.content import EmailContent, SmsContent
from domain.errors import Permanent
from domain.lanes import Channel
from domain.notification import Content, EmailParts
from domain.reasons import Reason
from templates.catalog import Message
from templates.render import MAX_SIZE_BYTES, Person, render, render_content
from tests.unit.templates.conftest import Write

NOBODY = Person(None, None, None)


def _sms(message: Message, data: dict[str, Any], locale: str | None = None, person: Person = NOBODY) -> str:
    content = render(message, Channel.SMS, data, locale=locale, person=person, unsubscribe_url=None)
    assert isinstance(content, SmsContent)
    return content.text


def _email(message: Message, data: dict[str, Any]) -> EmailContent:
    content = render(message, Channel.EMAIL, data, locale=None, person=NOBODY, unsubscribe_url=None)
    assert isinstance(content, EmailContent)
    return content


@pytest.mark.parametrize(
    ("locale", "expected"),
    [("pt-BR", "br"), ("pt_br", "br"), ("PT-PT", "pt"), ("pt", "pt"), ("de", "any"), (None, "any"), ("", "any")],
)
def test_the_nearest_locale_is_taken(write: Write, locale: str | None, expected: str) -> None:
    message = write({"sms.txt": "any", "sms.pt.txt": "pt", "sms.pt-BR.txt": "br"})

    assert _sms(message, {}, locale) == expected


@pytest.mark.parametrize(
    ("words", "data", "told"),
    [
        ("a\nb {{ code }}", {}, "note/sms.txt:2: 'code' is undefined"),
        ("{{ order.id }}", {"order": {}}, "note/sms.txt:1: 'dict object' has no attribute 'id'"),
        ("\n\n{{ code }}", {"code": None}, "note/sms.txt:3: a value is null"),
        ("{% if code %}x{% endif %}", {}, "note/sms.txt:1: 'code' is undefined"),
    ],
)
def test_what_is_missing_is_an_error_with_its_name_and_line(
    write: Write, words: str, data: dict[str, Any], told: str
) -> None:
    with pytest.raises(Permanent) as raised:
        _sms(write({"sms.txt": words}), data)

    assert raised.value.reason is Reason.TEMPLATE_MISSING_VARIABLE
    assert raised.value.answer == told


def test_an_error_never_repeats_a_value(write: Write) -> None:
    with pytest.raises(Permanent) as raised:
        _sms(write({"sms.txt": "{{ code|int + code }}"}), {"code": "secret-481516"})

    assert raised.value.reason is Reason.TEMPLATE_ERROR
    assert "481516" not in raised.value.answer


@pytest.mark.parametrize("value", [{"a": 1}, [1], {}])
def test_a_list_or_an_object_is_not_printed_as_python_writes_it(write: Write, value: object) -> None:
    with pytest.raises(Permanent, match="cannot be printed") as raised:
        _sms(write({"sms.txt": "{{ x }}"}), {"x": value})

    assert raised.value.reason is Reason.TEMPLATE_ERROR


def test_data_cannot_replace_the_reader_or_the_way_out(write: Write, reader: Person) -> None:
    message = write({"sms.txt": "{{ person.name }} {{ unsubscribe_url is none }} {{ range(2)|join }}"})

    text = _sms(message, {"person": {"name": "Eve"}, "unsubscribe_url": "x", "range": "x"}, person=reader)

    assert text == "Ana True 01"


def test_nothing_that_comes_out_is_not_sent(write: Write) -> None:
    with pytest.raises(Permanent, match="nothing came out") as raised:
        _sms(write({"sms.txt": " {{ x }} "}), {"x": ""})

    assert raised.value.reason is Reason.TEMPLATE_ERROR


@pytest.mark.parametrize("channel", [Channel.EMAIL, Channel.PUSH])
def test_a_channel_without_words_is_refused(write: Write, channel: Channel) -> None:
    with pytest.raises(Permanent, match="no words for"):
        render(write({"sms.txt": "Hi"}), channel, {}, locale=None, person=NOBODY, unsubscribe_url=None)


@pytest.mark.parametrize("value", ["x" * (MAX_SIZE_BYTES + 1), "é" * (MAX_SIZE_BYTES // 2 + 1)])
def test_what_grows_beyond_the_cap_is_refused_in_bytes(write: Write, value: str) -> None:
    with pytest.raises(Permanent) as raised:
        _sms(write({"sms.txt": "{{ x }}"}), {"x": value})

    assert raised.value.reason is Reason.CONTENT_TOO_LARGE


def test_rendering_stops_as_soon_as_the_cap_is_passed(write: Write) -> None:
    words = "{% for i in range(9000) %}{{ x }}{% endfor %}{{ missing }}"

    with pytest.raises(Permanent) as raised:
        _sms(write({"sms.txt": words}), {"x": "x" * 1000})

    assert raised.value.reason is Reason.CONTENT_TOO_LARGE


def test_just_the_cap_is_let_through(write: Write) -> None:
    assert len(_sms(write({"sms.txt": "{{ x }}"}), {"x": "x" * MAX_SIZE_BYTES})) == MAX_SIZE_BYTES


def test_a_subject_is_folded_into_one_line(write: Write) -> None:
    message = write({"email.subject.txt": "Order\n  {{ order }}\n", "email.txt": "T"})

    assert _email(message, {"order": "A\r\nBcc: eve@example.com"}).subject == "Order A Bcc: eve@example.com"


@pytest.mark.parametrize("sign", ["\x00", "\x0b", "\x0c", "\x1b", "\x7f", "\x85", "\u2028", "\u2029"])
def test_a_control_character_in_a_subject_is_refused(write: Write, sign: str) -> None:
    message = write({"email.subject.txt": "Order {{ order }}", "email.txt": "T"})

    with pytest.raises(Permanent, match="control characters"):
        _email(message, {"order": f"A{sign}B"})
    with pytest.raises(Permanent, match="control characters"):
        render_content(Content(title=f"A{sign}B", body="x"), Channel.EMAIL, unsubscribe_url=None)


URL = "https://mail.example.com/u/1"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (Content(title="T", body="B"), EmailContent("T", "B", None, URL)),
        (Content(title="T"), EmailContent("T", "T", None, URL)),
        (Content(title="T", body="B", email=EmailParts("S")), EmailContent("S", "B", None, URL)),
        (Content(email=EmailParts("S", "X", "<p>X</p>")), EmailContent("S", "X", "<p>X</p>", URL)),
        (Content(email=EmailParts("S", html="<p>X</p>")), EmailContent("S", "S", "<p>X</p>", URL)),
        (Content(title="T", body="{{ 7*7 }} <b>"), EmailContent("T", "{{ 7*7 }} <b>", None, URL)),
    ],
)
def test_words_of_a_request_become_an_email_as_they_are(content: Content, expected: EmailContent) -> None:
    assert render_content(content, Channel.EMAIL, unsubscribe_url=URL) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (Content(title="T", body="B", sms_text="S"), "S"),
        (Content(title="T", body="B"), "B"),
        (Content(title="T"), "T"),
    ],
)
def test_words_of_a_request_become_an_sms(content: Content, expected: str) -> None:
    assert render_content(content, Channel.SMS, unsubscribe_url=None) == SmsContent(expected)


@pytest.mark.parametrize(
    ("content", "channel", "reason"),
    [
        (Content(body="B"), Channel.EMAIL, Reason.TEMPLATE_ERROR),
        (Content(email=EmailParts("S", "X")), Channel.SMS, Reason.TEMPLATE_ERROR),
        (Content(email=EmailParts("S", "X")), Channel.PUSH, Reason.TEMPLATE_ERROR),
        (Content(title="T", body="x" * (MAX_SIZE_BYTES + 1)), Channel.EMAIL, Reason.CONTENT_TOO_LARGE),
        (
            Content(email=EmailParts("S", "X", "x" * (MAX_SIZE_BYTES + 1))),
            Channel.EMAIL,
            Reason.CONTENT_TOO_LARGE,
        ),
        (Content(sms_text="x" * (MAX_SIZE_BYTES + 1)), Channel.SMS, Reason.CONTENT_TOO_LARGE),
    ],
)
def test_words_that_do_not_make_a_message_are_refused(content: Content, channel: Channel, reason: Reason) -> None:
    with pytest.raises(Permanent) as raised:
        render_content(content, channel, unsubscribe_url=None)

    assert raised.value.reason is reason
