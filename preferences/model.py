"""What a recipient allows and what a category demands: the words that rules judge by. No I/O, no verdicts."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import time
from enum import StrEnum
from typing import Any, Self
from uuid import UUID
from zoneinfo import ZoneInfo

from domain.errors import Fault, RequestRefused
from domain.lanes import OPEN_CHANNELS, Channel
from domain.values import value

MAX_CATEGORIES = 200
_FIELDS = ("channels", "categories", "quiet_hours", "unsubscribed", "caps")
_HOURS_FIELDS = ("start", "end", "timezone", "mode")
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}")
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")


class Kind(StrEnum):
    """What a category's messages are to their reader."""

    TRANSACTIONAL = "transactional"
    PROMOTIONAL = "promotional"
    CRITICAL = "critical"


class AmbiguousPolicy(StrEnum):
    """What becomes of a delivery that the provider may have taken: try again, or hold it for a person."""

    RETRY = "retry"
    HOLD = "hold"


class QuietMode(StrEnum):
    """What quiet hours do with a delivery: put it off to their end, or drop it."""

    DEFER = "defer"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Category:
    """A kind of message, with what holds for those who never chose, and the tenant's figures for it."""

    name: str
    kind: Kind
    default_allow: bool
    required: bool
    channels: tuple[Channel, ...]
    dedupe_window_s: int
    expires_in_s: int
    ambiguous: AmbiguousPolicy


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From `start` to `end` on the reader's clock, over midnight where end is earlier; equal means none.

    `timezone` None: the user's own, else UTC.
    """

    start: time
    end: time
    timezone: str | None = None
    mode: QuietMode = QuietMode.DEFER


Choice = dict[Channel, bool] | bool


@value(frozen=True, slots=True)
class Preferences:
    """What one user chose; whatever is not in it was never chosen."""

    channels: dict[Channel, bool] = field(default_factory=dict)
    categories: dict[str, Choice] = field(default_factory=dict)
    quiet_hours: QuietHours | None = None
    unsubscribed: bool = False

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Self:
        """Read a document as the API takes it. RequestRefused (422) with a pointer for each fault."""
        reader = _Reader()
        preferences = cls._read(document, reader)
        reader.refuse_others(document, "", _FIELDS)
        if document.get("caps") is not None:
            reader.not_yet("/caps", "caps are")
        reader.raise_if_any()
        return preferences

    @classmethod
    def stored(cls, document: Mapping[str, Any]) -> Self:
        """Read back what was kept. What this release cannot read (a zone that was renamed) is never a reason to fail:
        one person's document must not stop the batch it is in."""
        return cls._read(document, _Reader(is_stored=True))

    @classmethod
    def _read(cls, document: Mapping[str, Any], reader: "_Reader") -> Self:
        return cls(
            channels=reader.channels(document.get("channels"), "/channels"),
            categories=reader.categories(document.get("categories")),
            quiet_hours=reader.quiet_hours(document.get("quiet_hours")),
            unsubscribed=reader.truth(document.get("unsubscribed", False), "/unsubscribed"),
        )

    def document(self) -> dict[str, Any]:
        """The document as the API shows it; `parse` reads it back to the same preferences."""
        hours = self.quiet_hours
        return {
            "channels": {str(channel): allowed for channel, allowed in self.channels.items()},
            "categories": {
                name: choice if isinstance(choice, bool) else {str(channel): yes for channel, yes in choice.items()}
                for name, choice in self.categories.items()
            },
            "quiet_hours": hours
            and {
                "start": f"{hours.start:%H:%M}",
                "end": f"{hours.end:%H:%M}",
                "timezone": hours.timezone,
                "mode": str(hours.mode),
            },
            "unsubscribed": self.unsubscribed,
        }


NOTHING_CHOSEN = Preferences()

MAX_DEVICES = 100
"""So many devices of one user get a push, the newest first."""

ALL = ""
"""In `suppressed`: nobody may write to this address any more, whatever the category."""

ALL_OPTIONAL = "*"
"""In `suppressed`: the address unsubscribed from everything that may be unsubscribed from."""


@value(frozen=True, slots=True)
class KnownRecipient:
    """What is known of a recipient at `version`; never an address, only ids of contacts and devices.

    For an address or a device without a user: no user id, and the version of its contact or device. `suppressed` holds
    pairs of channel and category name, `ALL` or `ALL_OPTIONAL`. `devices` are the valid ones that our own gateway
    serves, newest first and at most `MAX_DEVICES`; where a device was named, that one alone, or none when it is gone.
    """

    user_id: UUID | None
    external_id: str | None
    version: int
    locale: str | None
    timezone: str | None
    name: str | None
    contacts: dict[Channel, UUID]
    preferences: Preferences = NOTHING_CHOSEN
    suppressed: frozenset[tuple[Channel, str]] = frozenset()
    devices: tuple[UUID, ...] = ()
    foreign_devices: int = 0

    @property
    def has_one_version(self) -> bool:
        """Whether `version` speaks for all of it: not of a stranger with two addresses, nor of a lost device."""
        return self.user_id is not None or len(self.contacts) + len(self.devices) == 1


