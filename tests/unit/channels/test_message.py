"""One email as bytes: what stands in it, and what can never get into it."""

from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP, default
from uuid import UUID

import pytest

from channels.email.message import Sender, _guard, build, is_plain_address
from domain.content import EmailContent
from domain.errors import Misconfigured, Permanent
from domain.reasons import Reason

SENDER = Sender.parse("Carillon <hello@carillon.localhost>")
DELIVERY = UUID("01990000-0000-7000-8000-000000000001")
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
URL = "https://carillon.localhost/u/" + "t" * 400


def built(content: EmailContent, to: str = "ada@example.com") -> bytes:
    return build(content, to=to, delivery_id=DELIVERY, sender=SENDER, now=NOW)


def parsed(content: EmailContent) -> EmailMessage:
    message = message_from_bytes(built(content), policy=default)
    assert isinstance(message, EmailMessage)
    return message


def refused(content: EmailContent, to: str = "ada@example.com") -> Permanent:
    with pytest.raises(Permanent) as caught:
        built(content, to)
    return caught.value


def test_a_message_carries_both_bodies_and_the_headers_a_good_citizen_sends() -> None:
    message = parsed(EmailContent("Grüße", "Plain ✓\n", "<p>Rich ✓</p>", URL))

    assert message["Subject"] == "Grüße"
    assert message["From"] == "Carillon <hello@carillon.localhost>"
    assert message["To"] == "ada@example.com"
    assert message["Date"] == "Fri, 20 Nov 2026 12:00:00 +0000"
    assert message["Message-ID"] == f"<{DELIVERY}@carillon.localhost>"
    assert message["X-Carillon-Delivery"] == str(DELIVERY)
    assert message["Auto-Submitted"] == "auto-generated"
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    assert text is not None
    assert html is not None
    assert text.get_content().splitlines() == ["Plain ✓"]
    assert html.get_content().splitlines() == ["<p>Rich ✓</p>"]


def test_a_long_unsubscribe_link_stays_whole_in_one_header_line() -> None:
    raw = built(EmailContent("Hi", "Text", unsubscribe_url=URL))

    assert f"\r\nList-Unsubscribe: <{URL}>\r\n".encode() in raw
    assert b"\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" in raw


def test_without_a_link_there_are_no_unsubscribe_headers() -> None:
    assert b"List-Unsubscribe" not in built(EmailContent("Hi", "Text"))


def test_every_attempt_has_the_same_message_id() -> None:
    content = EmailContent("Hi", "Text", "<p>Text</p>")

    assert parsed(content)["Message-ID"] == parsed(content)["Message-ID"]


@pytest.mark.parametrize("subject", ["ü" * 300, " ".join(["word"] * 60), "x" * 900, "日本語の件名" * 40, "a=?b?=c"])
def test_long_and_foreign_subjects_arrive_whole_on_lines_of_legal_length(subject: str) -> None:
    raw = built(EmailContent(subject, "Text"))

    assert message_from_bytes(raw, policy=default)["Subject"] == subject
    assert max(len(line) for line in raw.split(b"\r\n")) <= 998


@pytest.mark.parametrize("poison", ["\r\nBcc: e@x", "\n", "\r", "\x0b", "\x85", "\u2028", "\u2029", "\0", "\x1b[2J"])
def test_a_subject_with_control_characters_is_refused(poison: str) -> None:
    assert refused(EmailContent(f"Hi{poison}there", "Text")).reason is Reason.CONTENT_REJECTED


@pytest.mark.parametrize(
    "subject",
    ["=?utf-8?q?x=0D=0ABcc:_e@x?=", "=?utf-8?b?eA0KQmNjOiBlQHg=?=", "a =?UTF-8?Q?x=0ABcc:_e@x?= b", "=?a?q?=00?="],
)
def test_an_encoded_word_in_a_subject_is_refused(subject: str) -> None:
    assert refused(EmailContent(subject, "Text")).reason is Reason.CONTENT_REJECTED


