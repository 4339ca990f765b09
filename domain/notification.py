"""What a product team asks for: a notification, before any gate has looked at it."""

from collections.abc import Iterable
from dataclasses import field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from domain.codes import CodedEnum
from domain.delivery import ENDED, DeliveryStatus
from domain.lanes import Channel, Priority
from domain.values import value


class Mode(CodedEnum):
    """Whose key sent it: live reaches people, test a sink with scripted answers, team an allow-list."""

    LIVE = "live", 1
    TEST = "test", 2
    TEAM = "team", 3


@value(frozen=True, slots=True)
class Recipient:
    """To whom: a user by id, or an address alone, or both (which creates or updates that user).

    `email` and `phone` are already in canonical form (lower-case domain in ASCII; E.164). `device_token` is the raw
    token of a device, `device_id` our own id of one; with either, push goes to that device alone.
    """

    user: str | None = None
    email: str | None = None
    phone: str | None = None
    locale: str | None = None
    timezone: str | None = None
    name: str | None = None
    device_token: str | None = None
    device_id: UUID | None = None

    @property
    def is_inline(self) -> bool:
        """Whether it brings facts about a user that must be written first."""
        return self.user is not None and any((self.email, self.phone, self.locale, self.timezone, self.name))

    @property
    def names_device(self) -> bool:
        """Whether it is one device, and not a person or an address."""
        return self.device_id is not None or self.device_token is not None


@value(frozen=True, slots=True)
class EmailParts:
    """Words of one email given in the request itself; `html` may be missing, then only text is sent."""

    subject: str
    text: str | None = None
    html: str | None = None


@value(frozen=True, slots=True)
class PushParts:
    """One push given in the request itself: the payload as the device gets it, at most 4096 bytes as JSON.

    `wake` is the sender's wish (10, 5, 1). `is_live_only`: one attempt, never stored. `topic`: published to it.
    """

    payload: dict[str, Any]
    wake: int | None = None
    is_live_only: bool = False
    topic: str | None = None


@value(frozen=True, slots=True)
class Content:
    """Words given in the request itself, instead of a template; what a channel lacks it takes from title and body."""

    title: str | None = None
    body: str | None = None
    email: EmailParts | None = None
    sms_text: str | None = None
    push: PushParts | None = None


@value(frozen=True, slots=True)
class NotificationRequest:
    """One notification as asked for, of good shape: every string is clean, every time aware and in UTC.

    `reference` is the sender's own id of it, kept beside ours and shown, and nothing else.
    """

    to: Recipient
    template: str | None = None
    version: int | None = None
    locale: str | None = None
    data: dict[str, Any] = field(default_factory=dict)
    content: Content | None = None
    channels: tuple[Channel, ...] = ()
    priority: Priority = Priority.NORMAL
    category: str | None = None
    collapse_id: str | None = None
    dedupe_key: str | None = None
    expires_in_s: int | None = None
    send_at: datetime | None = None
    reference: str | None = None


class NotificationStatus(StrEnum):
    """A notification's own status, derived from its deliveries."""

    ACCEPTED = "accepted"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    PARTLY_FAILED = "partly_failed"
    FAILED = "failed"
    SUPPRESSED = "suppressed"
    CANCELLED = "cancelled"


_S = DeliveryStatus
_GOOD = frozenset({_S.SENT, _S.DELIVERED, _S.STORED, _S.COLLAPSED})
_UNTOUCHED = frozenset({_S.QUEUED, _S.DEFERRED})


def derive_status(deliveries: Iterable[DeliveryStatus]) -> NotificationStatus:
    """The notification's status, from those of its deliveries; suppressed ones count only when all are."""
    statuses = [status for status in deliveries if status is not _S.SUPPRESSED]
    if not statuses:
        return NotificationStatus.SUPPRESSED
    if all(status in _UNTOUCHED for status in statuses):
        return NotificationStatus.ACCEPTED
    if any(status not in ENDED and status is not _S.STORED for status in statuses):
        return NotificationStatus.IN_PROGRESS
    if all(status is _S.CANCELLED for status in statuses):
        return NotificationStatus.CANCELLED
    good = sum(status in _GOOD for status in statuses)
    if good == len(statuses):
        return NotificationStatus.COMPLETED
    return NotificationStatus.PARTLY_FAILED if good else NotificationStatus.FAILED
