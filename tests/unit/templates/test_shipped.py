"""Every shipped message renders with its sample, in every channel and locale."""

import json
from html.parser import HTMLParser

import pytest

from domain.content import EmailContent, PushContent, SmsContent
from domain.lanes import Channel
from domain.payload import faults_of
from templates.catalog import Catalog, Message
from templates.fitting import check
from templates.render import Person, render

CATALOG = Catalog.shipped()
URL = "https://mail.example.com/u/opaque"
VOID = {"meta", "br", "img", "hr", "link"}


def _messages() -> list[Message]:
    return [message for name in CATALOG.names() if (message := CATALOG.get(name)) is not None]


CASES = [
    pytest.param(message, channel, locale, id=f"{message.name}-{channel}-{locale or 'any'}")
    for message in _messages()
    for channel in sorted(message.channels)
    for locale in (None, *sorted(message.locales))
]


class Tags(HTMLParser):
    """Fails on a tag that is closed without having been opened."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> without a beginning"
        assert self.open.pop() == tag


def test_the_messages_every_house_needs_are_there() -> None:
    expected = {"login_code", "order_shipped", "password_reset", "weekly_digest", "welcome"}

    assert expected <= set(CATALOG.names())


@pytest.mark.parametrize(("message", "channel", "locale"), CASES)
def test_a_shipped_message_renders_with_its_sample(
    message: Message, channel: Channel, locale: str | None, reader: Person
) -> None:
    assert check(message, message.channels, message.sample) == []

    content = render(message, channel, message.sample, locale=locale, person=reader, unsubscribe_url=URL)

    if isinstance(content, PushContent):
        assert faults_of(json.loads(content.payload)) == []
        assert b"{{" not in content.payload
        return
    assert content.text.strip()
    assert "{{" not in content.text
    if isinstance(content, EmailContent):
        assert content.html is not None
        assert "\n" not in content.subject
        tags = Tags()
        tags.feed(content.html)
        assert tags.open == []
    else:
        assert isinstance(content, SmsContent)
        assert content.text == content.text.strip()


@pytest.mark.parametrize(("message", "channel", "locale"), CASES)
def test_a_shipped_message_renders_with_only_what_its_schema_requires(
    message: Message, channel: Channel, locale: str | None
) -> None:
    assert message.schema is not None
    least = {name: message.sample[name] for name in message.schema["required"]}
    stranger = Person(None, None, None)

    content = render(message, channel, least, locale=locale, person=stranger, unsubscribe_url=None)

    assert check(message, [channel], least) == []
    assert "None" not in (content.payload.decode() if isinstance(content, PushContent) else content.text)


@pytest.mark.parametrize("message", _messages(), ids=lambda message: message.name)
def test_whatever_the_words_need_the_schema_requires(message: Message) -> None:
    assert message.schema is not None

    for channel in message.channels:
        assert message.variables(channel) <= set(message.schema["required"])


def test_an_order_is_announced_in_french_to_a_canadian_who_reads_french(reader: Person) -> None:
    message = CATALOG.get("order_shipped")
    assert message is not None

    content = render(message, Channel.EMAIL, message.sample, locale="fr-CA", person=reader, unsubscribe_url=None)

    assert isinstance(content, EmailContent)
    assert content.subject == "Votre commande A-1001 est en route"
    assert content.html is not None
    assert 'lang="fr"' in content.html


@pytest.mark.parametrize("url", [URL, None])
def test_the_digest_shows_the_way_out_exactly_when_there_is_one(url: str | None, reader: Person) -> None:
    message = CATALOG.get("weekly_digest")
    assert message is not None

    content = render(message, Channel.EMAIL, message.sample, locale=None, person=reader, unsubscribe_url=url)

    assert isinstance(content, EmailContent)
    assert content.html is not None
    assert (URL in content.text, URL in content.html) == ((True, True) if url else (False, False))
    assert ("Unsubscribe" in content.html) is (url is not None)
    assert content.unsubscribe_url == url
