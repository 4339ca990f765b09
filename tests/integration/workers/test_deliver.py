"""Delivering: every outcome of a provider leads where it must, and no message outlives its work."""

import asyncio
import time
from uuid import UUID

from structlog.testing import capture_logs

from domain.delivery import DeliveryStatus
from domain.errors import Ambiguous, CircuitOpen, Permanent, RecipientGone, Throttled, Transient
from domain.lanes import Channel, Priority
from domain.reasons import Reason
from fanout.publish import publish_now
from plumbing import metrics
from tests.integration.tracking.builders import outbox_ids, person, records, status_of
from tests.integration.workers.stage import Stage, eventually
from tracking.cancel import cancel
from tracking.events import EventKind


async def test_what_is_accepted_is_sent_once_and_its_envelope_is_worked_off(stage: Stage, tenant: UUID) -> None:
    made = records(await person(stage.pool, tenant), 25)

    async with stage.worker():
        ids = await stage.accept(made)
        for one in ids:
            await stage.reaches(one, DeliveryStatus.SENT)

    assert sorted(called for called, _ in stage.channels.calls) == ids
    assert await outbox_ids(stage.pool, made) == set()
    assert await stage.is_drained()


async def test_a_copy_of_a_message_is_harmless(stage: Stage, tenant: UUID) -> None:
    made = records(await person(stage.pool, tenant), 10)
    ids = await stage.accept(made)
    for _ in range(3):
        await publish_now(stage.publisher, made.outbox)

    async with stage.worker():
        for one in ids:
            await stage.reaches(one, DeliveryStatus.SENT)
        await eventually(stage.is_drained)

    assert sorted(called for called, _ in stage.channels.calls) == ids


async def test_a_provider_that_names_a_time_is_left_alone_for_at_least_as_long(stage: Stage, tenant: UUID) -> None:
    made = records(await person(stage.pool, tenant), priority=Priority.CRITICAL)
    [one] = [row.id for row in made.deliveries]
    stage.channels.scripts[one].append(Throttled(Reason.PROVIDER_THROTTLED, "slower", retry_after_s=100_000))

    async with stage.worker():
        await stage.accept(made)
        await stage.reaches(one, DeliveryStatus.FAILED)  # it expires in an hour: before the provider wants it

    reason = await stage.pool.fetchval("SELECT reason FROM deliveries WHERE id = $1", one)
    assert Reason.of(reason) is Reason.RETRIES_EXHAUSTED


async def test_a_failure_that_can_be_repaired_becomes_a_dead_letter(stage: Stage, tenant: UUID) -> None:
    made = records(await person(stage.pool, tenant))
    [one] = [row.id for row in made.deliveries]
    stage.channels.scripts[one].append(Permanent(Reason.TEMPLATE_ERROR, "no such filter"))

    async def is_archived() -> bool:
        return await stage.pool.fetchval("SELECT reason FROM dead_letters WHERE delivery_id = $1", one) is not None

    async with stage.worker():
        await stage.accept(made)
        await stage.reaches(one, DeliveryStatus.FAILED)
        await eventually(is_archived)

    letter = await stage.pool.fetchrow("SELECT * FROM dead_letters WHERE delivery_id = $1", one)
    assert letter is not None
    assert (letter["reason"], letter["detail"]) == ("template_error", "no such filter")
    assert stage.suppressed == []


async def test_a_dead_address_is_suppressed_and_is_no_dead_letter(stage: Stage, tenant: UUID) -> None:
    made = records(await person(stage.pool, tenant))
    [one] = [row.id for row in made.deliveries]
    stage.channels.scripts[one].append(RecipientGone(Reason.ADDRESS_REJECTED, "550 5.1.1"))

    async with stage.worker():
        await stage.accept(made)
        await stage.reaches(one, DeliveryStatus.FAILED)
        await eventually(stage.is_drained)

    assert stage.suppressed == [one]
    assert await stage.pool.fetchval("SELECT count(*) FROM dead_letters WHERE delivery_id = $1", one) == 0


async def test_an_ambiguous_outcome_is_held_or_tried_again_as_its_category_says(stage: Stage, tenant: UUID) -> None:
    who = await person(stage.pool, tenant)
    held, repeated = records(who), records(who, priority=Priority.CRITICAL)
    held_one, repeated_one = held.deliveries[0].id, repeated.deliveries[0].id
    silence = Ambiguous(Reason.PROVIDER_SILENT, "no answer")
    stage.channels.scripts[held_one].append(silence)
    stage.channels.scripts[repeated_one].append(silence)

    async with stage.worker():
        stage.repeats = False
        await stage.accept(held)
        await stage.reaches(held_one, DeliveryStatus.AMBIGUOUS)
        stage.repeats = True
        await stage.accept(repeated)
        await stage.reaches(repeated_one, DeliveryStatus.SENT)

    outcomes = [EventKind.ATTEMPT_AMBIGUOUS.code, EventKind.ATTEMPT_SENT.code]
    assert await stage.events(held_one) == outcomes[:1]
    assert await stage.events(repeated_one) == outcomes
    assert stage.channels.count(held_one) == 1
    assert stage.channels.count(repeated_one) == 2


