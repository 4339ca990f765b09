"""What waits for a device that is going, or becomes somebody else's, is taken out of its mailbox and ends cancelled."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from channels.push import mailbox
from domain.delivery import DeliveryStatus
from domain.reasons import Reason
from tracking.ending import End, end


async def vacate(conn: asyncpg.Connection, device_ids: Sequence[UUID]) -> int:
    """Empty these devices' mailboxes in the caller's transaction, which holds the devices' locks; how many letters."""
    purged = await mailbox.purge(conn, device_ids)
    await end(conn, [End(delivery, DeliveryStatus.CANCELLED, Reason.DEVICE_GONE) for delivery in purged])
    return len(purged)
