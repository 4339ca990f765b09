"""Finishing: fenced, never lowering, and the envelope goes when nothing of it is open."""

from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
import msgspec
import pytest

from domain.clock import utc_now
from domain.delivery import DeliveryStatus
from domain.ids import uuid7
from domain.reasons import Reason
from domain.receipts import Receipt, ReceiptKind
from tests.integration.tracking.builders import (
    finished,
    let_leases_run_out,
    make_due,
    outbox_ids,
    person,
    recorded,
    records,
    status_of,
)
from tracking import receipts
from tracking.cancel import cancel
from tracking.claim import claim
from tracking.dead.letters import DeadLetter
from tracking.events import EventKind
from tracking.finish import finish, give_back
from tracking.sweep import sweep


async def _retry(_tenant: UUID, _category: str) -> str:
    return "retry"


async def _events(pool: asyncpg.Pool, delivery: UUID) -> list[tuple[EventKind, int, dict[str, object]]]:
    rows = await pool.fetch(
        "SELECT kind, attempt, detail FROM events WHERE delivery_id = $1 ORDER BY at, kind", delivery
    )
    return [(EventKind.of(row["kind"]), row["attempt"], msgspec.json.decode(row["detail"])) for row in rows]


async def test_a_sent_delivery_keeps_the_providers_answer_in_its_event(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    ids = await recorded(hot_pool, records(await person(hot_pool, tenant)))
    won = await claim(hot_pool, ids, lease_s=20)

    result = await finish(hot_pool, [finished(won.claimed[0])])

    assert result.written == set(ids)
    row = await hot_pool.fetchrow(
        "SELECT status, lease_token, lease_until, provider FROM deliveries WHERE id = $1", *ids
    )
    assert tuple(row) == (DeliveryStatus.SENT.code, None, None, "smtp")
    ((kind, attempt, facts),) = await _events(hot_pool, ids[0])
    assert (kind, attempt, facts["status"], facts["answer"]) == (EventKind.ATTEMPT_SENT, 1, "sent", "250 OK")
    assert facts["duration_ms"] == pytest.approx(12.3)


async def test_a_late_worker_writes_nothing(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    ids = await recorded(hot_pool, records(await person(hot_pool, tenant)))
    late = (await claim(hot_pool, ids, lease_s=20)).claimed[0]
    await let_leases_run_out(hot_pool, ids)
    await make_due(hot_pool, tenant)
    async with hot_pool.acquire() as conn:
        await sweep(conn, limit=100, drained=(), policy=_retry)
    newer = (await claim(hot_pool, ids, lease_s=20)).claimed[0]

    result = await finish(hot_pool, [finished(late, DeliveryStatus.FAILED)])

    assert result.written == set()
    assert await status_of(hot_pool, ids[0]) is DeliveryStatus.SENDING
    assert (newer.attempt, newer.crashes) == (2, 1)
    assert [kind for kind, _, _ in await _events(hot_pool, ids[0])] == [EventKind.ATTEMPT_UNKNOWN]


async def test_finishing_twice_writes_once(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    ids = await recorded(hot_pool, records(await person(hot_pool, tenant)))
    one = finished((await claim(hot_pool, ids, lease_s=20)).claimed[0])

    assert (await finish(hot_pool, [one])).written == set(ids)
    assert (await finish(hot_pool, [one])).written == set()
    assert len(await _events(hot_pool, ids[0])) == 1


async def test_a_receipt_that_came_first_is_not_lowered_and_the_attempt_is_still_told(
    hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    made = records(await person(hot_pool, tenant))
    ids = await recorded(hot_pool, made)
    one = (await claim(hot_pool, ids, lease_s=20)).claimed[0]
    await receipts.apply(hot_pool, [Receipt("smtp", ReceiptKind.DELIVERED, utc_now(), delivery_id=ids[0])])

    result = await finish(hot_pool, [finished(one, DeliveryStatus.SENT)])

    assert result.written == set(ids)
    assert await status_of(hot_pool, ids[0]) is DeliveryStatus.DELIVERED
    assert {kind for kind, _, _ in await _events(hot_pool, ids[0])} == {EventKind.DELIVERED, EventKind.ATTEMPT_SENT}
    assert not await outbox_ids(hot_pool, made)


async def test_the_envelope_stays_until_its_last_delivery_is_closed(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    made = records(await person(hot_pool, tenant), 3)
    ids = await recorded(hot_pool, made)
    won = (await claim(hot_pool, ids, lease_s=20)).claimed
    later = utc_now() + timedelta(minutes=1)

    await finish(hot_pool, [finished(won[0])])
    assert await outbox_ids(hot_pool, made)
    await finish(
        hot_pool, [finished(won[1], DeliveryStatus.RESTING, reason=Reason.PROVIDER_UNAVAILABLE, next_attempt_at=later)]
    )
    assert await outbox_ids(hot_pool, made)
    await finish(hot_pool, [finished(won[2], DeliveryStatus.FAILED, reason=Reason.ADDRESS_REJECTED)])
    assert await outbox_ids(hot_pool, made)

    await hot_pool.execute("UPDATE deliveries SET next_attempt_at = now() WHERE id = $1", won[1].id)
    again = await claim(hot_pool, ids, lease_s=20)
    await finish(hot_pool, [finished(again.claimed[0], DeliveryStatus.AMBIGUOUS, reason=Reason.PROVIDER_SILENT)])
    assert not await outbox_ids(hot_pool, made)


async def test_a_copy_that_claimed_nothing_deletes_nothing(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    made = records(await person(hot_pool, tenant), 2)
    ids = await recorded(hot_pool, made)
    await claim(hot_pool, ids, lease_s=20)

    copy = await claim(hot_pool, ids, lease_s=20)
    await finish(hot_pool, [])

    assert copy.leased == ids
    assert await outbox_ids(hot_pool, made)


async def test_a_rest_in_the_broker_moves_the_watch_and_one_that_is_kept_goes_back_to_the_relay(
    hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    made = records(await person(hot_pool, tenant), 2)
    ids = await recorded(hot_pool, made)
    won = (await claim(hot_pool, ids, lease_s=20)).claimed
    soon, late = utc_now() + timedelta(minutes=5), utc_now() + timedelta(hours=5)
    resting = [
        finished(one, DeliveryStatus.RESTING, reason=Reason.PROVIDER_THROTTLED, next_attempt_at=at)
        for one, at in zip(won, (soon, late), strict=True)
    ]
    resting[1].is_kept_here = True

    await finish(hot_pool, resting)

    rows = await hot_pool.fetch("SELECT * FROM outbox WHERE tenant_id = $1 ORDER BY published_at NULLS LAST", tenant)
    near, far = rows
    assert near["id"] == made.outbox[0].id
    assert abs(near["watch_at"] - soon - timedelta(seconds=30)) < timedelta(seconds=1)
    assert (far["published_at"], list(far["delivery_ids"]), far["available_at"]) == (None, [won[1].id], late)
    assert await hot_pool.fetchval("SELECT envelope_id FROM deliveries WHERE id = $1", won[1].id) == far["id"]


async def test_what_would_rest_after_a_cancellation_is_cancelled(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    made = records(await person(hot_pool, tenant))
    ids = await recorded(hot_pool, made)
    one = (await claim(hot_pool, ids, lease_s=20)).claimed[0]
    await cancel(hot_pool, tenant, made.notifications[0].id)

    result = await finish(
        hot_pool,
        [finished(one, DeliveryStatus.RESTING, reason=Reason.PROVIDER_UNAVAILABLE, next_attempt_at=utc_now())],
    )

    assert result.cancelled == set(ids)
    row = await hot_pool.fetchrow("SELECT status, reason, problem FROM deliveries WHERE id = $1", *ids)
    assert tuple(row) == (DeliveryStatus.CANCELLED.code, Reason.CANCELLED.code, None)
    assert [kind for kind, _, _ in await _events(hot_pool, ids[0])] == [EventKind.ATTEMPT_RESTING, EventKind.CANCELLED]
    assert not await outbox_ids(hot_pool, made)


@pytest.mark.parametrize("attempts_before", [0, 1])
async def test_an_unsent_claim_comes_back_without_its_attempt(
    hot_pool: asyncpg.Pool, tenant: UUID, attempts_before: int
) -> None:
    ids = await recorded(hot_pool, records(await person(hot_pool, tenant)))
    await hot_pool.execute("UPDATE deliveries SET attempt = $2 WHERE id = $1", ids[0], attempts_before)
    one = (await claim(hot_pool, ids, lease_s=20)).claimed[0]

    returned = await give_back(hot_pool, [(one.id, one.lease_token)], reason=Reason.CIRCUIT_OPEN)
    stranger = await give_back(hot_pool, [(one.id, one.lease_token)], reason=Reason.CIRCUIT_OPEN)
    again = (await claim(hot_pool, ids, lease_s=20)).claimed

    assert (returned, stranger) == (set(ids), set())
    assert [one.attempt for one in again] == [attempts_before + 1]
    ((kind, attempt, facts),) = await _events(hot_pool, ids[0])
    assert (kind, attempt, facts["reason"]) == (EventKind.NOT_SENT, attempts_before + 1, "circuit_open")


async def test_problems_are_listed_only_for_ends_that_somebody_should_see(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    ids = await recorded(hot_pool, records(await person(hot_pool, tenant), 3))
    won = (await claim(hot_pool, ids, lease_s=20)).claimed
    ends = (DeliveryStatus.SENT, DeliveryStatus.FAILED, DeliveryStatus.AMBIGUOUS)

    await finish(hot_pool, [finished(one, end) for one, end in zip(won, ends, strict=True)])

    rows = await hot_pool.fetch("SELECT id, problem FROM deliveries WHERE id = ANY($1::uuid[])", ids)
    expected = dict(zip((one.id for one in won), (None, ends[1].code, ends[2].code), strict=True))
    assert {row["id"]: row["problem"] for row in rows} == expected


async def test_times_of_rest_survive_the_way_through_the_event(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    ids = await recorded(hot_pool, records(await person(hot_pool, tenant)))
    one = (await claim(hot_pool, ids, lease_s=20)).claimed[0]
    at = datetime(2027, 1, 2, 3, 4, 5, tzinfo=utc_now().tzinfo)

    await finish(
        hot_pool, [finished(one, DeliveryStatus.RESTING, reason=Reason.PROVIDER_THROTTLED, next_attempt_at=at)]
    )

    ((_, _, facts),) = await _events(hot_pool, ids[0])
    assert facts["next_attempt_at"] == "2027-01-02T03:04:05.000Z"


async def test_the_letter_of_a_failure_is_kept_with_it_or_not_at_all(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    ids = await recorded(hot_pool, records(await person(hot_pool, tenant), 2))
    kept, fenced = (await claim(hot_pool, ids, lease_s=20)).claimed
    ends = [finished(one, DeliveryStatus.FAILED, reason=Reason.TEMPLATE_ERROR) for one in (kept, fenced)]
    for end in ends:
        end.letter = DeadLetter("template_error", "?", "x", {}, tenant_id=tenant, delivery_id=end.id)
    ends[1].lease_token = uuid7()

    await finish(hot_pool, ends)

    letters = await hot_pool.fetch("SELECT delivery_id FROM dead_letters WHERE tenant_id = $1", tenant)
    assert [row["delivery_id"] for row in letters] == [kept.id]


async def test_of_two_ends_the_one_that_came_first_stays(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    ids = await recorded(hot_pool, records(await person(hot_pool, tenant)))
    won = (await claim(hot_pool, ids, lease_s=20)).claimed[0]
    successor = Receipt("gateway", ReceiptKind.COLLAPSED, utc_now(), delivery_id=ids[0], detail=str(uuid7()))
    assert (await receipts.apply(hot_pool, [successor])).applied == 1

    await finish(hot_pool, [finished(won, DeliveryStatus.FAILED, reason=Reason.PROVIDER_REJECTED)])

    row = await hot_pool.fetchrow("SELECT status, reason, problem FROM deliveries WHERE id = $1", *ids)
    assert tuple(row) == (DeliveryStatus.COLLAPSED.code, Reason.SUPERSEDED.code, None)
