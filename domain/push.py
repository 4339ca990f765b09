"""Words of push: how eagerly a device is woken, how much it is sent, how long it is kept. Pure.

The *lane* (critical, high, normal, low) says who is worked first; the *wake* says what the device is to do about it.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

from domain.lanes import Priority

MAX_PAYLOAD_BYTES = 4096
"""As JSON in UTF-8: Apple's limit, and that of FCM and Web Push (Apple, "Generating a remote notification")."""

MAX_STORED = 100
"""Notifications kept for a device that is away."""

MAX_COLLAPSE_BYTES = 64
MAX_LIFE_S = 30 * 86_400
LIVE_ONLY_S = 30
"""A push that must not be stored (`apns-expiration: 0`) is over after so many seconds, come what may."""

ACK_WITHIN_S = 15.0
"""A device has so long to acknowledge; then its push is sent again, by way of its mailbox."""


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
