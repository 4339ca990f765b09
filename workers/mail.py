"""The mailbox, as finishing sees it: letters go in, and what the mailbox could not keep comes back as ends."""

from collections.abc import Sequence

import asyncpg

from channels.push import mailbox
from channels.push.mailbox import Letter, StoreResult
from domain.delivery import DeliveryStatus
from domain.reasons import Reason
from tracking.ending import End


async def keep(conn: asyncpg.Connection, letters: Sequence[Letter]) -> list[End]:
    """Store these letters in the caller's transaction; the ends it must write, of these and of older ones."""
    return ends_of(await mailbox.store(conn, letters))


def ends_of(result: StoreResult) -> list[End]:
    """Everyone whom storing cost their place, with the reason; a collapsed one names its successor."""
    return [
        *(
            End(one, DeliveryStatus.COLLAPSED, Reason.SUPERSEDED, {"by": str(successor)})
            for one, successor in result.collapsed
        ),
        *(End(one, DeliveryStatus.FAILED, Reason.MAILBOX_FULL) for one in (*result.evicted, *result.refused)),
        *(End(one, DeliveryStatus.FAILED, Reason.DEVICE_GONE) for one in result.gone),
    ]