def test_the_guard_alone_would_stop_what_the_library_lets_through() -> None:
    """On interpreters with CVE-2024-6923 the library writes a Bcc; the guard looks at the bytes and not at us."""
    message = EmailMessage(SMTP)
    message["Subject"] = "=?utf-8?q?x=0D=0ABcc:_e@x?="
    message.set_content("Text")
    raw = message.as_bytes()
    if b"\r\nBcc:" not in raw:
        raw = b"Subject: x\r\nBcc: e@x\r\n\r\nText\r\n"

    with pytest.raises(Permanent, match="content_rejected"):
        _guard(raw, {"subject", "content-type", "content-transfer-encoding", "mime-version"})


@pytest.mark.parametrize(
    "block",
    [
        b"X\r\nBcc: e@x\r\n\r\n",
        b"Subject : x\r\n\r\n",
        b"Subject: x\nBcc: e@x\r\n\r\n",
        b"Subject: x\0\r\n\r\n",
        b"Subject: x\rBcc: e@x\r\n\r\n",
        b"Subject: x\r\nSubject: y\r\n\r\n",
    ],
)
def test_the_guard_refuses_broken_names_bare_line_ends_and_doubled_headers(block: bytes) -> None:
    with pytest.raises(Permanent):
        _guard(block, {"subject"})


@pytest.mark.parametrize(
    "address",
    [
        "a@b.c, evil@x.y",
        "<a@b.c> <e@x.y>",
        '"a@evil.com"@b.c',
        "a@[127.0.0.1]",
        "=?utf-8?q?a=40evil.com=3E?= <a@b.c>",
        "=?utf-8?q?a?=@b.c",
        "a@b.c\r\nRCPT TO:<evil@x.y>",
        "a@b.c\n",
        "a b@c.d",
        "a@b@c.d",
        "a(comment)@b.c",
        ".a@b.c",
        "a..b@c.d",
        "ä@b.c",
        "a@exаmple.com",
        "@b.c",
        "a@",
        "",
        "a@" + "b" * 253,
    ],
)
def test_anything_but_one_plain_address_is_refused(address: str) -> None:
    assert not is_plain_address(address)
    assert refused(EmailContent("Hi", "Text"), address).reason is Reason.ADDRESS_REJECTED


@pytest.mark.parametrize("address", ["a@b.c", "first.last+tag@sub.example.com", "o'brien@xn--exmple-cua.com", "a@b"])
def test_ordinary_addresses_pass(address: str) -> None:
    assert is_plain_address(address)


@pytest.mark.parametrize("url", ["https://x/a b", "https://x/>\r\nBcc: e@x", "javascript:alert(1)", "https://ü/", ""])
def test_an_unsubscribe_link_that_is_no_plain_url_is_refused(url: str) -> None:
    assert refused(EmailContent("Hi", "Text", unsubscribe_url=url)).reason is Reason.CONTENT_REJECTED


def test_words_that_cannot_be_encoded_are_refused() -> None:
    assert refused(EmailContent("Hi", "half \ud800")).reason is Reason.CONTENT_REJECTED
    assert refused(EmailContent("half \ud800", "Text")).reason is Reason.CONTENT_REJECTED
    assert refused(EmailContent("Hi", "a\0b")).reason is Reason.CONTENT_REJECTED
    assert refused(EmailContent("Hi", "Text", "<p>\0</p>")).reason is Reason.CONTENT_REJECTED


def test_a_subject_beyond_any_reason_is_too_large() -> None:
    assert refused(EmailContent("x" * 999, "Text")).reason is Reason.CONTENT_TOO_LARGE


@pytest.mark.parametrize("text", ["", "nobody", "a@b.c, d@e.f", "Name <a@b.c>\r\nBcc: e@x"])
def test_a_sender_that_is_not_one_address_is_a_wrong_setting(text: str) -> None:
    with pytest.raises(Misconfigured, match="CARILLON_EMAIL_FROM"):
        Sender.parse(text)
