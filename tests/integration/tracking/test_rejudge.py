"""Judged again: go on, later in an envelope of its own, or not at all."""

from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from domain.clock import utc_now
from domain.decision import Decision, Gate
from domain.delivery import DeliveryStatus
from domain.reasons import Reason
from tests.integration.tracking.builders import outbox_ids, person, recorded, records, status_of
from tracking.claim import claim
from tracking.rejudge import Judged, rejudge
from tracking.rows import Records


@pytest.fixture
async def stale(hot_pool: asyncpg.Pool, tenant: UUID) -> tuple[Records, list[UUID]]:
    """Three deliveries in one envelope whose recipient changed."""
    who = await person(hot_pool, tenant)
    made = records(who, 3)
    ids = await recorded(hot_pool, made)
    await hot_pool.execute("UPDATE users SET version = 2 WHERE id = $1", who.user_id)
    return made, ids


async def test_what_passes_can_be_claimed(hot_pool: asyncpg.Pool, stale: tuple[Records, list[UUID]]) -> None:
    _, ids = stale

    passed = await rejudge(hot_pool, [Judged(one, 2, None, Decision.passed(Gate.RECHECK)) for one in ids])

    assert passed == set(ids)
    assert sorted(one.id for one in (await claim(hot_pool, ids, lease_s=20)).claimed) == ids


async def test_what_is_suppressed_ends_with_its_reason_and_the_last_one_frees_the_envelope(
    hot_pool: asyncpg.Pool, stale: tuple[Records, list[UUID]]
) -> None:
    made, ids = stale
    refusal = Decision.suppress(Gate.CONSENT, Reason.UNSUBSCRIBED_GLOBAL)

    await rejudge(hot_pool, [Judged(one, 2, None, refusal) for one in ids[:2]])
    assert await outbox_ids(hot_pool, made)
    await rejudge(hot_pool, [Judged(ids[2], 2, None, refusal)])

    assert not await outbox_ids(hot_pool, made)
    rows = await hot_pool.fetch("SELECT status, problem, reason FROM deliveries WHERE id = ANY($1::uuid[])", ids)
    code = DeliveryStatus.SUPPRESSED.code
    assert {tuple(row) for row in rows} == {(code, code, Reason.UNSUBSCRIBED_GLOBAL.code)}


async def test_what_is_deferred_gets_an_envelope_for_later_and_the_others_keep_theirs(
    hot_pool: asyncpg.Pool, tenant: UUID, stale: tuple[Records, list[UUID]]
) -> None:
    made, ids = stale
    until = utc_now() + timedelta(hours=8)

    await rejudge(hot_pool, [Judged(ids[0], 2, None, Decision.defer(Gate.QUIET_HOURS, Reason.QUIET_HOURS, until))])

    assert await outbox_ids(hot_pool, made)
    later = await hot_pool.fetchrow("SELECT * FROM outbox WHERE tenant_id = $1 AND published_at IS NULL", tenant)
    assert (list(later["delivery_ids"]), later["available_at"]) == ([ids[0]], until)
    assert await status_of(hot_pool, ids[0]) is DeliveryStatus.DEFERRED
    assert [one for one, _ in (await claim(hot_pool, ids, lease_s=20)).not_due] == [ids[0]]


async def test_what_a_worker_has_claimed_meanwhile_is_left_alone(
    hot_pool: asyncpg.Pool, stale: tuple[Records, list[UUID]]
) -> None:
    _, ids = stale
    await rejudge(hot_pool, [Judged(ids[0], 2, None, Decision.passed(Gate.RECHECK))])
    await claim(hot_pool, ids[:1], lease_s=20)

    passed = await rejudge(hot_pool, [Judged(ids[0], 3, None, Decision.suppress(Gate.CONSENT, Reason.CHANNEL_OPT_OUT))])

    assert passed == set()
    assert await status_of(hot_pool, ids[0]) is DeliveryStatus.SENDING
