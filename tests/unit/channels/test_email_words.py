"""Subject and bodies in our own encoding are read back, by the standard library, as what they were."""

import re
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.email.words import encode

_TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=400)
_SUBJECTS = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), max_size=200)
_ENDS = re.compile(r"\r\n|\r|\n")


def read(raw: bytes) -> EmailMessage:
    message = message_from_bytes(raw, policy=default)
    assert isinstance(message, EmailMessage)
    return message


def body(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    assert part is not None
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode()


def as_sent(text: str) -> str:
    lines = _ENDS.sub("\r\n", text)
    return lines if lines.endswith("\r\n") else lines + "\r\n"


@given(text=_TEXTS, html=_TEXTS)
def test_bodies_arrive_as_they_were_but_for_their_line_ends(text: str, html: str) -> None:
    raw = encode("Hi", text, html, boundary="b")

    assert [body(read(raw), kind) for kind in ("plain", "html")] == [as_sent(text), as_sent(html)]


@given(text=_TEXTS)
def test_whatever_is_written_leaves_as_ascii_in_short_lines(text: str) -> None:
    raw = encode(text.replace("\n", " ").replace("\r", " "), text, text, boundary="b")

    assert raw.isascii()
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert b"\r" not in raw.replace(b"\r\n", b"")
    assert max(map(len, raw.split(b"\r\n"))) <= 78


@given(subject=_SUBJECTS)
def test_subjects_arrive_as_they_were(subject: str) -> None:
    assert read(encode(subject, "Text", None, boundary="b"))["Subject"] == subject


@pytest.mark.parametrize(
    ("text", "how"),
    [
        ("Your parcel comes tomorrow.\n", "7bit"),
        ("x" * 78, "7bit"),
        ("x" * 79, "quoted-printable"),
        ("Viele herzliche Grüße aus der schönen Stadt\n", "quoted-printable"),
        ("荷物は明日届きます。\n" * 5, "base64"),
    ],
)
def test_the_shortest_encoding_that_any_server_takes_is_used(text: str, how: str) -> None:
    assert read(encode("Hi", text, None, boundary="b"))["Content-Transfer-Encoding"] == how


def test_a_body_that_holds_the_boundary_does_not_end_early() -> None:
    text = "--=_b\nContent-Type: text/html\n\n<p>smuggled</p>\n--=_b--\n"

    message = read(encode("Hi", text, "<p>--=_b_</p>", boundary="b"))

    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert body(message, "plain") == as_sent(text)


def test_an_ordinary_subject_stays_readable_in_the_raw_message() -> None:
    assert b"Subject: Your order A-1 is on its way\r\n" in encode(
        "Your order A-1 is on its way", "Text", None, boundary="b"
    )
