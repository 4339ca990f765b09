"""The commonest writes, one statement each: sent, acknowledged, or both at once; and what is left to others."""

from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest

from domain.clock import utc_now
from domain.delivery import DeliveryStatus
from domain.receipts import Receipt, ReceiptKind
from tests.integration.push.people import Owner, an_owner, kept, pushes
from tests.integration.tracking.builders import finished, outbox_ids, status_of
from tracking.claim import Claimed, claim
from tracking.events import EventKind
from tracking.finish import Finished, finish, finish_sent
from tracking.receipts import apply
from tracking.rows import Records

S = DeliveryStatus
ACK_S = 15


@pytest.fixture
async def owner(hot_pool: asyncpg.Pool, tenant: UUID) -> Owner:
    """Somebody with a device."""
    return await an_owner(hot_pool, tenant)


def sent(one: Claimed) -> Finished:
    """Handed to a gateway; the device is to acknowledge it."""
    return finished(one, next_attempt_at=utc_now() + timedelta(seconds=ACK_S))


def ack(one: Claimed) -> Receipt:
    """The device has it."""
    return Receipt("gateway", ReceiptKind.DELIVERED, utc_now(), one.id, device_id=one.address_id)


async def claimed(pool: asyncpg.Pool, made: Records) -> list[Claimed]:
    """All of `made`, ours now."""
    return sorted((await claim(pool, await kept(pool, made), lease_s=20)).claimed, key=lambda one: one.id)


async def kinds(pool: asyncpg.Pool, delivery: UUID) -> list[int]:
    """Kinds of a delivery's events, as the history orders them."""
    rows = await pool.fetch("SELECT kind FROM events WHERE delivery_id = $1 ORDER BY at, kind", delivery)
    return [row["kind"] for row in rows]


async def test_a_sent_push_is_watched_until_its_acknowledgement(hot_pool: asyncpg.Pool, owner: Owner) -> None:
    made = pushes(owner)
    [one] = await claimed(hot_pool, made)

    assert await finish_sent(hot_pool, [sent(one)]) == {one.id}

    row = await hot_pool.fetchrow("SELECT * FROM deliveries WHERE id = $1", one.id)
    assert (row["status"], row["lease_token"], row["provider"]) == (S.SENT.code, None, "smtp")
    watch_at = await hot_pool.fetchval("SELECT watch_at FROM outbox WHERE id = $1", made.outbox[0].id)
    assert watch_at == row["next_attempt_at"] + timedelta(seconds=1)
    assert await kinds(hot_pool, one.id) == [EventKind.ATTEMPT_SENT.code]


async def test_sent_and_acknowledged_at_once_has_both_events_and_leaves_the_list(
    hot_pool: asyncpg.Pool, owner: Owner
) -> None:
    made = pushes(owner)
    [one] = await claimed(hot_pool, made)

    assert await finish_sent(hot_pool, [sent(one)], {one.id: ack(one)}) == {one.id}

    assert await status_of(hot_pool, one.id) is S.DELIVERED
    assert await kinds(hot_pool, one.id) == [EventKind.ATTEMPT_SENT.code, EventKind.DELIVERED.code]
    assert await hot_pool.fetchval("SELECT next_attempt_at FROM deliveries WHERE id = $1", one.id) is None
    assert await outbox_ids(hot_pool, made) == set()
    details = [
        msgspec.json.decode(row["detail"])["status"]
        for row in await hot_pool.fetch("SELECT detail FROM events WHERE delivery_id = $1 ORDER BY kind", one.id)
    ]
    assert details == ["sent", "delivered"]


async def test_an_envelope_of_several_is_released_with_the_last_of_them(hot_pool: asyncpg.Pool, owner: Owner) -> None:
    made = pushes(owner, 3)
    first, second, third = await claimed(hot_pool, made)

    await finish_sent(hot_pool, [sent(first), sent(second)], {first.id: ack(first)})
    assert await outbox_ids(hot_pool, made), "one is not acknowledged and one not sent"
    await finish_sent(hot_pool, [sent(third)], {third.id: ack(third)})
    assert await outbox_ids(hot_pool, made), "one is not acknowledged"
    answer = await apply(hot_pool, [ack(second)])

    assert answer.applied == 1
    assert await outbox_ids(hot_pool, made) == set()


async def test_an_acknowledgement_that_came_before_the_end_is_not_undone(hot_pool: asyncpg.Pool, owner: Owner) -> None:
    made = pushes(owner)
    [one] = await claimed(hot_pool, made)
    await apply(hot_pool, [ack(one)])

    assert await finish_sent(hot_pool, [sent(one)]) == {one.id}

    assert await status_of(hot_pool, one.id) is S.DELIVERED
    assert await hot_pool.fetchval("SELECT next_attempt_at FROM deliveries WHERE id = $1", one.id) is None
    assert sorted(await kinds(hot_pool, one.id)) == [EventKind.ATTEMPT_SENT.code, EventKind.DELIVERED.code]
    assert await outbox_ids(hot_pool, made) == set()


async def test_a_second_copy_of_an_acknowledgement_is_left_to_the_others(hot_pool: asyncpg.Pool, owner: Owner) -> None:
    [one] = await claimed(hot_pool, pushes(owner))
    await apply(hot_pool, [ack(one)])

    assert await finish_sent(hot_pool, [sent(one)], {one.id: ack(one)}) == set()

    assert (await finish(hot_pool, [sent(one)])).written == {one.id}
    assert sorted(await kinds(hot_pool, one.id)) == [EventKind.ATTEMPT_SENT.code, EventKind.DELIVERED.code]


async def test_a_lease_that_is_gone_writes_nothing(hot_pool: asyncpg.Pool, owner: Owner) -> None:
    [one] = await claimed(hot_pool, pushes(owner))
    late = sent(one)
    late.lease_token = uuid4()

    assert await finish_sent(hot_pool, [late], {one.id: ack(one)}) == set()

    assert await status_of(hot_pool, one.id) is S.SENDING
    assert await kinds(hot_pool, one.id) == []
    await finish_sent(hot_pool, [sent(one)])  # no test after this one finds a lease that has run out


@pytest.mark.parametrize("copies", [1, 2])
async def test_acknowledgements_count_once_and_only_for_their_device(
    hot_pool: asyncpg.Pool, owner: Owner, copies: int
) -> None:
    one, other = await claimed(hot_pool, pushes(owner, 2))
    await finish_sent(hot_pool, [sent(one), sent(other)])
    stranger = Receipt("gateway", ReceiptKind.DELIVERED, utc_now(), other.id, device_id=uuid4())

    answer = await apply(hot_pool, [*(ack(one) for _ in range(copies)), stranger])

    assert (answer.applied, answer.ignored, answer.unmatched) == (1, copies, [])
    assert await status_of(hot_pool, other.id) is S.SENT
    assert (await kinds(hot_pool, one.id)).count(EventKind.DELIVERED.code) == 1
