"""One email as bytes: text with an HTML alternative, one recipient, and a header block that cannot be injected into.

The headers of machine words are written here as they are: folding would break long unbreakable ones (RFC 8058 needs
the URL of List-Unsubscribe whole). Subject and bodies are encoded in `channels.email.words`; then the whole header
block is looked at once more, as it will leave.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, formataddr, getaddresses
from functools import lru_cache
from uuid import UUID

from channels.email import words
from domain.content import EmailContent
from domain.errors import Misconfigured, Permanent
from domain.reasons import Reason

_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
_ENCODED_WORD = re.compile(r"=\?[^?]*\?[BbQq]\?")
_ADDRESS = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
)
_URL = re.compile(r"https?://[!-;=?-~]{1,900}")
_HEADER_LINE = rb"(?:[!-9;-~]+:[ \t]|[ \t])[^\r\n\0]*"
_HEADER_BLOCK = re.compile(rb"%b(?:\r\n%b)*+" % (_HEADER_LINE, _HEADER_LINE))
_NAME = re.compile(rb"^([!-9;-~]+):", re.MULTILINE)
_MIME_HEADERS = frozenset({"subject", "mime-version", "content-type", "content-transfer-encoding"})
_MAX_SUBJECT = 998
_MAX_ADDRESS = 254


@dataclass(frozen=True, slots=True)
class Sender:
    """Who every email of this platform comes from: the From header as sent, the bare address, its domain."""

    header: str
    address: str
    domain: str

    @classmethod
    def parse(cls, text: str) -> "Sender":
        """Read `Name <local@domain>`; Misconfigured for anything that is not one plain address."""
        found = getaddresses([text])
        name, address = found[0] if len(found) == 1 else ("", "")
        if not is_plain_address(address) or _CONTROL.search(text):
            raise Misconfigured("CARILLON_EMAIL_FROM is not one email address such as `Carillon <hello@example.com>`")
        return cls(formataddr((name, address)), address, address.rpartition("@")[2])


def is_plain_address(address: str) -> bool:
    """Whether this is exactly one `local@domain` in ASCII, without quotes, comments, brackets or encoded words."""
    return (
        len(address) <= _MAX_ADDRESS and _ADDRESS.fullmatch(address) is not None and not _ENCODED_WORD.search(address)
    )


def message_id(delivery_id: UUID, sender: Sender) -> str:
    """The same for every attempt of a delivery, so that a receiving system may recognise a second copy."""
    return f"<{delivery_id}@{sender.domain}>"


def build(content: EmailContent, *, to: str, delivery_id: UUID, sender: Sender, now: datetime) -> bytes:
    """The whole message with CRLF line ends, before dot-stuffing.

    Permanent(ADDRESS_REJECTED) when `to` is not exactly one plain address, Permanent(CONTENT_REJECTED) when the words
    would break out of their place.
    """
    if not is_plain_address(to):
        raise Permanent(Reason.ADDRESS_REJECTED, "not exactly one plain email address")
    headers = _machine_headers(content, to, delivery_id, sender, now)
    raw = "".join(f"{name}: {value}\r\n" for name, value in headers).encode("ascii") + _words(content, delivery_id)
    _guard(raw, {name.lower() for name, _ in headers} | _MIME_HEADERS)
    return raw


def _machine_headers(
    content: EmailContent, to: str, delivery_id: UUID, sender: Sender, now: datetime
) -> list[tuple[str, str]]:
    headers = [
        ("From", sender.header),
        ("To", to),
        ("Date", _date(int(now.timestamp()))),
        ("Message-ID", message_id(delivery_id, sender)),
        ("Auto-Submitted", "auto-generated"),  # RFC 3834: keeps out-of-office robots quiet
        ("X-Carillon-Delivery", str(delivery_id)),
    ]
    if content.unsubscribe_url is not None:
        if not _URL.fullmatch(content.unsubscribe_url):
            raise Permanent(Reason.CONTENT_REJECTED, "unsubscribe link is not a plain http(s) URL")
        headers.append(("List-Unsubscribe", f"<{content.unsubscribe_url}>"))
        headers.append(("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"))  # RFC 8058
    return headers


@lru_cache(maxsize=8)
def _date(second: int) -> str:
    return format_datetime(datetime.fromtimestamp(second, UTC))


def _words(content: EmailContent, delivery_id: UUID) -> bytes:
    subject = content.subject
    if _CONTROL.search(subject) or _ENCODED_WORD.search(subject):
        raise Permanent(Reason.CONTENT_REJECTED, "subject holds control characters or an encoded word")
    if len(subject) > _MAX_SUBJECT:
        raise Permanent(Reason.CONTENT_TOO_LARGE, f"subject is longer than {_MAX_SUBJECT} characters")
    if "\0" in content.text or "\0" in (content.html or ""):
        raise Permanent(Reason.CONTENT_REJECTED, "body holds a NUL")
    try:
        return words.encode(subject, content.text, content.html, boundary=delivery_id.hex)
    except UnicodeEncodeError as error:  # lone surrogates
        raise Permanent(Reason.CONTENT_REJECTED, "words cannot be encoded") from error


def _guard(raw: bytes, allowed: set[str]) -> None:
    """Look at the header block as it will leave: every line a header we know, each at most once."""
    block = raw.partition(b"\r\n\r\n")[0]
    if not _HEADER_BLOCK.fullmatch(block):
        raise Permanent(Reason.CONTENT_REJECTED, "header block is broken")
    names = [name.decode("ascii").lower() for name in _NAME.findall(block)]
    if len(names) != len(set(names)) or not allowed.issuperset(names):
        raise Permanent(Reason.CONTENT_REJECTED, "header block has a header that is not ours")
