"""Texts and places of a request: what may stand in a header line, a locale, a time zone, a moment."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import available_timezones

FARTHEST = timedelta(days=366)
"""Nothing is scheduled further ahead: a year, and a day for leap years and zones."""

_BREAKS_LINE = re.compile("[\\x00-\\x08\\x0a-\\x1f\\x7f-\\x9f\\u2028\\u2029]")
_ENCODED_WORD = re.compile(r"=\?[^?\s]*\?[^?\s]*\?")
_LOCALE = re.compile(
    r"[A-Za-z]{2,3}(?:-[A-Za-z]{4})?(?:-(?:[A-Za-z]{2}|\d{3}))?(?:-(?:[A-Za-z\d]{5,8}|\d[A-Za-z\d]{3}))*"
)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)")


def fault_of_line(text: str) -> str | None:
    """Why a text may not become one header line (RFC 5322, RFC 2047), or None."""
    if _BREAKS_LINE.search(text):
        return "must be one line without control characters"
    if _ENCODED_WORD.search(text):
        return "must not hold an encoded word (=?…?…?…?=); write the characters themselves"
    return None


def fault_of_locale(text: str) -> str | None:
    """Why a text is no locale, or None: language, script, region and variants of BCP 47, without extensions."""
    return None if _LOCALE.fullmatch(text) else "must be a BCP 47 language tag such as en or pt-BR"


def fault_of_timezone(text: str) -> str | None:
    """Why a text is no time zone, or None."""
    return None if text in _zones() else "must be an IANA time zone such as Europe/Paris"


def moment(text: str) -> datetime:
    """An RFC 3339 time with its offset, in UTC. ValueError says what is wrong."""
    wrong = "must be an RFC 3339 time with an offset, such as 2027-01-31T09:00:00Z"
    if not _MOMENT.fullmatch(text):
        raise ValueError(wrong)
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(wrong) from None


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())
