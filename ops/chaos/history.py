"""What a run leaves behind, from each side: the client's log, PostgreSQL, the providers' ledger, the devices' logs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from domain.delivery import DeliveryStatus
from domain.lanes import Channel
from tracking.events import EventKind


@dataclass(slots=True)
class Promise:
    """One request as its client remembers it; answered with 202 or 200, or `notification_id` None: never answered.

    `mark` stands in the title, so that PostgreSQL's rows find back to it. `refusal`: no promise was made.
    """

    mark: str
    channel: Channel
    asked_at: datetime
    user: str | None = None
    dedupe_key: str | None = None
    is_held: bool = False
    """Its category holds what nobody knows: it must never go twice."""
    answered_at: datetime | None = None
    notification_id: UUID | None = None
    is_answered: bool = False
    failures: int = 0
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to a delivery. `status`: the one it led to; `begun_at`: when its attempt began, where known."""

    at: datetime
    kind: EventKind
    attempt: int
    status: DeliveryStatus | None
    begun_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """One delivery as PostgreSQL has it; its events in the order in which they happened."""

    id: UUID
    notification_id: UUID
    channel: Channel
    status: DeliveryStatus
    attempt: int
    crashes: int
    device_id: UUID | None
    expires_at: datetime
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class Noted:
    """One notification as PostgreSQL has it; `mark` None for those that no client of ours asked for by themselves."""

    id: UUID
    mark: str | None
    campaign_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """One message that a provider took, from its own ledger."""

    delivery: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Heard:
    """One push that a device heard; `is_shown` when it was not known to it before."""

    delivery: str
    device_id: UUID
    is_shown: bool
    is_acked: bool


@dataclass(slots=True)
class History:
    """All of it. `opted_out`: when each user's wish was answered; `broadcasts`: how many devices each was for."""

    promises: Sequence[Promise]
    notifications: Sequence[Noted]
    deliveries: Sequence[Kept]
    taken: Sequence[Taken]
    heard: Sequence[Heard]
    opted_out: Mapping[str, datetime] = field(default_factory=dict)
    broadcasts: Mapping[UUID, int] = field(default_factory=dict)
