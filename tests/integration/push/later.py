"""What happens after a push was handed over, made to happen: time passes, devices report."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg
import msgspec

from channels.push import mailbox
from domain.clock import utc_now
from domain.lanes import DECLARED_LANES
from domain.receipts import Receipt, ReceiptKind
from tests.integration.push.stage import PushStage
from tests.integration.tracking.builders import make_due
from tracking import receipts
from tracking.events import EventKind
from tracking.sweep import sweep


async def never(tenant: UUID, category: str) -> str:
    raise AssertionError("no lease has run out")


async def overdue(pool: asyncpg.Pool, tenant: UUID) -> None:
    """Fifteen seconds pass, and the sweeper comes by."""
    await pool.execute(
        "UPDATE deliveries SET next_attempt_at = now() - interval '1 s'"
        " WHERE tenant_id = $1 AND status = 4 AND next_attempt_at IS NOT NULL",
        tenant,
    )
    await make_due(pool, tenant)
    async with pool.acquire() as conn:
        await sweep(conn, limit=100, drained=DECLARED_LANES, policy=never)


async def told(push: PushStage, kind: ReceiptKind, device: UUID, ids: Sequence[UUID], detail: str = "") -> None:
    """Apply receipts as a worker does."""
    reported = [Receipt("gateway", kind, utc_now(), delivery_id=one, device_id=device, detail=detail) for one in ids]
    await receipts.apply(push.pool, reported, forget=mailbox.forget)


async def detail_of(push: PushStage, delivery: UUID, kind: EventKind) -> dict[str, object]:
    detail = await push.pool.fetchval(
        "SELECT detail FROM events WHERE delivery_id = $1 AND kind = $2", delivery, kind.code
    )
    return dict(msgspec.json.decode(detail))
