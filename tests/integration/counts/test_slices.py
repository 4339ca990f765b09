"""Claims, ends and receipts ask PostgreSQL a fixed number of times for a slice, however many deliveries it holds."""

from datetime import timedelta
from uuid import UUID

import asyncpg

from domain.clock import utc_now
from domain.receipts import Receipt, ReceiptKind
from tests.integration.counts.conftest import Tapped, assert_no_dearer
from tests.integration.push.people import an_owner, kept, pushes
from tests.integration.tracking.builders import finished, person, recorded, records
from tracking import receipts
from tracking.claim import claim
from tracking.finish import finish, finish_sent

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


async def test_a_slice_of_pushes_is_sent_and_acknowledged(
    tapped_servers: Tapped, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    pool = tapped_servers.pool
    owner = await an_owner(hot_pool, tenant)
    for _ in range(TIMES):
        early, late = [await kept(hot_pool, pushes(owner, SLICE)) for _ in range(2)]
        won = {one.id: one for one in (await claim(pool, [*early, *late], lease_s=20)).claimed}
        due_at = utc_now() + timedelta(seconds=15)
        ends = {one: finished(won[one], next_attempt_at=due_at) for one in won}
        acks = {
            one: Receipt("gateway", ReceiptKind.DELIVERED, utc_now(), delivery_id=one, device_id=owner.device)
            for one in won
        }
        spent = [tapped_servers.spent]
        together = await finish_sent(pool, [ends[one] for one in early], {one: acks[one] for one in early})
        spent.append(tapped_servers.spent)
        alone = await finish_sent(pool, [ends[one] for one in late])
        spent.append(tapped_servers.spent)
        applied = await receipts.apply(pool, [acks[one] for one in late])
        spent.append(tapped_servers.spent)
        assert (len(together), len(alone), applied.applied) == (SLICE, SLICE, SLICE)

    for name, before, after in zip(
        ("sent and acknowledged", "sent", "acknowledgements"), spent, spent[1:], strict=False
    ):
        assert_no_dearer(name, before, after)
