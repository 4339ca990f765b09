"""What an SMTP reply means to us: literal tables of codes (RFC 5321 section 4.2.3, RFC 3463, RFC 7505, RFC 4954).

An enhanced code says more than a basic one and is looked at first, whole, then by its first two numbers. A basic
code means one thing when said about the recipient (RCPT), another about us (connect, MAIL) or the words (DATA).
"""

import re
from dataclasses import dataclass
from enum import IntEnum

from channels.base import shorten
from domain.errors import DeliveryFailure, Permanent, RecipientGone, Throttled, Transient
from domain.reasons import Reason


class Stage(IntEnum):
    """How far the conversation had come."""

    WAIT = 0
    CONNECT = 1
    MAIL = 2
    RCPT = 3
    DATA = 4


@dataclass(frozen=True, slots=True)
class Meaning:
    """A kind of failure and its reason."""

    kind: type[DeliveryFailure]
    reason: Reason


_GONE = Meaning(RecipientGone, Reason.ADDRESS_REJECTED)
_BAD_ADDRESS = Meaning(Permanent, Reason.ADDRESS_REJECTED)
_TOO_LARGE = Meaning(Permanent, Reason.CONTENT_TOO_LARGE)
_BAD_CONTENT = Meaning(Permanent, Reason.CONTENT_REJECTED)
_REFUSED = Meaning(Permanent, Reason.PROVIDER_REJECTED)
_LATER = Meaning(Transient, Reason.ADDRESS_DEFERRED)
_DOWN = Meaning(Transient, Reason.PROVIDER_UNAVAILABLE)
_SLOWER = Meaning(Throttled, Reason.PROVIDER_THROTTLED)
_CREDENTIALS = Meaning(Transient, Reason.PROVIDER_CREDENTIALS)

ENHANCED: dict[str, Meaning] = {
    "5.1.1": _GONE,  # RFC 3463: bad destination mailbox address
    "5.1.6": _GONE,  # destination mailbox has moved, no forwarding address
    "5.1.10": _GONE,  # RFC 7505: the domain takes no mail
    "5.2.1": _GONE,  # mailbox disabled
    "5.1": _BAD_ADDRESS,
    "5.2.3": _TOO_LARGE,
    "5.3.4": _TOO_LARGE,
    "5.2": _BAD_ADDRESS,
    "5.6": _BAD_CONTENT,
    "5.7.8": _CREDENTIALS,  # RFC 4954: authentication credentials invalid
    "5.7.0": _REFUSED,
    "4.1": _LATER,
    "4.2": _LATER,  # mailbox full, busy or temporarily disabled
    "4.3": _DOWN,  # mail system status
    "4.4.5": _SLOWER,  # mail system congestion
}

_AT_RECIPIENT: dict[int, Meaning] = {
    450: _LATER,  # mailbox unavailable: busy, or greylisting
    451: _LATER,
    452: _LATER,
    550: _BAD_ADDRESS,  # also said for policy: the address is not held for dead without 5.1.1
    551: _BAD_ADDRESS,
    552: _BAD_ADDRESS,  # mailbox full
    553: _BAD_ADDRESS,
    556: _GONE,  # RFC 7504: domain does not accept mail
}
_AT_DATA: dict[int, Meaning] = {552: _TOO_LARGE, 550: _BAD_CONTENT, 554: _BAD_CONTENT}
_ANYWHERE: dict[int, Meaning] = {
    432: _CREDENTIALS,
    454: _CREDENTIALS,  # RFC 4954 and RFC 3207: temporary authentication or TLS failure
    530: _CREDENTIALS,
    534: _CREDENTIALS,
    535: _CREDENTIALS,
    538: _CREDENTIALS,
}
_BY_STAGE: dict[Stage, dict[int, Meaning]] = {Stage.RCPT: _AT_RECIPIENT, Stage.DATA: _AT_DATA}
_ENHANCED_CODE = re.compile(r"\s*([245])\.(\d{1,3})\.(\d{1,3})\b")


def failure(code: int, text: str, stage: Stage) -> DeliveryFailure:
    """The failure that a reply other than success means. `code` is 400 to 599; what else comes is read as `down`."""
    meaning = _meaning(code, text, stage)
    return meaning.kind(meaning.reason, shorten(f"{code} {text}"))


def _meaning(code: int, text: str, stage: Stage) -> Meaning:
    enhanced = _ENHANCED_CODE.match(text)
    if enhanced is not None and enhanced[1] == str(code)[0]:
        exact = ENHANCED.get(f"{enhanced[1]}.{enhanced[2]}.{enhanced[3]}")
        found = exact or ENHANCED.get(f"{enhanced[1]}.{enhanced[2]}")
        if found is not None:
            return found
    listed = _BY_STAGE.get(stage, {}).get(code) or _ANYWHERE.get(code)
    if listed is not None:
        return listed
    if 500 <= code <= 599 and stage is not Stage.CONNECT:
        return _REFUSED
    return _DOWN
