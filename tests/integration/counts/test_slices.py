"""Claim, finish and receipts ask PostgreSQL a fixed number of times for a slice, however many deliveries it holds."""

from uuid import UUID

import asyncpg

from domain.clock import utc_now
from domain.receipts import Receipt, ReceiptKind
from tests.integration.counts.conftest import Tapped, assert_no_dearer
from tests.integration.tracking.builders import finished, person, recorded, records
from tracking import receipts
from tracking.claim import claim
from tracking.finish import finish

SLICE = 50
TIMES = 3
"""Twice to warm up, once to count."""


async def test_a_slice_is_claimed_finished_and_reported(
    tapped_servers: Tapped, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    pool = tapped_servers.pool
    who = await person(hot_pool, tenant)
    for _ in range(TIMES):
        ids = await recorded(hot_pool, records(who, SLICE, envelope_size=SLICE))
        told = [Receipt("smtp", ReceiptKind.DELIVERED, utc_now(), delivery_id=one) for one in ids]
        spent = [tapped_servers.spent]
        won = await claim(pool, ids, lease_s=20)
        spent.append(tapped_servers.spent)
        await finish(pool, [finished(one) for one in won.claimed])
        spent.append(tapped_servers.spent)
        applied = await receipts.apply(pool, told)
        spent.append(tapped_servers.spent)
        assert (len(won.claimed), applied.applied) == (SLICE, SLICE)

    for name, before, after in zip(("claim", "finish", "receipts"), spent, spent[1:], strict=False):
        assert_no_dearer(name, before, after)
