"""Dead letters for tests: deliveries that failed, as a worker would have left them, each with its letter."""

from typing import NamedTuple
from uuid import UUID

import asyncpg

from domain.delivery import PROBLEMS, DeliveryStatus
from domain.lanes import Channel
from domain.reasons import Reason
from tests.integration.tracking.builders import Person, person, recorded, records
from tracking.dead.letters import DeadLetter, archive, fingerprint

DETAIL = "order_shipped/email.txt:3: 'order' is undefined"


class Died(NamedTuple):
    """A letter and its delivery."""

    letter: UUID
    delivery: UUID


async def died(
    pool: asyncpg.Pool,
    who: Person | UUID,
    count: int = 1,
    *,
    channel: Channel = Channel.EMAIL,
    reason: Reason = Reason.TEMPLATE_MISSING_VARIABLE,
    detail: str = DETAIL,
    words: bytes = b'{"order":"A-1001"}',
    template: str | None = "order_shipped",
    dedupe_key: str | None = None,
    expires_in_s: float = 3600,
) -> list[Died]:
    """`count` failed deliveries to one person (a new one of this tenant), oldest letter first."""
    one = who if not isinstance(who, UUID) else await person(pool, who)
    made = records(one, count, channels=(channel,), expires_in_s=expires_in_s)
    for row in made.notifications:
        row.template, row.template_version, row.data = template, 3 if template else 0, words
        row.dedupe_key = dedupe_key
    ids = await recorded(pool, made)
    status = DeliveryStatus.DEAD_LETTERED if reason is Reason.WORKER_CRASH else DeliveryStatus.FAILED
    assert status in PROBLEMS
    await pool.execute(
        "UPDATE deliveries SET status = $2, problem = $2, reason = $3, attempt = 1, crashes = $4"
        " WHERE id = ANY($1::uuid[])",
        ids,
        status.code,
        reason.code,
        3 if reason is Reason.WORKER_CRASH else 0,
    )
    await pool.execute("DELETE FROM outbox WHERE id = ANY($1::uuid[])", [row.id for row in made.outbox])
    letters = [
        DeadLetter(
            reason=str(reason),
            detail=detail,
            fingerprint=fingerprint(channel, detail, template=f"{template}@3" if template else "inline content"),
            evidence={"attempt": 1, "template": template},
            tenant_id=one.tenant_id,
            delivery_id=delivery,
            channel=channel,
        )
        for delivery in ids
    ]
    await archive(pool, letters)
    rows = await pool.fetch("SELECT id, delivery_id FROM dead_letters WHERE delivery_id = ANY($1::uuid[])", ids)
    return sorted(Died(row["id"], row["delivery_id"]) for row in rows)


async def unreadable(pool: asyncpg.Pool, tenant: UUID, body: str = "?") -> UUID:
    """A letter of a message that came back too often: it has no delivery."""
    await archive(pool, [DeadLetter("delivered_too_often", "?", f"email|-|?{body[:20]}|-", {"body": body}, tenant)])
    identifier: UUID = await pool.fetchval(
        "SELECT id FROM dead_letters WHERE tenant_id = $1 AND delivery_id IS NULL ORDER BY id DESC LIMIT 1", tenant
    )
    return identifier
