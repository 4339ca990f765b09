"""What an SMS provider's HTTP answer means to us: literal tables, and how long it asks us to wait (RFC 9110)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite

from channels.base import shorten
from domain.errors import DeliveryFailure, Permanent, RecipientGone, Throttled, Transient
from domain.reasons import Reason

MIN_RETRY_AFTER_S = 1.0
MAX_RETRY_AFTER_S = 6 * 3600.0


@dataclass(frozen=True, slots=True)
class Meaning:
    """A kind of failure and its reason."""

    kind: type[DeliveryFailure]
    reason: Reason


_GONE = Meaning(RecipientGone, Reason.ADDRESS_REJECTED)
_REFUSED = Meaning(Permanent, Reason.PROVIDER_REJECTED)
_DOWN = Meaning(Transient, Reason.PROVIDER_UNAVAILABLE)
_SLOWER = Meaning(Throttled, Reason.PROVIDER_THROTTLED)
_CREDENTIALS = Meaning(Transient, Reason.PROVIDER_CREDENTIALS)

BY_ERROR: dict[str, Meaning] = {
    "unknown_recipient": _GONE,
    "unsubscribed_recipient": _GONE,
    "invalid_recipient": Meaning(Permanent, Reason.ADDRESS_REJECTED),
    "content_rejected": Meaning(Permanent, Reason.CONTENT_REJECTED),
    "content_too_large": Meaning(Permanent, Reason.CONTENT_TOO_LARGE),
}
"""The `error` of a 4xx body in our generic protocol: it says more than the status."""

BY_STATUS: dict[int, Meaning] = {
    401: _CREDENTIALS,
    402: _CREDENTIALS,  # the account is out of credit: for people to mend, then it works again
    403: _CREDENTIALS,
    404: _REFUSED,  # may as well be a wrong URL: no reason to hold the number for dead
    407: _CREDENTIALS,
    408: _DOWN,  # RFC 9110 15.5.9: the server did not read the request to its end
    410: _GONE,
    413: Meaning(Permanent, Reason.CONTENT_TOO_LARGE),
    425: _DOWN,  # RFC 8470: too early, say it again
    429: _SLOWER,  # RFC 6585
}


def failure(status: int, body: bytes, headers: Mapping[str, str], *, now: datetime) -> DeliveryFailure:
    """The failure that any status other than 2xx means. Redirects are failures: they are never followed."""
    error = read_text(body, "error")
    meaning = (BY_ERROR.get(error) if 400 <= status < 500 else None) or BY_STATUS.get(status)
    if meaning is None:
        meaning = _DOWN if status >= 500 or status < 200 else _REFUSED
    answer = shorten(f"{status} {error}".strip())
    if issubclass(meaning.kind, Transient):
        return meaning.kind(meaning.reason, answer, retry_after_s=retry_after_s(headers.get("retry-after"), now=now))
    return meaning.kind(meaning.reason, answer)


def retry_after_s(value: str | None, *, now: datetime) -> float | None:
    """Retry-After in seconds, from a number or an HTTP date, within 1 s and 6 h; None for garbage and for the past."""
    if value is None or len(value) > 64:
        return None
    seconds = _seconds(value.strip(), now)
    if seconds is None or not isfinite(seconds) or seconds < 0:
        return None
    return min(max(seconds, MIN_RETRY_AFTER_S), MAX_RETRY_AFTER_S)


def read_text(body: bytes, name: str) -> str:
    """The text field `name` of a JSON object; "" when there is none, whatever the body is."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    value = document.get(name) if isinstance(document, dict) else None
    return shorten(str(value)) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _seconds(text: str, now: datetime) -> float | None:
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds()