async def test_while_the_breaker_is_open_no_slot_is_handed_out(stage: Stage, tenant: UUID) -> None:
    who = await person(stage.pool, tenant)
    refused, later = records(who), records(who, 3, priority=Priority.CRITICAL, envelope_size=1)
    stage.channels.scripts[refused.deliveries[0].id].append(CircuitOpen("scripted", retry_after_s=30.0))

    async with stage.worker() as worker:
        [one] = await stage.accept(refused)

        async def was_given_back() -> bool:
            return await stage.events(one) == [EventKind.NOT_SENT.code]

        await eventually(was_given_back)
        ids = await stage.accept(later)

        async def the_worker_has_them() -> bool:
            return worker.waiting == 3

        await eventually(the_worker_has_them)

    assert stage.channels.calls == [(one, stage.channels.calls[0][1])]
    assert {await status_of(stage.pool, each) for each in (one, *ids)} == {DeliveryStatus.QUEUED}


async def test_a_delivery_cancelled_in_flight_does_not_rest(stage: Stage, tenant: UUID) -> None:
    made = records(await person(stage.pool, tenant))
    [one] = [row.id for row in made.deliveries]
    stage.channels.gate = asyncio.Event()
    stage.channels.scripts[one].append(Transient(Reason.PROVIDER_UNAVAILABLE))

    async with stage.worker():
        await stage.accept(made)

        async def is_in_flight() -> bool:
            return stage.channels.in_flight == 1

        await eventually(is_in_flight)
        await cancel(stage.pool, tenant, made.notifications[0].id)
        stage.channels.gate.set()
        await stage.reaches(one, DeliveryStatus.CANCELLED)

    assert stage.channels.count(one) == 1


async def test_what_has_expired_is_not_sent(stage: Stage, tenant: UUID) -> None:
    made = records(await person(stage.pool, tenant), expires_in_s=-1)
    [one] = [row.id for row in made.deliveries]

    counted = metrics.DELIVERIES.labels(channel=Channel.EMAIL, status=DeliveryStatus.EXPIRED)
    before = counted._value.get()

    with capture_logs() as lines:
        async with stage.worker():
            await stage.accept(made)
            await stage.reaches(one, DeliveryStatus.EXPIRED)

    assert stage.channels.calls == []
    assert [line["event"] for line in lines if line.get("delivery_id") == str(one)] == ["delivery.expired"]
    assert counted._value.get() - before == 1


async def test_after_an_opt_out_no_provider_call_begins_later_than_a_second(stage: Stage, tenant: UUID) -> None:
    who = await person(stage.pool, tenant)
    stage.channels.delay_s = 0.01

    async with stage.worker(slots={Channel.EMAIL: 4}):
        await stage.accept(records(who, 600))

        async def is_busy() -> bool:
            return len(stage.channels.calls) > 50

        await eventually(is_busy)
        await stage.pool.execute("UPDATE users SET version = version + 1 WHERE id = $1", who.user_id)
        opted_out_at = time.time()
        await eventually(stage.is_drained)

    assert 0 < len(stage.channels.calls) < 600
    assert max(at for _, at in stage.channels.calls) - opted_out_at < 1.0


async def test_what_passes_a_second_judgement_is_sent(stage: Stage, tenant: UUID) -> None:
    who = await person(stage.pool, tenant)
    made = records(who, 5)
    stage.passes = {row.id for row in made.deliveries}
    await stage.pool.execute("UPDATE users SET version = version + 1 WHERE id = $1", who.user_id)

    async with stage.worker():
        for one in await stage.accept(made):
            await stage.reaches(one, DeliveryStatus.SENT)

    assert sorted(called for called, _ in stage.channels.calls) == sorted(stage.passes)


async def test_a_message_nobody_can_read_is_archived_and_stops_nothing(stage: Stage, tenant: UUID) -> None:
    made = records(await person(stage.pool, tenant))
    mark = str(tenant)

    async with stage.worker():
        await stage.publish_raw("email.normal", ("{" + mark).encode())
        [one] = await stage.accept(made)
        await stage.reaches(one, DeliveryStatus.SENT)

        async def is_archived() -> bool:
            return (
                await stage.pool.fetchval("SELECT 1 FROM dead_letters WHERE evidence->>'body' = $1", "{" + mark)
                is not None
            )

        await eventually(is_archived)


async def test_what_a_test_key_sends_ends_no_trial_of_the_provider(stage: Stage, tenant: UUID) -> None:
    who = await person(stage.pool, tenant)
    refused, made = records(who), records(who, 4)
    stage.channels.scripts[refused.deliveries[0].id].append(CircuitOpen("scripted", retry_after_s=1.0))
    of_test_key, *live = made.outbox[0].delivery_ids
    stage.channels.delay_s = 0.3

    async with stage.worker():
        [one] = await stage.accept(refused)

        async def was_given_back() -> bool:
            return await stage.events(one) == [EventKind.NOT_SENT.code]

        await eventually(was_given_back)
        await stage.accept(made)
        await stage.pool.execute("UPDATE deliveries SET mode = 2 WHERE id = $1", of_test_key)
        for each in live:
            await stage.reaches(each, DeliveryStatus.SENT)

    trial, *others = sorted(at for called, at in stage.channels.calls if called in live)
    assert min(others) - trial >= stage.channels.delay_s
