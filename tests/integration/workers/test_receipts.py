"""Receipts by way of the broker: applied in any order, kept while their delivery is unknown, else archived."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import asyncpg
import msgspec
import pytest

from domain.clock import utc_now
from domain.delivery import DeliveryStatus
from domain.ids import delivery_id, notification_id
from domain.lanes import Channel
from domain.receipts import Receipt, ReceiptKind
from tests.integration.push.people import an_owner, kept, pushes
from tests.integration.tracking.builders import finished, person, recorded, records
from tests.integration.workers.stage import Stage, eventually
from tracking.claim import claim
from tracking.finish import finish
from workers.receipt_messages import encode, encode_many
from workers.receipts import Receipts


class Letter:
    """A message with a body, which remembers its acknowledgement."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.acked = 0
        self.rejected = 0

    async def ack(self) -> None:
        self.acked += 1

    async def reject_to_dead(self) -> None:
        self.rejected += 1


@pytest.fixture
async def buried() -> list[tuple[bytes, str]]:
    """What went to the dead receipts: body and reason."""
    return []


@pytest.fixture
async def applier(hot_pool: asyncpg.Pool, buried: list[tuple[bytes, str]]) -> AsyncIterator[Receipts]:
    """A consumer of receipts that waits a second in all where the real one waits minutes."""

    async def publish_dead(of: str, body: bytes, headers: dict[str, str | int]) -> bool:
        assert of == "receipts"
        buried.append((body, str(headers["x-reason"])))
        return True

    applier = Receipts(hot_pool, publish_dead, waits_s=(0.1, 0.3, 0.6))
    applier.open()
    yield applier
    await applier.close()


def receipt(delivery: UUID | None, kind: ReceiptKind = ReceiptKind.DELIVERED) -> Receipt:
    return Receipt("scripted", kind, utc_now() - timedelta(seconds=1), delivery)


async def sent(stage: Stage, tenant: UUID) -> UUID:
    """A delivery that was sent."""
    [one] = await recorded(stage.pool, records(await person(stage.pool, tenant)))
    answer = await claim(stage.pool, [one], lease_s=5)
    await finish(stage.pool, [finished(claimed) for claimed in answer.claimed])
    return one


async def test_a_receipt_raises_its_delivery(stage: Stage, tenant: UUID) -> None:
    one = await sent(stage, tenant)

    async with stage.worker({Channel.EMAIL: 1}):
        assert await stage.publisher.publish_receipts([encode(receipt(one))]) == 1
        await stage.reaches(one, DeliveryStatus.DELIVERED)


async def test_an_unmatched_receipt_waits_and_is_applied_when_its_delivery_appears(
    stage: Stage, tenant: UUID, applier: Receipts, buried: list[tuple[bytes, str]]
) -> None:
    made = records(await person(stage.pool, tenant))
    [one] = [row.id for row in made.deliveries]
    letter = Letter(encode(receipt(one)))
    applier.put(letter)
    [recorded_one] = await recorded(stage.pool, made)
    answer = await claim(stage.pool, [recorded_one], lease_s=5)
    await finish(stage.pool, [finished(claimed) for claimed in answer.claimed])

    await stage.reaches(one, DeliveryStatus.DELIVERED)

    async def is_acked() -> bool:
        return letter.acked == 1

    await eventually(is_acked)
    assert buried == []


async def test_a_receipt_that_never_matches_and_one_that_cannot_be_read_go_to_the_dead(
    applier: Receipts, buried: list[tuple[bytes, str]]
) -> None:
    stray = Letter(encode(receipt(delivery_id(notification_id(), 1))))
    nameless, noise = Letter(encode(receipt(None))), Letter(b"{")

    for letter in (stray, nameless, noise):
        applier.put(letter)

    async def all_are_acked() -> bool:
        return all(letter.acked == 1 for letter in (stray, nameless, noise))

    await eventually(all_are_acked)
    assert sorted(reason for _, reason in buried) == ["unmatched_receipt", "unmatched_receipt", "unreadable_receipt"]


