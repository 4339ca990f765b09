"""What a device says of a push that was handed over: acknowledged, seen, superseded, of no use; or it is absent."""

import asyncio
from uuid import UUID

import pytest

from channels.push import mailbox
from domain.clock import utc_now
from domain.delivery import DeliveryStatus
from domain.reasons import Reason
from domain.receipts import Receipt, ReceiptKind
from fanout.relay import Relay
from tests.integration.push.later import detail_of, never, told
from tests.integration.push.people import an_owner, pushes
from tests.integration.push.stage import PushStage
from tests.integration.tracking.builders import make_due
from tests.integration.workers.stage import eventually
from tracking import receipts
from tracking.claim import claim
from tracking.events import EventKind
from tracking.sweep import sweep

S = DeliveryStatus


async def test_an_acknowledgement_ends_the_wait_and_the_envelope(push: PushStage, tenant: UUID) -> None:
    owner = await an_owner(push.pool, tenant, devices=3)
    made = pushes(owner)

    async with push.gateway() as gateway, push.worker():
        for device in owner.devices:
            await gateway.login(device)
        ids = await push.accept(made)
        for one in ids:
            await push.reaches(one, S.SENT)
        await gateway.report(ReceiptKind.DELIVERED, *zip(owner.devices, ids, strict=True))
        for one in ids:
            await push.reaches(one, S.DELIVERED)

    assert not await push.is_watched(made)
    assert (await push.row(ids[0]))["next_attempt_at"] is None
    assert await push.events(ids[0]) == [EventKind.ATTEMPT_SENT, EventKind.DELIVERED]


async def test_an_acknowledgement_of_a_stored_push_takes_its_letter_away(push: PushStage, tenant: UUID) -> None:
    owner = await an_owner(push.pool, tenant)
    async with push.gateway() as gateway, push.worker():
        [acked, left] = await push.accept(pushes(owner, 2))
        for one in (acked, left):
            await push.reaches(one, S.STORED)
        await gateway.report(ReceiptKind.DELIVERED, (owner.device, acked), (owner.device, acked))
        await push.reaches(acked, S.DELIVERED)

    assert await push.mail(owner.device) == [left]


async def test_a_device_speaks_only_for_its_own_pushes(push: PushStage, tenant: UUID) -> None:
    owner, stranger = await an_owner(push.pool, tenant), await an_owner(push.pool, tenant)
    async with push.worker():
        [one] = await push.accept(pushes(owner))
        await push.reaches(one, S.STORED)

    for kind in (ReceiptKind.DELIVERED, ReceiptKind.SEEN, ReceiptKind.FAILED, ReceiptKind.ABSENT):
        await told(push, kind, stranger.device, [one])

    assert (await push.row(one))["status"] == S.STORED.code
    assert await push.mail(owner.device) == [one]
    assert await push.events(one) == [EventKind.ATTEMPT_STORED]


async def test_an_acknowledgement_that_overtakes_the_workers_own_note_stands(push: PushStage, tenant: UUID) -> None:
    owner = await an_owner(push.pool, tenant)
    made = pushes(owner)
    crew = push.crew()
    finish = asyncio.Event()

    async with push.gateway() as gateway:
        await gateway.login(owner.device)
        send = crew.sending.send

        async def send_and_dawdle(*call: object) -> object:
            outcomes = await send(*call)  # type: ignore[arg-type]  # handed through
            await finish.wait()
            return outcomes

        object.__setattr__(crew, "sending", _With(crew.sending, send_and_dawdle))
        async with push.worker(crew):
            [one] = await push.accept(made)

            async def was_handed_over() -> bool:
                return gateway.deliveries == [one]

            await eventually(was_handed_over)
            await told(push, ReceiptKind.DELIVERED, owner.device, [one])
            assert (await push.row(one))["status"] == S.DELIVERED.code
            finish.set()

            async def is_noted() -> bool:
                return EventKind.ATTEMPT_SENT in await push.events(one)

            await eventually(is_noted)

    row = await push.row(one)
    assert (row["status"], row["next_attempt_at"], row["lease_token"]) == (S.DELIVERED.code, None, None)
    assert not await push.is_watched(made)


class _With:
    """Channels whose `send` is another."""

    def __init__(self, channels: object, send: object) -> None:
        self._channels = channels
        self.send = send

    def __getattr__(self, name: str) -> object:
        return getattr(self._channels, name)


