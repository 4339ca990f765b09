"""How many segments a text takes on the air: GSM 7-bit where its alphabet suffices, else UCS-2 (3GPP TS 23.038)."""

from dataclasses import dataclass
from enum import StrEnum

from domain.errors import Permanent
from domain.reasons import Reason

_GSM_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM_EXTENSION = frozenset("\f^{}\\[~]|€")  # an escape and a septet: two places


class Encoding(StrEnum):
    """The alphabet a text travels in."""

    GSM_7 = "gsm-7"
    UCS_2 = "ucs-2"


@dataclass(frozen=True, slots=True)
class Segments:
    """`units` are septets or 16-bit units; `count` is the number of messages the network will bill."""

    encoding: Encoding
    units: int
    count: int


def count(text: str) -> Segments:
    """Measure `text`. A pair (escape sequence or surrogates) is never torn apart over two segments."""
    if all(character in _GSM_BASIC or character in _GSM_EXTENSION for character in text):
        sizes = [2 if character in _GSM_EXTENSION else 1 for character in text]
        return Segments(Encoding.GSM_7, sum(sizes), _pack(sizes, alone=160, joined=153))
    sizes = [2 if ord(character) > 0xFFFF else 1 for character in text]
    return Segments(Encoding.UCS_2, sum(sizes), _pack(sizes, alone=70, joined=67))


def check(text: str, *, max_segments: int) -> Segments:
    """Measure `text`; Permanent(CONTENT_TOO_LARGE) beyond `max_segments`, Permanent(CONTENT_REJECTED) when empty."""
    if not text:
        raise Permanent(Reason.CONTENT_REJECTED, "the text is empty")
    if "\0" in text or any(0xD800 <= ord(character) <= 0xDFFF for character in text):
        raise Permanent(Reason.CONTENT_REJECTED, "the text holds a NUL or half a surrogate pair")
    segments = count(text)
    if segments.count > max_segments:
        raise Permanent(
            Reason.CONTENT_TOO_LARGE,
            f"{segments.count} segments ({segments.units} units of {segments.encoding}), {max_segments} are allowed",
        )
    return segments


def _pack(sizes: list[int], *, alone: int, joined: int) -> int:
    if sum(sizes) <= alone:
        return 1
    segments, used = 1, 0
    for size in sizes:
        if used + size > joined:
            segments, used = segments + 1, 0
        used += size
    return segments
