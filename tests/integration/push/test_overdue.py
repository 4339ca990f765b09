"""A push of which nothing is heard, or that nobody wants any more: overdue, withdrawn, too late."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg

from channels.push import mailbox
from channels.push.hints import withdraw
from domain.delivery import DeliveryStatus
from domain.reasons import Reason
from domain.receipts import ReceiptKind
from fanout.relay import Relay
from plumbing import metrics, push_metrics
from plumbing.push_metrics import ExpiredWhere, PushStatus
from tests.integration.push.later import detail_of, never, overdue, told
from tests.integration.push.people import an_owner, pushes
from tests.integration.push.stage import PushStage
from tests.integration.push.test_handing_over import alert
from tests.integration.workers.stage import eventually
from tracking.cancel import CancelOutcome, cancel
from tracking.events import EventKind
from workers.duties import Duties

S = DeliveryStatus


async def test_what_nobody_acknowledges_goes_to_the_mailbox_and_its_gateway_is_told(
    push: PushStage, tenant: UUID
) -> None:
    owner = await an_owner(push.pool, tenant)
    made = pushes(owner)

    async with push.gateway() as gateway, push.worker():
        await gateway.login(owner.device)
        [one] = await push.accept(made)
        await push.reaches(one, S.SENT)
        await overdue(push.pool, tenant)
        assert (await push.row(one))["status"] == S.QUEUED.code
        await Relay(push.pool, push.publisher).turn()
        await push.reaches(one, S.STORED)

        async def is_told() -> bool:
            return gateway.drains == [owner.device]

        await eventually(is_told)

    assert gateway.deliveries == [one], "it was handed over once, the second time is the mailbox's"
    assert await push.events(one) == [EventKind.ATTEMPT_SENT, EventKind.REQUEUED, EventKind.ATTEMPT_STORED]
    assert (await detail_of(push, one, EventKind.REQUEUED))["reason"] == Reason.ACK_OVERDUE
    assert (await push.row(one))["attempt"] == 2


async def test_what_was_not_acknowledged_is_kept_by_an_app_that_refuses_what_is_new(
    push: PushStage, tenant: UUID
) -> None:
    owner = await an_owner(push.pool, tenant, overflow="reject")

    async with push.gateway() as gateway, push.worker():
        entry = await gateway.login(owner.device)
        [one] = await push.accept(pushes(owner))
        await push.reaches(one, S.SENT)
        await gateway.presence.leave([entry])
        full = await push.accept(pushes(owner, 100))
        for other in full:
            await push.reaches(other, S.STORED)
        await overdue(push.pool, tenant)
        await Relay(push.pool, push.publisher).turn()
        await push.reaches(one, S.STORED)

    assert sorted(await push.mail(owner.device)) == sorted([one, *full])


async def test_who_was_replaced_while_it_was_queued_again_is_collapsed_and_not_sent_after_its_successor(
    push: PushStage, tenant: UUID
) -> None:
    owner = await an_owner(push.pool, tenant)

    async with push.gateway() as gateway, push.worker():
        await gateway.login(owner.device)
        [old] = await push.accept(pushes(owner, collapse_id="score"))
        await push.reaches(old, S.SENT)
        await overdue(push.pool, tenant)
        assert (await push.row(old))["status"] == S.QUEUED.code
        [new] = await push.accept(pushes(owner, collapse_id="score"))
        await push.reaches(new, S.SENT)
        await told(push, ReceiptKind.COLLAPSED, owner.device, [old], detail=str(new))
        await Relay(push.pool, push.publisher).turn()
        await push.reaches(old, S.COLLAPSED)

    assert await push.mail(owner.device) == []
    assert gateway.deliveries == [old, new]
    assert (await detail_of(push, old, EventKind.COLLAPSED))["by"] == str(new)


async def test_a_push_that_is_too_late_when_claimed_expires_and_is_counted(push: PushStage, tenant: UUID) -> None:
    owner = await an_owner(push.pool, tenant)
    counted = push_metrics.SENT.labels(priority="10", status=PushStatus.EXPIRED)
    before = counted._value.get()

    async with push.gateway() as gateway, push.worker():
        await gateway.login(owner.device)
        [one] = await push.accept(pushes(owner, expires_in_s=-1))
        await push.reaches(one, S.EXPIRED)

    assert gateway.frames == []
    assert counted._value.get() == before + 1


async def test_a_push_for_this_moment_only_has_no_second_one(push: PushStage, tenant: UUID) -> None:
    owner = await an_owner(push.pool, tenant)

    async with push.gateway() as gateway, push.worker():
        await gateway.login(owner.device)
        [one] = await push.accept(pushes(owner, parts=alert(is_live_only=True)))
        await push.reaches(one, S.SENT)
        await overdue(push.pool, tenant)
        await Relay(push.pool, push.publisher).turn()
        await push.reaches(one, S.EXPIRED)

    assert await push.mail(owner.device) == []
    assert Reason.of((await push.row(one))["reason"]) is Reason.DEVICE_OFFLINE


async def test_a_cancelled_notification_leaves_no_letter_and_asks_devices_to_take_it_back(
    push: PushStage, tenant: UUID
) -> None:
    owner = await an_owner(push.pool, tenant, devices=2)
    made = pushes(owner)
    async with push.gateway() as gateway, push.worker():
        await gateway.login(owner.devices[0])
        sent, stored = await push.accept(made)
        await push.reaches(sent, S.SENT)
        await push.reaches(stored, S.STORED)

        found = await cancel(push.pool, tenant, made.notifications[0].id, forget=mailbox.forget)
        assert found is not None
        reached = [(each.device_id, each.delivery_id) for each in found if each.device_id is not None]
        await withdraw(push.publisher, reached)

        async def is_told() -> bool:
            return sorted(gateway.withdrawn) == sorted(zip(owner.devices, (sent, stored), strict=True))

        await eventually(is_told)
        assert [each.outcome for each in found] == [CancelOutcome.ALREADY_SENT, CancelOutcome.WITHDRAWN]
        assert await push.mail(*owner.devices) == []
        assert (await push.row(stored))["status"] == S.CANCELLED.code
        await overdue(push.pool, tenant)

    assert (await push.row(sent))["status"] == S.CANCELLED.code, "withdrawn and never acknowledged: not sent again"
    again = await cancel(push.pool, tenant, made.notifications[0].id, forget=mailbox.forget)
    assert again is not None
    assert [each.outcome for each in again] == [CancelOutcome.WITHDRAWN, CancelOutcome.WITHDRAWN]
    assert not await push.is_watched(made)


async def test_a_push_whose_time_ends_while_its_acknowledgement_is_awaited_expires(
    push: PushStage, tenant: UUID
) -> None:
    owner = await an_owner(push.pool, tenant)
    async with push.gateway() as gateway, push.worker():
        await gateway.login(owner.device)
        [one] = await push.accept(pushes(owner))
        await push.reaches(one, S.SENT)
    await push.pool.execute("UPDATE deliveries SET expires_at = now() - interval '1 s' WHERE id = $1", one)

    await overdue(push.pool, tenant)

    assert (await push.row(one))["status"] == S.EXPIRED.code


def _counted(where: ExpiredWhere) -> float:
    value = metrics.REGISTRY.get_sample_value("apns_notifications_expired_total", {"where": where})
    assert value is not None
    return value


async def test_the_leader_ends_what_expired_in_mailboxes_and_counts_what_waits(push: PushStage, tenant: UUID) -> None:
    owner = await an_owner(push.pool, tenant)
    async with push.worker():
        [late, left] = await push.accept(pushes(owner, 2))
        for one in (late, left):
            await push.reaches(one, S.STORED)
    await push.pool.execute("UPDATE mailbox SET expires_at = now() - interval '1 s' WHERE delivery_id = $1", late)
    before = _counted(ExpiredWhere.SWEEPER)

    @asynccontextmanager
    async def led() -> AsyncIterator[asyncpg.Connection]:
        async with push.pool.acquire() as conn, conn.transaction():
            yield conn

    duties = Duties(push.publisher, never, 13)
    while await duties.expire_mail(led):
        pass
    await duties.count_mail(led)

    row = await push.row(late)
    assert (row["status"], row["problem"], row["reason"]) == (
        S.EXPIRED.code,
        S.EXPIRED.code,
        Reason.EXPIRED.code,
    )
    assert (await detail_of(push, late, EventKind.EXPIRED))["where"] == "sweeper"
    assert await push.mail(owner.device) == [left]
    assert _counted(ExpiredWhere.SWEEPER) > before
    assert (metrics.REGISTRY.get_sample_value("apns_pending_notifications") or 0) >= 1


async def test_a_push_that_is_too_late_when_claimed_is_counted_as_such(push: PushStage, tenant: UUID) -> None:
    owner = await an_owner(push.pool, tenant)
    before = _counted(ExpiredWhere.CLAIM)

    async with push.worker():
        [one] = await push.accept(pushes(owner, expires_in_s=-1))
        await push.reaches(one, S.EXPIRED)

    assert _counted(ExpiredWhere.CLAIM) == before + 1
