"""What became of notifications: what may be asked, and what is told."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from api.schemas.base import Moment, PageQuery, Query, QueryMoment, Told
from domain.delivery import DeliveryStatus
from domain.lanes import Channel, Priority
from domain.notification import Mode, NotificationStatus
from domain.reasons import Reason
from tracking.cancel import CancelOutcome
from tracking.rollups import GroupBy


class ListQuery(PageQuery):
    """What a list is narrowed to; `status` and `channel` speak of one and the same delivery."""

    status: DeliveryStatus | None = None
    channel: Channel | None = None
    user: Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00]*$")] | None = None
    category: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00]*$")] | None = None
    priority: Priority | None = None
    broadcast: Annotated[UUID | None, Field(description="those that a publication to a topic has made")] = None
    since: QueryMoment | None = None
    until: QueryMoment | None = None
    cursor: Annotated[str, Field(max_length=200)] | None = None


class StatsQuery(Query):
    """Since when, and by what: `group_by` may stand several times."""

    since: QueryMoment | None = None
    group_by: Annotated[list[GroupBy], Field(max_length=3)] = Field(default_factory=list)
    mode: Mode | None = None


class AttemptTold(Told):
    """One attempt; `outcome` is null while it is under way. `facts`: reason, provider, answer, times."""

    attempt: int
    outcome: str | None
    ended_at: Moment | None
    facts: dict[str, Any]


class DeliveryTold(Told):
    """One delivery: one address or device. `device_id` is null for other channels, and once the device is erased."""

    id: UUID
    channel: Channel
    device_id: UUID | None
    status: DeliveryStatus
    reason: Reason | None
    attempt: int
    provider: str | None
    provider_id: str | None
    next_attempt_at: Moment | None
    updated_at: Moment


class DeliveryInFull(DeliveryTold):
    """One delivery with every attempt, oldest first."""

    attempts: list[AttemptTold]


class NotificationFacts(Told):
    """What is told of a notification, in lists too."""

    id: UUID
    status: NotificationStatus
    mode: Mode
    user: str | None
    template: str | None
    template_version: int
    locale: str | None
    category: str
    priority: Priority
    collapse_id: str | None
    dedupe_key: str | None
    duplicate_of: UUID | None
    send_at: Moment | None
    expires_at: Moment
    cancelled_at: Moment | None
    created_at: Moment


class NotificationInList(NotificationFacts):
    """One of many."""

    deliveries: list[DeliveryTold]


class NotificationInFull(NotificationFacts):
    """One notification with its deliveries and their attempts."""

    deliveries: list[DeliveryInFull]


class NotificationPage(Told):
    """Notifications, newest first; a page may be short, or empty, and still go on."""

    items: list[NotificationInList]
    next_cursor: str | None


class DeliveryState(Told):
    """Where one delivery stands."""

    id: UUID
    status: DeliveryStatus


class NotificationState(Told):
    """Where a notification stands."""

    id: UUID
    status: NotificationStatus
    deliveries: list[DeliveryState]


class GateTold(Told):
    """What one gate said, when, and what it looked at."""

    gate: str
    verdict: str
    at: Moment
    channel: str | None = None
    reason: str | None = None
    until: str | None = None
    inputs: dict[str, Any] = Field(default_factory=dict)


class EventTold(Told):
    """What happened to a delivery since."""

    delivery_id: UUID
    at: Moment
    kind: str
    attempt: int
    facts: dict[str, Any]


class ExplanationTold(Told):
    """Why a notification went the way it went."""

    notification: NotificationInFull
    gates: list[GateTold]
    events: list[EventTold]


class Withdrawal(Told):
    """What a cancellation could still do about one delivery."""

    id: UUID
    channel: Channel
    outcome: CancelOutcome


class CancellationTold(Told):
    """What a cancellation could still do."""

    id: UUID
    deliveries: list[Withdrawal]


class CountTold(Told):
    """How many deliveries of a group stand at a status."""

    group: dict[str, str]
    status: DeliveryStatus
    count: int


class StatsTold(Told):
    """Counts of deliveries by the hour, as they were at `as_of`; null when nothing was counted yet."""

    since: Moment
    as_of: Moment | None
    items: list[CountTold]


def count_group(group: dict[str, str | datetime]) -> dict[str, str]:
    """A group with its hour as text."""
    return {
        name: value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value
        for name, value in group.items()
    }
