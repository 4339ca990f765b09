"""Rows for tests of the ledger: people, notifications with their deliveries, and finished attempts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from domain.clock import utc_now
from domain.delivery import DeliveryStatus
from domain.ids import delivery_id, notification_id, uuid7
from domain.lanes import Channel, Lane, Priority
from domain.notification import Mode
from domain.reasons import Reason
from tracking import ledger
from tracking.claim import Claimed
from tracking.finish import Finished
from tracking.rows import DeliveryRow, NotificationRow, OutboxRow, Records

CHANNELS = (Channel.EMAIL, Channel.SMS)


@dataclass
class Person:
    """A user with an address per channel."""

    tenant_id: UUID
    user_id: UUID
    contacts: dict[Channel, UUID]
    version: int = 1


async def person(conn: asyncpg.Connection | asyncpg.Pool, tenant: UUID) -> Person:
    """A new user of `tenant` with an e-mail address and a phone."""
    user, contacts = uuid7(), {channel: uuid7() for channel in CHANNELS}
    await conn.execute(
        "INSERT INTO users (id, tenant_id, external_id, name, locale, timezone)"
        " VALUES ($1, $2, $3, 'Ada', 'fr', 'Europe/Paris')",
        user,
        tenant,
        f"user-{user}",
    )
    for channel, contact in contacts.items():
        await conn.execute(
            "INSERT INTO contacts (id, tenant_id, user_id, channel, address, address_key)"
            " VALUES ($1, $2, $3, $4, $5, $6)",
            contact,
            tenant,
            user,
            channel.code,
            f"{contact}@example.org",
            uuid7(),
        )
    return Person(tenant, user, contacts)


def records(
    who: Person,
    count: int = 1,
    *,
    channels: Sequence[Channel] = (Channel.EMAIL,),
    status: DeliveryStatus = DeliveryStatus.QUEUED,
    reason: Reason | None = None,
    next_attempt_at: datetime | None = None,
    expires_in_s: float = 3600,
    recheck_at: datetime | None = None,
    category: str = "orders",
    priority: Priority = Priority.NORMAL,
    envelope_size: int = 20,
    now: datetime | None = None,
) -> Records:
    """`count` notifications to one person, a delivery per channel, envelopes of `envelope_size` per channel."""
    now = now or utc_now()
    expires_at = now + timedelta(seconds=expires_in_s)
    made, filling = Records(), dict[Channel, OutboxRow]()
    for _ in range(count):
        one = _notification(who, category, priority, now=now, expires_at=expires_at)
        made.notifications.append(one)
        for ordinal, channel in enumerate(channels, start=1):
            envelope = filling.get(channel)
            is_full = envelope is None or len(envelope.delivery_ids) >= envelope_size
            if status is not DeliveryStatus.SUPPRESSED and is_full:
                envelope = OutboxRow(uuid7(), who.tenant_id, Lane(channel, priority), [], next_attempt_at or now)
                filling[channel] = envelope
                made.outbox.append(envelope)
            delivery = _delivery(who, one, ordinal, channel, envelope)
            delivery.status, delivery.reason = status, reason
            delivery.next_attempt_at, delivery.recheck_at = next_attempt_at, recheck_at
            made.deliveries.append(delivery)
    return made


def _notification(
    who: Person, category: str, priority: Priority, *, now: datetime, expires_at: datetime
) -> NotificationRow:
    return NotificationRow(
        id=notification_id(),
        tenant_id=who.tenant_id,
        user_id=who.user_id,
        mode=Mode.LIVE,
        template="order_shipped",
        template_version=3,
        locale=None,
        category=category,
        priority=priority,
        data=b'{"order":"A-1001"}',
        decisions=b"[]",
        collapse_id=None,
        dedupe_key=None,
        duplicate_of=None,
        reference=None,
        send_at=None,
        expires_at=expires_at,
        created_at=now,
    )


def _delivery(
    who: Person, of: NotificationRow, ordinal: int, channel: Channel, envelope: OutboxRow | None
) -> DeliveryRow:
    """A queued delivery, put into its envelope."""
    identifier = delivery_id(of.id, ordinal)
    if envelope is not None:
        envelope.delivery_ids.append(identifier)
    return DeliveryRow(
        id=identifier,
        tenant_id=who.tenant_id,
        user_id=who.user_id,
        address_id=who.contacts[channel],
        envelope_id=envelope.id if envelope else None,
        recipient_version=who.version,
        recheck_at=None,
        channel=channel,
        priority=of.priority,
        mode=of.mode,
        status=DeliveryStatus.QUEUED,
        reason=None,
        next_attempt_at=None,
        expires_at=of.expires_at,
        created_at=of.created_at,
    )


async def recorded(pool: asyncpg.Pool, made: Records) -> list[UUID]:
    """Record `made`, note its envelopes as published, and answer its deliveries' ids in order."""
    async with pool.acquire() as conn, conn.transaction():
        await ledger.record(conn, made)
        await conn.execute(
            "UPDATE outbox SET published_at = now(), watch_at = now() + interval '30 s' WHERE id = ANY($1::uuid[])",
            [row.id for row in made.outbox],
        )
    return sorted(row.id for row in made.deliveries)


def finished(
    one: Claimed,
    status: DeliveryStatus = DeliveryStatus.SENT,
    *,
    reason: Reason | None = None,
    next_attempt_at: datetime | None = None,
) -> Finished:
    """How the attempt of this claim ended."""
    return Finished(
        id=one.id,
        lease_token=one.lease_token,
        attempt=one.attempt,
        envelope_id=one.envelope_id,
        status=status,
        reason=reason,
        provider="smtp",
        provider_id=f"<{one.id}@example.org>",
        next_attempt_at=next_attempt_at,
        begun_at=utc_now(),
        answer="250 OK",
        duration_ms=12.345,
    )


async def status_of(pool: asyncpg.Pool, delivery: UUID) -> DeliveryStatus:
    """Where a delivery stands now."""
    return DeliveryStatus.of(await pool.fetchval("SELECT status FROM deliveries WHERE id = $1", delivery))


async def outbox_ids(pool: asyncpg.Pool, made: Records) -> set[UUID]:
    """Those envelopes of `made` that are still there."""
    rows = await pool.fetch("SELECT id FROM outbox WHERE id = ANY($1::uuid[])", [row.id for row in made.outbox])
    return {row["id"] for row in rows}


async def let_leases_run_out(pool: asyncpg.Pool, ids: Sequence[UUID]) -> None:
    """As if their workers had been gone for long."""
    await pool.execute(
        "UPDATE deliveries SET lease_until = now() - interval '1 s'"
        " WHERE id = ANY($1::uuid[]) AND lease_token IS NOT NULL",
        ids,
    )


async def make_due(pool: asyncpg.Pool, tenant: UUID) -> None:
    """Let the sweeper look at every envelope of this tenant now, before all that other tests left behind."""
    await pool.execute("UPDATE outbox SET watch_at = now() - interval '1 day' WHERE tenant_id = $1", tenant)
