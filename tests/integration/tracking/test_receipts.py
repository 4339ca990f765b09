"""Receipts: applied in any order, never lowering, each with its event."""

from itertools import permutations
from uuid import UUID

import asyncpg
import pytest

from domain.clock import utc_now
from domain.delivery import DeliveryStatus
from domain.ids import delivery_id, notification_id
from domain.reasons import Reason
from domain.receipts import Receipt, ReceiptKind
from tests.integration.tracking.builders import finished, person, recorded, records, status_of
from tracking import receipts
from tracking.claim import claim
from tracking.finish import finish


async def _sent(pool: asyncpg.Pool, tenant: UUID, status: DeliveryStatus = DeliveryStatus.SENT) -> UUID:
    ids = await recorded(pool, records(await person(pool, tenant)))
    await finish(pool, [finished((await claim(pool, ids, lease_s=20)).claimed[0], status)])
    return ids[0]


OF_PROVIDERS = (ReceiptKind.DELIVERED, ReceiptKind.BOUNCED, ReceiptKind.FAILED)


def _receipt(delivery: UUID | None, kind: ReceiptKind = ReceiptKind.DELIVERED) -> Receipt:
    reason = None if kind is ReceiptKind.DELIVERED else Reason.BOUNCED
    return Receipt("smtp", kind, utc_now(), delivery_id=delivery, provider_id="x", reason=reason, detail="550 no such")


@pytest.mark.parametrize("order", list(permutations(OF_PROVIDERS)))
@pytest.mark.parametrize("is_one_batch", [True, False])
async def test_in_whatever_order_they_come_the_highest_stands(
    hot_pool: asyncpg.Pool, tenant: UUID, order: tuple[ReceiptKind, ...], is_one_batch: bool
) -> None:
    delivery = await _sent(hot_pool, tenant)
    told = [_receipt(delivery, kind) for kind in order]

    for batch in [told] if is_one_batch else [[one] for one in told]:
        await receipts.apply(hot_pool, batch)

    row = await hot_pool.fetchrow("SELECT status, problem, reason FROM deliveries WHERE id = $1", delivery)
    assert tuple(row) == (DeliveryStatus.BOUNCED.code, DeliveryStatus.BOUNCED.code, Reason.BOUNCED.code)


async def test_a_repeated_receipt_is_ignored_and_leaves_one_event(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    delivery = await _sent(hot_pool, tenant)

    first = await receipts.apply(hot_pool, [_receipt(delivery)])
    second = await receipts.apply(hot_pool, [_receipt(delivery)])

    assert (first.applied, first.ignored, second.applied, second.ignored) == (1, 0, 0, 1)
    assert await hot_pool.fetchval("SELECT count(*) FROM events WHERE delivery_id = $1 AND kind = 40", delivery) == 1


async def test_an_ambiguous_delivery_is_cleared_up_by_its_receipt(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    delivery = await _sent(hot_pool, tenant, DeliveryStatus.AMBIGUOUS)

    await receipts.apply(hot_pool, [_receipt(delivery)])

    assert await status_of(hot_pool, delivery) is DeliveryStatus.DELIVERED
    assert await hot_pool.fetchval("SELECT problem FROM deliveries WHERE id = $1", delivery) is None


async def test_what_nobody_knows_and_what_has_no_reference_is_unmatched(hot_pool: asyncpg.Pool) -> None:
    strangers = [_receipt(delivery_id(notification_id(), 1)), _receipt(None)]

    answer = await receipts.apply(hot_pool, strangers)

    assert (answer.applied, answer.ignored) == (0, 0)
    assert sorted(map(id, answer.unmatched)) == sorted(map(id, strangers))