async def test_a_receipt_that_postgresql_cannot_hold_is_buried_and_its_neighbours_are_applied(
    stage: Stage, tenant: UUID, applier: Receipts, buried: list[tuple[bytes, str]]
) -> None:
    one, other = await sent(stage, tenant), await sent(stage, tenant)
    unusable = Letter(encode(Receipt("scripted", ReceiptKind.DELIVERED, utc_now(), other, provider_id="a\0b")))

    for letter in (unusable, Letter(encode(receipt(one)))):
        applier.put(letter)
    await stage.reaches(one, DeliveryStatus.DELIVERED)
    applier.put(Letter(encode(receipt(other))))
    await stage.reaches(other, DeliveryStatus.DELIVERED)

    assert buried == [(unusable.body, "unusable_receipt")]
    assert unusable.acked == 1


async def test_a_receipt_that_cannot_be_published_to_the_dead_goes_there_by_its_queue(hot_pool: asyncpg.Pool) -> None:
    async def publish_dead(of: str, body: bytes, headers: dict[str, str | int]) -> bool:
        return False

    applier = Receipts(hot_pool, publish_dead)
    letter = Letter(b"unreadable")
    applier.open()
    applier.put(letter)

    async def is_rejected() -> bool:
        return letter.rejected == 1

    await eventually(is_rejected)
    await applier.close()
    assert letter.acked == 0


async def test_of_many_receipts_in_a_message_the_known_ones_count_at_once_and_the_others_wait(
    stage: Stage, tenant: UUID, applier: Receipts, buried: list[tuple[bytes, str]]
) -> None:
    known = await sent(stage, tenant)
    later = records(await person(stage.pool, tenant))
    [early] = [row.id for row in later.deliveries]
    never = delivery_id(notification_id(), 1)
    letter = Letter(encode_many([receipt(known), receipt(early), receipt(never), receipt(None)]))

    applier.put(letter)
    await stage.reaches(known, DeliveryStatus.DELIVERED)
    assert letter.acked == 0
    await recorded(stage.pool, later)
    await stage.reaches(early, DeliveryStatus.DELIVERED)

    async def is_acked() -> bool:
        return letter.acked == 1

    await eventually(is_acked)
    lost = [one.delivery_id for body, _ in buried for one in msgspec.json.decode(body, type=list[Receipt])]
    assert lost == [None, never]


async def test_one_guilty_receipt_of_a_message_is_buried_alone(
    stage: Stage, tenant: UUID, applier: Receipts, buried: list[tuple[bytes, str]]
) -> None:
    one, other = await sent(stage, tenant), await sent(stage, tenant)
    guilty = Receipt("scripted", ReceiptKind.DELIVERED, utc_now(), other, provider_id="a\0b")
    letter = Letter(encode_many([guilty, receipt(one)]))

    applier.put(letter)
    await stage.reaches(one, DeliveryStatus.DELIVERED)

    async def is_acked() -> bool:
        return letter.acked == 1

    await eventually(is_acked)
    assert [(msgspec.json.decode(body, type=list[Receipt]), reason) for body, reason in buried] == [
        ([guilty], "unusable_receipt")
    ]


async def test_an_absence_told_too_early_comes_again_until_the_worker_has_written_that_it_sent(
    hot_pool: asyncpg.Pool, stage: Stage, tenant: UUID, applier: Receipts
) -> None:
    owner = await an_owner(hot_pool, tenant)
    [one] = await kept(hot_pool, pushes(owner))
    [claimed] = (await claim(hot_pool, [one], lease_s=20)).claimed
    absent = Receipt("gateway", ReceiptKind.ABSENT, utc_now(), one, device_id=owner.device)
    letter = Letter(encode_many([absent, absent]))
    applier.put(letter)

    async def was_looked_at() -> bool:
        return bool(applier.waiting)

    await eventually(was_looked_at)
    await finish(hot_pool, [finished(claimed, next_attempt_at=utc_now() + timedelta(seconds=15))])

    await stage.reaches(one, DeliveryStatus.QUEUED)

    async def is_acked() -> bool:
        return letter.acked == 1

    await eventually(is_acked)