async def test_an_absent_device_sends_its_push_to_the_mailbox_at_once(push: PushStage, tenant: UUID) -> None:
    owner = await an_owner(push.pool, tenant)
    made = pushes(owner)

    async with push.gateway() as gateway, push.worker():
        await gateway.login(owner.device)
        [one] = await push.accept(made)
        await push.reaches(one, S.SENT)
        await gateway.report(ReceiptKind.ABSENT, (owner.device, one))
        await push.reaches(one, S.QUEUED)
        relay = Relay(push.pool, push.publisher)
        while (await push.row(one))["status"] == S.QUEUED.code:  # others' leftovers may stand before it
            await relay.turn()
        await push.reaches(one, S.STORED)

    assert await push.mail(owner.device) == [one]
    assert (await detail_of(push, one, EventKind.REQUEUED))["reason"] == Reason.DEVICE_OFFLINE


async def test_an_absence_that_overtakes_the_workers_note_is_tried_again(push: PushStage, tenant: UUID) -> None:
    owner = await an_owner(push.pool, tenant)
    [one] = await push.accept(pushes(owner))
    await claim(push.pool, [one], lease_s=20)

    early = Receipt("gateway", ReceiptKind.ABSENT, utc_now(), delivery_id=one, device_id=owner.device)
    answer = await receipts.apply(push.pool, [early])

    assert (answer.early, answer.applied, answer.unmatched) == ([early], 0, [])
    assert (await push.row(one))["status"] == S.SENDING.code


async def test_an_absence_while_the_envelope_is_locked_is_left_to_the_sweeper(push: PushStage, tenant: UUID) -> None:
    owner = await an_owner(push.pool, tenant)
    made = pushes(owner)
    async with push.gateway() as gateway, push.worker():
        await gateway.login(owner.device)
        [one] = await push.accept(made)
        await push.reaches(one, S.SENT)

    async with push.pool.acquire() as conn, conn.transaction():
        await conn.execute("SELECT 1 FROM outbox WHERE id = $1 FOR UPDATE", made.outbox[0].id)
        await told(push, ReceiptKind.ABSENT, owner.device, [one])

    assert (await push.row(one))["status"] == S.SENT.code
    await make_due(push.pool, tenant)
    async with push.pool.acquire() as conn:
        report = await sweep(conn, limit=100, drained=[], policy=never)
    assert one in report.overdue


async def test_seen_leaves_one_event_and_counts_as_delivered(push: PushStage, tenant: UUID) -> None:
    owner = await an_owner(push.pool, tenant)
    made = pushes(owner)
    async with push.gateway() as gateway, push.worker():
        await gateway.login(owner.device)
        [one] = await push.accept(made)
        await push.reaches(one, S.SENT)

    await told(push, ReceiptKind.SEEN, owner.device, [one, one])
    await told(push, ReceiptKind.SEEN, owner.device, [one])

    events = await push.events(one)
    assert (await push.row(one))["status"] == S.DELIVERED.code
    assert (events.count(EventKind.SEEN), events.count(EventKind.DELIVERED)) == (1, 1)
    assert not await push.is_watched(made)


@pytest.mark.parametrize("is_stored", [False, True])
async def test_a_push_that_was_superseded_at_its_device_ends_collapsed_by_its_successor(
    push: PushStage, tenant: UUID, is_stored: bool
) -> None:
    owner = await an_owner(push.pool, tenant)
    made = pushes(owner, collapse_id="score")
    async with push.gateway() as gateway, push.worker():
        if not is_stored:
            await gateway.login(owner.device)
        [one] = await push.accept(made)
        await push.reaches(one, S.STORED if is_stored else S.SENT)

    successor = "0" * 36
    await told(push, ReceiptKind.COLLAPSED, owner.device, [one], detail=successor)

    assert (await push.row(one))["status"] == S.COLLAPSED.code
    assert await push.mail(owner.device) == []
    assert (await detail_of(push, one, EventKind.COLLAPSED))["by"] == successor
    assert not await push.is_watched(made)


async def test_a_device_that_could_not_use_it_ends_it_with_its_reason(push: PushStage, tenant: UUID) -> None:
    owner = await an_owner(push.pool, tenant)
    async with push.gateway() as gateway, push.worker():
        await gateway.login(owner.device)
        [one] = await push.accept(pushes(owner))
        await push.reaches(one, S.SENT)

    report = Receipt("gateway", ReceiptKind.FAILED, utc_now(), one, device_id=owner.device, reason=Reason.NOT_DECODABLE)
    await receipts.apply(push.pool, [report], forget=mailbox.forget)

    row = await push.row(one)
    assert (row["status"], row["reason"]) == (S.FAILED.code, Reason.NOT_DECODABLE.code)
