"""From a claimed push to its gateway or its mailbox, with a real worker and a gateway that takes everything down."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest

from domain.delivery import DeliveryStatus
from domain.notification import Mode, PushParts
from domain.push import ACK_WITHIN_S
from domain.reasons import Reason
from tests.integration.push.people import an_owner, pushes
from tests.integration.push.stage import PushStage
from tests.integration.workers.stage import eventually
from tracking.events import EventKind

S = DeliveryStatus


def alert(wake: int | None = None, **more: Any) -> PushParts:
    return PushParts({"aps": {"alert": "Hello"}}, wake, **more)


def silent(**more: Any) -> PushParts:
    return PushParts({"aps": {"content-available": 1}}, **more)


async def has(gateway: Any, *deliveries: UUID) -> None:
    """Wait until the gateway was told to hand these over."""

    async def told() -> bool:
        return set(deliveries) <= set(gateway.deliveries)

    await eventually(told, what="the frames")


async def test_a_connected_device_gets_its_push_and_the_delivery_waits_for_the_acknowledgement(
    push: PushStage, tenant: UUID
) -> None:
    owner = await an_owner(push.pool, tenant)
    made = pushes(owner, collapse_id="score")

    async with push.gateway() as gateway, push.worker():
        await gateway.login(owner.device)
        [one] = await push.accept(made)
        await push.reaches(one, S.SENT)

    [frame] = gateway.frames
    text = msgspec.json.decode(frame.body)
    assert (UUID(bytes=frame.device), frame.wake, frame.collapse_id) == (owner.device, 10, "score")
    assert (text["id"], text["payload"], text["stored"]) == (str(one), {"aps": {"alert": "Hello"}}, False)
    row = await push.row(one)
    assert (row["provider"], row["provider_id"]) == ("gateway", "north")
    assert 0 < (row["next_attempt_at"] - row["updated_at"]).total_seconds() <= ACK_WITHIN_S
    assert await push.is_watched(made), "somebody must look when the acknowledgement does not come"
    assert await push.mail(owner.device) == []


async def test_pushes_of_a_slice_go_in_one_message_to_each_node(push: PushStage, tenant: UUID) -> None:
    owner = await an_owner(push.pool, tenant, devices=40)

    async with push.gateway("north") as north, push.gateway("south") as south:
        for place, device in enumerate(owner.devices):
            await (north if place % 2 else south).login(device)
        ids = await push.accept(pushes(owner))
        async with push.worker():
            for one in ids:
                await push.reaches(one, S.SENT)

    assert sorted([*north.deliveries, *south.deliveries]) == ids
    assert (north.messages, south.messages) == (1, 1)


async def test_an_absent_device_gets_a_letter_and_the_envelope_is_worked_off(push: PushStage, tenant: UUID) -> None:
    owner = await an_owner(push.pool, tenant)
    made = pushes(owner)

    async with push.worker():
        [one] = await push.accept(made)
        await push.reaches(one, S.STORED)

    row = await push.row(one)
    assert await push.mail(owner.device) == [one]
    assert (Reason.of(row["reason"]), row["problem"]) == (Reason.DEVICE_OFFLINE, None)
    assert await push.events(one) == [EventKind.ATTEMPT_STORED]
    assert not await push.is_watched(made)


@dataclass
class Case:
    """A push, its device, and what becomes of it."""

    parts: PushParts
    status: DeliveryStatus
    reason: Reason | None = None
    is_there: bool = True
    is_napping: bool = False


CASES = {
    "wake 10 wakes a napping device": Case(alert(10), S.SENT, is_napping=True),
    "wake 5 reaches an awake one": Case(alert(5), S.SENT),
    "wake 5 waits for a napping one": Case(alert(5), S.STORED, Reason.POWER_NAP, is_napping=True),
    "wake 1 is batched": Case(alert(1), S.STORED, Reason.POWER_NAP),
    "live only reaches a connected one": Case(alert(is_live_only=True), S.SENT),
    "live only does not mind a nap": Case(alert(5, is_live_only=True), S.SENT, is_napping=True),
    "live only is never batched": Case(alert(1, is_live_only=True), S.SENT),
    "live only lapses when away": Case(alert(is_live_only=True), S.EXPIRED, Reason.DEVICE_OFFLINE, is_there=False),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
async def test_the_way_of_a_push_depends_on_its_wake_and_on_its_device(
    push: PushStage, tenant: UUID, case: Case
) -> None:
    owner = await an_owner(push.pool, tenant)

    async with push.gateway() as gateway, push.worker():
        if case.is_there:
            await gateway.login(owner.device, is_napping=case.is_napping)
        [one] = await push.accept(pushes(owner, parts=case.parts))
        await push.reaches(one, case.status)

    row = await push.row(one)
    assert (Reason.of(row["reason"]) if row["reason"] else None) is case.reason
    assert await push.mail(owner.device) == ([one] if case.status is S.STORED else [])
    assert gateway.deliveries == ([one] if case.status is S.SENT else [])


async def test_silent_pushes_beyond_the_budget_wait_and_only_the_newest_of_them_is_kept(
    push: PushStage, tenant: UUID
) -> None:
    owner = await an_owner(push.pool, tenant, silent_per_hour=2)

    async with push.gateway() as gateway, push.worker():
        await gateway.login(owner.device)
        within: list[UUID] = []
        beyond: list[UUID] = []
        for place in range(5):
            [one] = await push.accept(pushes(owner, parts=silent()))
            (within if place < 2 else beyond).append(one)
            await push.reaches(one, S.SENT if place < 2 else S.STORED)
        for one in beyond[:-1]:
            await push.reaches(one, S.COLLAPSED)

    assert gateway.deliveries == within
    assert await push.mail(owner.device) == [beyond[-1]]
    wait_s = await push.pool.fetchval(
        "SELECT extract(epoch FROM not_before - stored_at) FROM mailbox WHERE delivery_id = $1", beyond[-1]
    )
    assert 600 < wait_s <= 1800, "the next of two an hour"
    assert Reason.of((await push.row(beyond[-1]))["reason"]) is Reason.SILENT_BUDGET


async def test_collapse_in_the_mailbox_keeps_the_newest_even_when_an_older_one_arrives_after_it(
    push: PushStage, tenant: UUID
) -> None:
    owner = await an_owner(push.pool, tenant)
    made = (pushes(owner, collapse_id="score") for _ in range(2))
    older, newer = sorted(made, key=lambda one: one.notifications[0].id)

    async with push.worker():
        [new] = await push.accept(newer)
        await push.reaches(new, S.STORED)
        [old] = await push.accept(older)
        await push.reaches(old, S.COLLAPSED)

    assert old < new
    assert await push.mail(owner.device) == [new]
    assert await push.events(old) == [EventKind.COLLAPSED]
    detail = await push.pool.fetchval("SELECT detail FROM events WHERE delivery_id = $1", old)
    assert msgspec.json.decode(detail)["by"] == str(new)
    assert not await push.is_watched(older)


async def test_whoever_makes_room_in_a_full_mailbox_is_told_of(push: PushStage, tenant: UUID) -> None:
    owner = await an_owner(push.pool, tenant)

    async with push.worker():
        ids = await push.accept(pushes(owner, 103))
        for one in ids[3:]:
            await push.reaches(one, S.STORED)
        for one in ids[:3]:
            await push.reaches(one, S.FAILED)

    assert await push.mail(owner.device) == ids[3:]
    for one in ids[:3]:
        assert Reason.of((await push.row(one))["reason"]) is Reason.MAILBOX_FULL
        assert (await push.events(one))[-1] in (EventKind.FAILED, EventKind.ATTEMPT_FAILED)


async def test_an_app_that_wants_it_so_refuses_what_a_full_mailbox_cannot_take(push: PushStage, tenant: UUID) -> None:
    owner = await an_owner(push.pool, tenant, overflow="reject")

    async with push.worker():
        first = await push.accept(pushes(owner, 100))
        for one in first:
            await push.reaches(one, S.STORED)
        [late] = await push.accept(pushes(owner))
        await push.reaches(late, S.FAILED)

    assert await push.mail(owner.device) == first
    assert Reason.of((await push.row(late))["reason"]) is Reason.MAILBOX_FULL


async def test_a_push_to_a_device_that_has_become_somebody_elses_reaches_nobody(push: PushStage, tenant: UUID) -> None:
    owner, other = await an_owner(push.pool, tenant, devices=2), await an_owner(push.pool, tenant)
    await push.pool.execute("UPDATE devices SET user_id = $2 WHERE id = $1", owner.devices[0], other.user_id)
    await push.pool.execute("UPDATE devices SET invalidated_at = now() WHERE id = $1", owner.devices[1])

    async with push.gateway() as gateway, push.worker():
        for device in owner.devices:
            await gateway.login(device)
        ids = await push.accept(pushes(owner))
        for one in ids:
            await push.reaches(one, S.FAILED)

    assert gateway.frames == []
    assert await push.mail(*owner.devices) == []
    assert {Reason.of((await push.row(one))["reason"]) for one in ids} == {Reason.DEVICE_GONE}


async def test_a_push_judged_at_an_older_version_of_its_user_is_judged_again_first(
    push: PushStage, tenant: UUID
) -> None:
    owner = await an_owner(push.pool, tenant)
    await push.pool.execute("UPDATE users SET version = 2 WHERE id = $1", owner.user_id)

    async with push.gateway() as gateway, push.worker() as worker:
        await gateway.login(owner.device)
        [stale] = await push.accept(pushes(owner))
        [fresh] = await push.accept(pushes(owner, version=2))
        await push.reaches(fresh, S.SENT)

        async def is_idle() -> bool:
            return worker.waiting == 0

        await eventually(is_idle)

    assert gateway.deliveries == [fresh]
    assert (await push.row(stale))["status"] == S.QUEUED.code


async def test_test_keys_reach_the_sink_and_wait_for_no_acknowledgement(push: PushStage, tenant: UUID) -> None:
    owner = await an_owner(push.pool, tenant, devices=3)
    made = pushes(owner, mode=Mode.TEST)

    async with push.gateway() as gateway, push.worker():
        await gateway.login(owner.device)
        ids = await push.accept(made)
        for one in ids:
            await push.reaches(one, S.SENT)

    assert gateway.frames == []
    assert not await push.is_watched(made)
    assert {(await push.row(one))["provider"] for one in ids} == {"simulated"}


async def test_a_cancelled_push_that_was_under_way_does_not_lie_in_the_mailbox(push: PushStage, tenant: UUID) -> None:
    owner = await an_owner(push.pool, tenant)
    crew = push.crew()
    compose: Callable[..., Any] = crew.compose

    async def compose_while_somebody_cancels(claimed: Any) -> Any:
        await push.pool.execute("UPDATE notifications SET cancelled_at = now() WHERE id = $1", claimed.notification_id)
        return await compose(claimed)

    object.__setattr__(crew, "compose", compose_while_somebody_cancels)
    async with push.worker(crew):
        [one] = await push.accept(pushes(owner))
        await push.reaches(one, S.CANCELLED)

    assert await push.mail(owner.device) == []


async def test_the_rows_that_finishing_writes_carry_what_the_gateway_needs(push: PushStage, tenant: UUID) -> None:
    owner = await an_owner(push.pool, tenant)

    async with push.worker():
        [one] = await push.accept(pushes(owner, parts=alert(5, topic="news"), collapse_id="x"))
        await push.reaches(one, S.STORED)

    row: asyncpg.Record = await push.pool.fetchrow("SELECT * FROM mailbox WHERE delivery_id = $1", one)
    assert (row["tenant_id"], row["device_id"], row["wake"]) == (tenant, owner.device, 5)
    assert (row["fold"], row["topic"], row["payload"]) == ("c:x", "news", b'{"aps":{"alert":"Hello"}}')