def is_timezone(name: object) -> bool:
    """Whether this is the name of an IANA time zone."""
    if not isinstance(name, str) or not name.isascii() or not 1 <= len(name) <= 64:
        return False
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown; leads out of the folder; is a folder
        return False
    return True


class _Reader:
    """Reads a document piece by piece and gathers what is wrong with it."""

    def __init__(self, *, is_stored: bool = False) -> None:
        self.faults: list[Fault] = []
        self._later: list[Fault] = []
        self._is_stored = is_stored

    def raise_if_any(self) -> None:
        if self._later:
            raise RequestRefused("not_available_yet", self._later[0].detail, faults=(*self._later, *self.faults))
        if self.faults:
            raise RequestRefused("invalid_preferences", self.faults[0].detail, faults=tuple(self.faults))

    def refuse_others(self, value: Mapping[str, Any], pointer: str, known: Iterable[str]) -> None:
        for name in value:
            if name not in known:
                self._fault(f"{pointer}/{_escape(name)}", "unknown field")

    def not_yet(self, pointer: str, what: str) -> None:
        self._later.append(Fault(pointer, f"{what} not available yet"))

    def truth(self, value: object, pointer: str) -> bool:
        if not isinstance(value, bool):
            self._fault(pointer, "must be true or false")
        return value is True

    def channels(self, value: object, pointer: str) -> dict[Channel, bool]:
        chosen: dict[Channel, bool] = {}
        for name, allowed in self._object(value, pointer).items():
            at = f"{pointer}/{_escape(name)}"
            if name in OPEN_CHANNELS:
                chosen[Channel(name)] = self.truth(allowed, at)
            elif name in _CHANNELS:
                self.not_yet(at, f"channel {name} is")
            else:
                self._fault(at, f"there is no such channel; there are {', '.join(OPEN_CHANNELS)}")
        return chosen

    def categories(self, value: object) -> dict[str, Choice]:
        chosen: dict[str, Choice] = {}
        given = self._object(value, "/categories")
        if len(given) > MAX_CATEGORIES:
            self._fault("/categories", f"has at most {MAX_CATEGORIES} entries")
        for name, choice in given.items():
            at = f"/categories/{_escape(name)}"
            if not _NAME.fullmatch(name):
                self._fault(at, f"a category's name must match {_NAME.pattern}")
            elif isinstance(choice, bool):
                chosen[name] = choice
            elif isinstance(choice, Mapping):
                chosen[name] = self.channels(choice, at)
            else:
                self._fault(at, "must be true, false or an object of channels")
        return chosen

    def quiet_hours(self, value: object) -> QuietHours | None:
        if value is None:
            return None
        before = len(self.faults)
        given = self._object(value, "/quiet_hours")
        zone, mode = given.get("timezone"), given.get("mode", QuietMode.DEFER)
        start, end = (self._clock(given.get(name), f"/quiet_hours/{name}") for name in ("start", "end"))
        if zone is not None and not self._is_stored and not is_timezone(zone):
            self._fault("/quiet_hours/timezone", "must be the name of an IANA time zone, like Europe/Paris")
        if not isinstance(mode, str) or mode not in _MODES:
            self._fault("/quiet_hours/mode", "must be defer or drop")
        self.refuse_others(given, "/quiet_hours", _HOURS_FIELDS)
        return None if len(self.faults) > before else QuietHours(start, end, zone, QuietMode(mode))

    def _clock(self, value: object, pointer: str) -> time:
        if isinstance(value, str) and _CLOCK.fullmatch(value):
            return time.fromisoformat(value)
        self._fault(pointer, "must be a time of day like 22:00")
        return time()

    def _object(self, value: object, pointer: str) -> Mapping[str, Any]:
        if value is None:
            return {}
        if isinstance(value, Mapping):
            return value
        self._fault(pointer, "must be an object")
        return {}

    def _fault(self, pointer: str, detail: str) -> None:
        self.faults.append(Fault(pointer, detail))


_CHANNELS = frozenset(map(str, Channel))
_MODES = frozenset(map(str, QuietMode))


def _escape(name: object) -> str:
    """A member's name as a token of a JSON pointer (RFC 6901, 3)."""
    return str(name).replace("~", "~0").replace("/", "~1")
