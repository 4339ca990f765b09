"""Words of push: how eagerly a device is woken, how much it is sent, how long it is kept. Pure.

The *lane* (critical, high, normal, low) says who is worked first; the *wake* says what the device is to do about it.
"""

import re
from collections.abc import Mapping
from enum import IntEnum, StrEnum
from typing import Any

from domain.lanes import Priority

MAX_PAYLOAD_BYTES = 4096
"""As JSON in UTF-8: Apple's limit, and that of FCM and Web Push (Apple, "Generating a remote notification")."""

MAX_STORED = 100
"""Notifications kept for a device that is away."""

MAX_LIVE = 256
"""Live pushes in flight to a device; what comes beyond them goes by way of its mailbox."""

MAX_COLLAPSE_BYTES = 64
MAX_LIFE_S = 30 * 86_400
LIVE_ONLY_S = 30
"""A push that must not be stored (`apns-expiration: 0`) is over after so many seconds, come what may."""

ACK_WITHIN_S = 15.0
"""A device has so long to acknowledge; then its push is sent again, by way of its mailbox."""


MIN_TOKEN_BYTES, MAX_TOKEN_BYTES = 8, 200
"""Of a device's own token. Apple warns against assuming a size; below 64 bits anybody could guess it."""

MAX_FOREIGN_TOKEN = 4096
"""Characters of a token that another push service gave out."""


_HEX_BYTES = re.compile(rf"(?:[0-9A-Fa-f]{{2}}){{{MIN_TOKEN_BYTES},{MAX_TOKEN_BYTES}}}")


class PushProvider(StrEnum):
    """Whose push service reaches a device."""

    CARILLON = "carillon"
    """Our own gateway."""
    APNS = "apns"
    FCM = "fcm"
    WEB_PUSH = "web_push"


class Wake(IntEnum):
    """How eagerly a push wakes its device, in Apple's numbers (`apns-priority`)."""

    NOW = 10
    """At once."""
    NAP = 5
    """At the device's next window, or when something else wakes it."""
    BATCH = 1
    """Together with others, in one frame."""


PRIORITY_OF_WAKE = {Wake.NOW: Priority.HIGH, Wake.NAP: Priority.NORMAL, Wake.BATCH: Priority.LOW}
"""The lane of a push whose sender speaks of wakes only: provider door and device route."""


def canonical_token(text: str, provider: PushProvider = PushProvider.CARILLON) -> str:
    """A device's token as it is hashed: hexadecimal in lower case for ours and Apple's. ValueError says what is wrong.

    The text itself is never part of the message.
    """
    if provider in {PushProvider.FCM, PushProvider.WEB_PUSH}:
        if not (1 <= len(text) <= MAX_FOREIGN_TOKEN and text.isascii() and text.isprintable()):
            raise ValueError(f"must have 1 to {MAX_FOREIGN_TOKEN} printable ASCII characters")
        return text
    if not _HEX_BYTES.fullmatch(text):
        raise ValueError(f"must be {MIN_TOKEN_BYTES} to {MAX_TOKEN_BYTES} bytes, two hexadecimal digits each")
    return text.lower()


def is_silent(payload: Mapping[str, Any]) -> bool:
    """Whether a payload only wakes the app: `content-available` and nothing that a person would see or hear."""
    aps = payload.get("aps")
    if not isinstance(aps, Mapping) or aps.get("content-available") != 1:
        return False
    return not any(aps.get(name) for name in ("alert", "badge", "sound"))


def wake_of(priority: Priority, payload: Mapping[str, Any], wished: int | None = None) -> Wake:
    """The wake of a push: the sender's wish, else 5 for silent and low ones and 10 for the rest."""
    if wished is not None:
        return Wake(wished)
    return Wake.NAP if priority is Priority.LOW or is_silent(payload) else Wake.NOW
