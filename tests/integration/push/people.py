"""Apps, devices and pushes for tests, as rows."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
import msgspec

from channels.push.mailbox import Letter
from domain.clock import utc_now
from domain.delivery import DeliveryStatus
from domain.ids import delivery_id, notification_id, uuid7
from domain.lanes import Channel, Lane, Priority
from domain.notification import Content, Mode, PushParts
from tracking import ledger
from tracking.rows import DeliveryRow, NotificationRow, OutboxRow, Records


@dataclass
class Owner:
    """An app, a user of it, and devices of that user."""

    tenant_id: UUID
    app_id: UUID
    user_id: UUID
    devices: list[UUID] = field(default_factory=list)

    @property
    def device(self) -> UUID:
        return self.devices[0]


async def an_owner(
    pool: asyncpg.Pool,
    tenant: UUID,
    *,
    devices: int = 1,
    overflow: str = "drop_oldest_lowest_priority",
    silent_per_hour: int = 10,
) -> Owner:
    """A user with so many devices of one app."""
    app, user = uuid7(), uuid7()
    await pool.execute(
        "INSERT INTO apps (id, tenant_id, bundle_id, app_key, overflow, silent_per_hour)"
        " VALUES ($1, $2, $3, $4, $5, $6)",
        app,
        tenant,
        f"com.example.{app.hex}",
        f"cn_app_{app.hex}",
        overflow,
        silent_per_hour,
    )
    await pool.execute(
        "INSERT INTO users (id, tenant_id, external_id, name) VALUES ($1, $2, $3, 'Ada')", user, tenant, f"user-{user}"
    )
    owner = Owner(tenant, app, user)
    owner.devices = [await a_device(pool, owner) for _ in range(devices)]
    return owner


async def a_device(pool: asyncpg.Pool, owner: Owner) -> UUID:
    """A new device of this user."""
    device = uuid7()
    await pool.execute(
        "INSERT INTO devices (id, tenant_id, app_id, bundle_id, user_id, token_hash, platform)"
        " VALUES ($1, $2, $3, $4, $5, $6, 'carillon')",
        device,
        owner.tenant_id,
        owner.app_id,
        f"com.example.{owner.app_id.hex}",
        owner.user_id,
        device.bytes * 2,
    )
    return device


def pushes(
    owner: Owner,
    count: int = 1,
    *,
    devices: Sequence[UUID] | None = None,
    parts: PushParts | None = None,
    collapse_id: str | None = None,
    status: DeliveryStatus = DeliveryStatus.QUEUED,
    expires_in_s: float = 3600,
    priority: Priority = Priority.HIGH,
    mode: Mode = Mode.LIVE,
    version: int = 1,
) -> Records:
    """`count` notifications, each a push to every one of `devices`; one envelope for all."""
    now = utc_now()
    made = Records()
    envelope = OutboxRow(uuid7(), owner.tenant_id, Lane(Channel.PUSH, priority), [], now)
    made.outbox.append(envelope)
    content = Content(push=parts or PushParts({"aps": {"alert": "Hello"}}))
    for _ in range(count):
        note = NotificationRow(
            id=notification_id(),
            tenant_id=owner.tenant_id,
            user_id=owner.user_id,
            mode=mode,
            template=None,
            template_version=0,
            locale=None,
            category="general",
            priority=priority,
            data=msgspec.json.encode(content),
            decisions=b"[]",
            collapse_id=collapse_id,
            dedupe_key=None,
            duplicate_of=None,
            reference=None,
            send_at=None,
            expires_at=now + timedelta(seconds=expires_in_s),
            created_at=now,
        )
        made.notifications.append(note)
        for ordinal, device in enumerate(devices or owner.devices, start=1):
            row = _delivery(owner, note, ordinal, device, status=status, version=version)
            row.envelope_id = envelope.id
            envelope.delivery_ids.append(row.id)
            made.deliveries.append(row)
    return made


async def kept(pool: asyncpg.Pool, made: Records) -> list[UUID]:
    """Record `made`, as if published; the deliveries' ids in order."""
    async with pool.acquire() as conn, conn.transaction():
        await ledger.record(conn, made)
        await conn.execute(
            "UPDATE outbox SET published_at = now(), watch_at = now() + interval '30 s' WHERE id = ANY($1::uuid[])",
            [row.id for row in made.outbox],
        )
    return sorted(row.id for row in made.deliveries)


def a_letter(
    owner: Owner,
    delivery: UUID,
    *,
    device: UUID | None = None,
    wake: int = 10,
    collapse_id: str | None = None,
    is_folded_silent: bool = False,
    not_before: datetime | None = None,
    expires_in_s: float = 3600,
) -> Letter:
    """A letter for the owner's first device, due now."""
    now = utc_now()
    return Letter(
        delivery_id=delivery,
        tenant_id=owner.tenant_id,
        device_id=device or owner.device,
        wake=wake,
        collapse_id=collapse_id,
        topic=None,
        payload=b'{"aps":{"alert":"Hello"}}',
        not_before=not_before or now,
        expires_at=now + timedelta(seconds=expires_in_s),
        is_folded_silent=is_folded_silent,
    )


def _delivery(
    owner: Owner, of: NotificationRow, ordinal: int, device: UUID, *, status: DeliveryStatus, version: int
) -> DeliveryRow:
    return DeliveryRow(
        id=delivery_id(of.id, ordinal),
        tenant_id=owner.tenant_id,
        user_id=owner.user_id,
        address_id=device,
        envelope_id=None,
        recipient_version=version,
        recheck_at=None,
        channel=Channel.PUSH,
        priority=of.priority,
        mode=of.mode,
        status=status,
        reason=None,
        next_attempt_at=None,
        expires_at=of.expires_at,
        created_at=of.created_at,
    )
