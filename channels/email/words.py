"""The words of an email as bytes: its subject, its bodies, and the headers that say how these are encoded.

Ours, for the standard library's `EmailMessage` takes a millisecond for what is done here in a few hundredths: a worker
would spend most of its time in it. What it makes of the words is read back by that library in the tests.
"""

import re
from binascii import b2a_base64, b2a_qp

_LINE_END = re.compile(rb"\r\n|\r|\n")
_LINE_BYTES = 78
"""RFC 5322, 2.1.1: lines should have at most 78 characters; longer ones are folded by an encoding."""

_PLAIN_SUBJECT = 66
"""With `Subject: ` before it the line has at most 76 characters: RFC 2047, 2."""

_WORD_BYTES = 39
"""So many bytes make an encoded word of 64 characters: RFC 2047 allows lines of 76, and `Subject: ` is before one."""

_BASE64_LINE_BYTES = 57


def encode(subject: str, text: str, html: str | None, *, boundary: str) -> bytes:
    """The last headers, an empty line, and the bodies, all in ASCII with CRLF line ends.

    `boundary`: where it starts from; should a body hold it, it grows. UnicodeEncodeError for a lone surrogate.
    """
    head = b"Subject: " + _subject(subject) + b"\r\nMIME-Version: 1.0\r\n"
    if html is None:
        return head + _part(b"plain", text)
    parts = (_part(b"plain", text), _part(b"html", html))
    line = _boundary(boundary.encode("ascii"), parts)
    kind = b'Content-Type: multipart/alternative; boundary="' + line + b'"\r\n'
    between = b"\r\n--" + line
    return head + kind + b"".join(between + b"\r\n" + part for part in parts) + between + b"--\r\n"


def _subject(subject: str) -> bytes:
    """As it is when any reader takes it so, else as encoded words, one to a line."""
    is_plain = subject.isascii() and subject.isprintable() and subject == subject.strip() and "=?" not in subject
    if is_plain and len(subject) <= _PLAIN_SUBJECT:
        return subject.encode("ascii")
    return b"\r\n ".join(b"=?utf-8?b?" + b2a_base64(piece, newline=False) + b"?=" for piece in _pieces(subject))


def _pieces(subject: str) -> list[bytes]:
    """Cut where a character begins: an encoded word must be readable by itself."""
    whole, pieces = subject.encode(), []
    while whole:
        end = min(_WORD_BYTES, len(whole))
        while end < len(whole) and whole[end] & 0xC0 == 0x80:  # inside a character of UTF-8
            end -= 1
        pieces.append(whole[:end])
        whole = whole[end:]
    return pieces


def _part(subtype: bytes, words: str) -> bytes:
    """One body with its headers. It ends with a line end, as it is said to SMTP."""
    raw = words.encode()
    raw = _LINE_END.sub(b"\r\n", raw) if b"\r" in raw else raw.replace(b"\n", b"\r\n")
    if not raw.endswith(b"\r\n"):
        raw += b"\r\n"
    how, encoded = _encoded(raw)
    return (
        b"Content-Type: text/" + subtype + b'; charset="utf-8"\r\nContent-Transfer-Encoding: ' + how + b"\r\n\r\n"
    ) + encoded


def _encoded(raw: bytes) -> tuple[bytes, bytes]:
    if raw.isascii() and max(map(len, raw.split(b"\r\n"))) <= _LINE_BYTES:
        return b"7bit", raw
    quoted = b2a_qp(raw, istext=True)
    if len(quoted) * 3 <= len(raw) * 4:
        return b"quoted-printable", quoted
    lines = (raw[start : start + _BASE64_LINE_BYTES] for start in range(0, len(raw), _BASE64_LINE_BYTES))
    return b"base64", b"".join(b2a_base64(line, newline=False) + b"\r\n" for line in lines)


def _boundary(wanted: bytes, parts: tuple[bytes, ...]) -> bytes:
    """RFC 2046, 5.1.1: it must not stand in what it separates. `=_` stands in no quoted-printable or base64."""
    line = b"=_" + wanted
    while any(line in part for part in parts):
        line += b"_"
    return line
