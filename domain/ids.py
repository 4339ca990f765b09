"""Identifiers: time-ordered UUIDs in which a notification and its deliveries are neighbours.

A notification's id is a UUIDv7 (RFC 9562, 5.7) whose low 16 bits are zero; its deliveries are that id plus
an ordinal from 1 to 65,535. So the deliveries of a notification are an id range on a primary key, and a
month of notifications is an id range that a partition can hold.
"""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NewType
from uuid import UUID, SafeUUID

TenantId = NewType("TenantId", UUID)
UserId = NewType("UserId", UUID)
NotificationId = NewType("NotificationId", UUID)
DeliveryId = NewType("DeliveryId", UUID)

MAX_DELIVERIES = 0xFFFF
_LOW_16 = 0xFFFF
_VERSION_7 = 0x7 << 76
_VARIANT = 0x2 << 62
_make, _set, _UNKNOWN = object.__new__, object.__setattr__, SafeUUID.unknown


def uuid7(unix_ms: int | None = None) -> UUID:
    """A UUIDv7 for `unix_ms` (milliseconds since 1970, now when omitted), with 74 random bits."""
    return uuid_of(_fresh(unix_ms))


def notification_id(unix_ms: int | None = None) -> NotificationId:
    """A new notification's id: a UUIDv7 whose low 16 bits are zero."""
    return NotificationId(uuid_of(_fresh(unix_ms) & ~_LOW_16))


def notification_ids(count: int, unix_ms: int) -> Iterator[NotificationId]:
    """So many of them for one moment; the kernel is asked once for their random bits."""
    noise = os.urandom(10 * count)
    for start in range(0, len(noise), 10):
        yield NotificationId(uuid_of(_fresh(unix_ms, noise[start : start + 10]) & ~_LOW_16))


def _fresh(unix_ms: int | None, random: bytes | None = None) -> int:
    moment = time.time_ns() // 1_000_000 if unix_ms is None else unix_ms
    noise = int.from_bytes(random or os.urandom(10), "big")
    return moment << 80 | _VERSION_7 | (noise >> 68) << 64 | _VARIANT | noise & 0x3FFF_FFFF_FFFF_FFFF


def delivery_id(notification: UUID, ordinal: int) -> DeliveryId:
    """The id of a notification's `ordinal`-th delivery, 1 to 65,535."""
    if not 1 <= ordinal <= MAX_DELIVERIES:
        raise ValueError(f"a notification has 1 to {MAX_DELIVERIES} deliveries, not {ordinal}")
    return DeliveryId(uuid_of(notification.int | ordinal))


def notification_of(delivery: UUID) -> NotificationId:
    """The notification that a delivery belongs to."""
    return NotificationId(uuid_of(delivery.int & ~_LOW_16))


def delivery_range(notification: UUID) -> tuple[UUID, UUID]:
    """`(low, high)` with low < delivery id <= high for each delivery of the notification."""
    return notification, UUID(int=notification.int | _LOW_16)


def moment_of(identifier: UUID) -> datetime:
    """When a UUIDv7 was made, to the millisecond."""
    return datetime.fromtimestamp((identifier.int >> 80) / 1000, UTC)


def uuid_of(value: int) -> UUID:
    """A UUID of 128 bits: without its constructor's checks, in a third of the time. `value` must be 0 to 2**128 - 1."""
    made = _make(UUID)
    _set(made, "int", value)
    _set(made, "is_safe", _UNKNOWN)
    return made


def first_id_at(moment: datetime) -> UUID:
    """The lower bound of every id made at `moment` or later: partition bounds and `since=` filters."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)
