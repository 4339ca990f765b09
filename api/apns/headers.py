"""The headers of a push: read, and held to Apple's rules. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import uuid4

from api.apns.reasons import ApnsReason, PushRefused
from domain.push import MAX_COLLAPSE_BYTES, Wake

AUTHORIZATION = "authorization"
APNS_ID = "apns-id"
TOPIC = "apns-topic"
PUSH_TYPE = "apns-push-type"
PRIORITY = "apns-priority"
EXPIRATION = "apns-expiration"
COLLAPSE_ID = "apns-collapse-id"
KNOWN = (AUTHORIZATION, APNS_ID, TOPIC, PUSH_TYPE, PRIORITY, EXPIRATION, COLLAPSE_ID)

FARTHEST_EXPIRATION = 253_402_300_799
"""The last second of the year 9999: nobody means a later one."""

_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_BUNDLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,254}")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,14}")
_WAKES = {str(int(wake)): wake for wake in Wake}

_SUFFIXES = (
    ".voip",
    ".voip-ptt",
    ".complication",
    ".location-query",
    ".pushkit.fileprovider",
    ".push-type.liveactivity",
    ".push-type.widgets",
    ".push-type.controls",
)
"""What Apple has senders append to the bundle id for some push types; it is the same app."""


class PushType(StrEnum):
    """What a push is for. Only `background` has a rule of its own here; the others are alike."""

    ALERT = "alert"
    BACKGROUND = "background"
    COMPLICATION = "complication"
    CONTROLS = "controls"
    FILEPROVIDER = "fileprovider"
    LIVEACTIVITY = "liveactivity"
    LOCATION = "location"
    MDM = "mdm"
    PUSHTOTALK = "pushtotalk"
    VOIP = "voip"
    WIDGETS = "widgets"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the headers say of a push. `expiration` is in seconds since 1970; 0 is now or never; None is not said."""

    push_type: PushType | None
    wake: Wake | None
    expiration: int | None
    collapse_id: str | None


def read_once(keys: Sequence[str], values_of: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The headers of interest by name, each said once. PushRefused(DuplicateHeaders).

    A value that is no text at all is missing among the values though its name is there: it becomes one that fits
    no rule, for to pass over it would be to accept and ignore it.
    """
    if any(len(values) > 1 for values in values_of.values()) or any(keys.count(name) > 1 for name in KNOWN):
        raise PushRefused(ApnsReason.DUPLICATE_HEADERS)
    return {name: values[0] if values else "\ufffd" for name, values in values_of.items() if values or name in keys}


def answer_id(given: Sequence[str]) -> str:
    """The apns-id to answer with: the one that came, as it was written, or a new one where none is of good form."""
    return given[0] if len(given) == 1 and _UUID.fullmatch(given[0]) else str(uuid4())


def read_topic(headers: Mapping[str, str]) -> tuple[str, str]:
    """`(topic, bundle id)`. PushRefused: MissingTopic, BadTopic."""
    topic = headers.get(TOPIC, "")
    if not topic:
        raise PushRefused(ApnsReason.MISSING_TOPIC)
    if not _BUNDLE.fullmatch(topic):
        raise PushRefused(ApnsReason.BAD_TOPIC)
    for suffix in _SUFFIXES:
        if topic.endswith(suffix) and len(topic) > len(suffix):
            return topic, topic.removesuffix(suffix)
    return topic, topic


def read_wishes(headers: Mapping[str, str]) -> Wishes:
    """Everything else. PushRefused: BadMessageId, InvalidPushType, BadPriority, BadExpirationDate, BadCollapseId."""
    given = headers.get(APNS_ID)
    if given is not None and not _UUID.fullmatch(given):
        raise PushRefused(ApnsReason.BAD_MESSAGE_ID)
    push_type = _push_type(headers.get(PUSH_TYPE))
    return Wishes(
        push_type,
        _wake(headers.get(PRIORITY), push_type),
        _expiration(headers.get(EXPIRATION)),
        _collapse_id(headers.get(COLLAPSE_ID)),
    )


def _push_type(value: str | None) -> PushType | None:
    try:
        return None if value is None else PushType(value)
    except ValueError:
        raise PushRefused(ApnsReason.INVALID_PUSH_TYPE) from None


def _wake(value: str | None, push_type: PushType | None) -> Wake | None:
    """A background push has priority 5 and no other; one that names none gets it."""
    if value is None:
        return Wake.NAP if push_type is PushType.BACKGROUND else None
    wake = _WAKES.get(value)
    if wake is None or (push_type is PushType.BACKGROUND and wake is not Wake.NAP):
        raise PushRefused(ApnsReason.BAD_PRIORITY)
    return wake


def _expiration(value: str | None) -> int | None:
    if value is None:
        return None
    if not _NUMBER.fullmatch(value) or int(value) > FARTHEST_EXPIRATION:
        raise PushRefused(ApnsReason.BAD_EXPIRATION_DATE)
    return int(value)


def _collapse_id(value: str | None) -> str | None:
    if value is None:
        return None
    if not value or "\ufffd" in value or len(value.encode()) > MAX_COLLAPSE_BYTES:
        raise PushRefused(ApnsReason.BAD_COLLAPSE_ID)
    return value
