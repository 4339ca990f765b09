"""How a simulated provider answers: scripted by the recipient, in one table for the in-process sink and the servers.

Email: the local part before `+`, as in `greylist-2+anything@example.com`. Phones: the last four digits, where the
row says so. Whoever is not in the table is simply reached.
"""

from dataclasses import dataclass
from enum import StrEnum


class Script(StrEnum):
    """What a simulated provider does with a message."""

    OK = "ok"
    """Takes it; a report of delivery follows where the provider sends reports."""
    BOUNCE = "bounce"
    """Refuses it: nobody lives there."""
    SLOW = "slow"
    """Takes it, after `amount` seconds."""
    GREYLIST = "greylist"
    """Refuses it `amount` times for now, then takes it."""
    RESET = "reset"
    """Takes it and drops the connection instead of answering."""
    HANGUP = "hangup"
    """Drops the connection and takes nothing."""
    THROTTLE = "throttle"
    """Asks for a slower pace and takes nothing."""
    DOWN = "down"
    """Says that it is out of order."""
    UNDELIVERED = "undelivered"
    """Takes it, and reports later that it did not arrive."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A script and its amount: seconds or times."""

    script: Script
    amount: int = 0


_DEFAULT_AMOUNTS = {Script.SLOW: 3, Script.GREYLIST: 1}
_MAX_AMOUNT = 3600

PHONES: dict[str, Scene] = {
    "0001": Scene(Script.BOUNCE),
    "0002": Scene(Script.SLOW, 3),
    "0003": Scene(Script.RESET),
    "0004": Scene(Script.THROTTLE),
    "0005": Scene(Script.DOWN),
    "0006": Scene(Script.UNDELIVERED),
    "0007": Scene(Script.HANGUP),
    "0011": Scene(Script.GREYLIST, 1),
    "0012": Scene(Script.GREYLIST, 2),
    "0013": Scene(Script.GREYLIST, 3),
}


def scene_of(recipient: str) -> Scene:
    """The scene written in an email address or a phone number."""
    if "@" not in recipient:
        return PHONES.get(recipient[-4:], Scene(Script.OK))
    word = recipient.partition("@")[0].partition("+")[0].lower()
    name, _, amount = word.partition("-")
    if name not in Script.__members__.values():
        return Scene(Script.OK)
    script = Script(name)
    if not amount:
        return Scene(script, _DEFAULT_AMOUNTS.get(script, 0))
    if not (amount.isascii() and amount.isdigit() and len(amount) <= 4):
        return Scene(Script.OK)
    return Scene(script, min(int(amount), _MAX_AMOUNT))
