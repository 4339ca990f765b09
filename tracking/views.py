"""What the ledger tells of a notification: itself, its deliveries, their attempts and their events."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from domain.delivery import DeliveryStatus
from domain.lanes import Channel, Priority
from domain.notification import Mode, NotificationStatus, derive_status
from domain.reasons import Reason
from tracking.events import EventKind

_FIRST_OTHER_KIND = EventKind.NOT_SENT.code


@dataclass(slots=True)
class EventView:
    """One event; `facts` are its detail: the status it led to, reason, provider, answer, times."""

    delivery_id: UUID
    at: datetime
    kind: EventKind
    attempt: int
    facts: dict[str, Any]


@dataclass(slots=True)
class AttemptView:
    """One attempt. `outcome` is None while it is under way; `ended_at` then too."""

    attempt: int
    outcome: EventKind | None
    ended_at: datetime | None
    facts: dict[str, Any]


@dataclass(slots=True)
class DeliveryView:
    """One delivery; `attempts` are filled where the notification was asked for alone, oldest first.

    `device_id` is a push's device, as long as there is one.
    """

    id: UUID
    channel: Channel
    address_id: UUID | None
    device_id: UUID | None
    status: DeliveryStatus
    reason: Reason | None
    attempt: int
    next_attempt_at: datetime | None
    provider: str | None
    provider_id: str | None
    updated_at: datetime
    attempts: Sequence[AttemptView] = ()


@dataclass(slots=True)
class NotificationView:
    """One notification of a tenant; `decisions` is the JSON that accept recorded, `user` the tenant's own id."""

    id: UUID
    user: str | None
    mode: Mode
    template: str | None
    template_version: int
    locale: str | None
    category: str
    priority: Priority
    collapse_id: str | None
    dedupe_key: str | None
    duplicate_of: UUID | None
    reference: str | None
    campaign_id: UUID | None
    send_at: datetime | None
    expires_at: datetime
    cancelled_at: datetime | None
    created_at: datetime
    decisions: bytes
    deliveries: Sequence[DeliveryView]

    @property
    def status(self) -> NotificationStatus:
        """Derived from its deliveries."""
        return derive_status(delivery.status for delivery in self.deliveries)


@dataclass(slots=True)
class Explanation:
    """All that is known of why a notification went the way it went."""

    notification: NotificationView
    events: Sequence[EventView]


def event_view(row: Mapping[Any, Any]) -> EventView:
    """An event from its row."""
    facts = msgspec.json.decode(row["detail"]) if row["detail"] else {}
    return EventView(row["delivery_id"], row["at"], EventKind.of(row["kind"]), row["attempt"], facts)


def delivery_view(row: Mapping[Any, Any], events: Sequence[EventView] = ()) -> DeliveryView:
    """A delivery from its row (with `device_id`, where the device still exists) and its events."""
    return DeliveryView(
        id=row["id"],
        channel=Channel.of(row["channel"]),
        address_id=row["address_id"],
        device_id=row["device_id"],
        status=DeliveryStatus.of(row["status"]),
        reason=Reason.of(row["reason"]) if row["reason"] is not None else None,
        attempt=row["attempt"],
        next_attempt_at=row["next_attempt_at"],
        provider=row["provider"],
        provider_id=row["provider_id"],
        updated_at=row["updated_at"],
        attempts=_attempts(row, events),
    )


def notification_view(row: Mapping[Any, Any], deliveries: Sequence[DeliveryView]) -> NotificationView:
    """A notification from its row (with `external_id` of its user) and its deliveries."""
    return NotificationView(
        id=row["id"],
        user=row["external_id"],
        mode=Mode.of(row["mode"]),
        template=row["template"],
        template_version=row["template_version"],
        locale=row["locale"],
        category=row["category"],
        priority=Priority.of(row["priority"]),
        collapse_id=row["collapse_id"],
        dedupe_key=row["dedupe_key"],
        duplicate_of=row["duplicate_of"],
        reference=row["reference"],
        campaign_id=row["campaign_id"],
        send_at=row["send_at"],
        expires_at=row["expires_at"],
        cancelled_at=row["cancelled_at"],
        created_at=row["created_at"],
        decisions=row["decisions"],
        deliveries=deliveries,
    )


def _attempts(row: Mapping[Any, Any], events: Sequence[EventView]) -> list[AttemptView]:
    """Outcomes of attempts among the events, and the one that is under way."""
    ended = [
        AttemptView(event.attempt, event.kind, event.at, event.facts)
        for event in events
        if event.kind.code < _FIRST_OTHER_KIND
    ]
    if row["status"] == DeliveryStatus.SENDING.code:
        ended.append(AttemptView(row["attempt"], None, None, {"begun_at": row["updated_at"].isoformat()}))
    return ended
