"""Rows as accept hands them to the ledger: what was asked, its deliveries, their envelopes and idempotency keys."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from domain.delivery import DeliveryStatus
from domain.lanes import Channel, Lane, Priority
from domain.notification import Mode
from domain.reasons import Reason


@dataclass(slots=True)
class NotificationRow:
    """One notification; `data` and `decisions` are validated JSON, `template_version` is 0 without a template."""

    id: UUID
    tenant_id: UUID
    user_id: UUID | None
    mode: Mode
    template: str | None
    template_version: int
    locale: str | None
    category: str
    priority: Priority
    data: bytes
    decisions: bytes
    collapse_id: str | None
    dedupe_key: str | None
    duplicate_of: UUID | None
    reference: str | None
    send_at: datetime | None
    expires_at: datetime
    created_at: datetime
    campaign_id: UUID | None = None


@dataclass(slots=True)
class DeliveryRow:
    """One delivery as planned: queued, deferred (until `next_attempt_at`) or suppressed with a reason."""

    id: UUID
    tenant_id: UUID
    user_id: UUID | None
    address_id: UUID | None
    envelope_id: UUID | None
    recipient_version: int
    recheck_at: datetime | None
    channel: Channel
    priority: Priority
    mode: Mode
    status: DeliveryStatus
    reason: Reason | None
    next_attempt_at: datetime | None
    expires_at: datetime
    created_at: datetime


@dataclass(slots=True)
class OutboxRow:
    """One envelope of one tenant and lane, to be published at `available_at` and watched until it is worked off."""

    id: UUID
    tenant_id: UUID
    lane: Lane
    delivery_ids: list[UUID]
    available_at: datetime


@dataclass(slots=True)
class IdempotencyRow:
    """A client's key (hashed, 128 bits) and the answer that it stands for, kept for 24 hours.

    `answer` is JSON, for requests whose answer cannot be rebuilt from one notification.
    """

    key: UUID
    fingerprint: UUID
    notification_id: UUID | None
    answer: bytes | None


@dataclass(slots=True)
class Records:
    """What one batch of accept writes, all or nothing."""

    notifications: list[NotificationRow] = field(default_factory=list)
    deliveries: list[DeliveryRow] = field(default_factory=list)
    outbox: list[OutboxRow] = field(default_factory=list)
    idempotency: list[IdempotencyRow] = field(default_factory=list)
