"""What is noted for webhooks: each status once, with the very write that commits it; nothing for who did not ask."""

from uuid import UUID

import asyncpg
import pytest

from domain.clock import utc_now
from domain.delivery import DeliveryStatus
from domain.ids import notification_of, uuid7
from domain.lanes import DECLARED_LANES
from domain.reasons import Reason
from domain.receipts import Receipt, ReceiptKind
from plumbing.listening import LISTENING
from tests.integration.tracking.builders import (
    finished,
    let_leases_run_out,
    make_due,
    person,
    recorded,
    records,
    status_of,
)
from tests.integration.webhooks.telling import Telling
from tracking import ledger, quick
from tracking.cancel import cancel
from tracking.claim import claim
from tracking.ending import End, end
from tracking.finish import finish, finish_sent
from tracking.receipts import apply
from tracking.sweep import sweep
from tracking.webhooks import endpoints

_S = DeliveryStatus


def a_receipt(delivery: UUID, kind: ReceiptKind, *, device_id: UUID | None = None) -> Receipt:
    return Receipt(provider="smtp", kind=kind, at=utc_now(), delivery_id=delivery, device_id=device_id)


@pytest.mark.parametrize(
    ("status", "reason"),
    [(_S.SENT, None), (_S.FAILED, Reason.ADDRESS_REJECTED), (_S.AMBIGUOUS, Reason.PROVIDER_SILENT), (_S.EXPIRED, None)],
)
async def test_the_end_of_an_attempt_is_noted_with_its_reason(
    telling: Telling, status: DeliveryStatus, reason: Reason | None
) -> None:
    await telling.webhook()
    (one,) = await telling.claimed()

    await finish(telling.pool, [finished(one, status, reason=reason)])

    assert await telling.noted() == [(one.id, status)]
    row = await telling.pool.fetchrow("SELECT * FROM webhook_messages WHERE delivery_id = $1", one.id)
    assert (row["reason"], row["delivery_attempt"]) == (reason.code if reason else None, 1)
    assert row["next_attempt_at"] is not None


async def test_the_common_way_of_sent_attempts_notes_them(telling: Telling) -> None:
    await telling.webhook()
    claimed = await telling.claimed(3)

    await finish_sent(telling.pool, [finished(one) for one in claimed])

    assert sorted(await telling.noted()) == sorted((one.id, "sent") for one in claimed)


async def test_receipts_are_noted_and_a_late_end_of_the_attempt_adds_nothing(telling: Telling) -> None:
    await telling.webhook()
    first, second = await telling.claimed(2)

    await apply(telling.pool, [a_receipt(first.id, ReceiptKind.DELIVERED), a_receipt(second.id, ReceiptKind.BOUNCED)])
    await finish(telling.pool, [finished(first), finished(second, _S.FAILED, reason=Reason.PROVIDER_REJECTED)])

    assert sorted(await telling.noted()) == sorted([(first.id, "delivered"), (second.id, "bounced")])


async def test_what_ended_in_the_mailbox_was_cancelled_or_expired_is_noted(telling: Telling, tenant: UUID) -> None:
    await telling.webhook()
    who = await person(telling.pool, tenant)
    (dropped,) = await recorded(telling.pool, records(who))
    (withdrawn,) = await recorded(telling.pool, records(who))
    (late,) = await recorded(telling.pool, records(who, expires_in_s=-1))

    async with telling.pool.acquire() as conn, conn.transaction():
        await end(conn, [End(dropped, _S.EXPIRED, Reason.EXPIRED)])
    await cancel(telling.pool, tenant, notification_of(withdrawn))
    await claim(telling.pool, [late], lease_s=30)

    assert sorted(await telling.noted()) == sorted([(dropped, "expired"), (withdrawn, "cancelled"), (late, "expired")])


async def test_a_worker_that_was_lost_leaves_ambiguous_or_dead_lettered_and_both_are_noted(telling: Telling) -> None:
    await telling.webhook()
    held, buried = await telling.claimed(2)
    await telling.pool.execute("UPDATE deliveries SET crashes = 2 WHERE id = $1", buried.id)
    await let_leases_run_out(telling.pool, [held.id, buried.id])
    await make_due(telling.pool, telling.tenant)

    async def hold(tenant: UUID, category: str) -> str:
        return "hold"

    async with telling.pool.acquire() as conn:
        await sweep(conn, limit=100, drained=DECLARED_LANES, policy=hold)

    assert {await status_of(telling.pool, one.id) for one in (held, buried)} == {_S.AMBIGUOUS, _S.DEAD_LETTERED}
    assert {status for _, status in await telling.noted()} == {"ambiguous", "dead_lettered"}


@pytest.mark.parametrize("one_statement_below", [0, 20])
async def test_what_is_suppressed_at_the_request_is_noted(
    telling: Telling, tenant: UUID, one_statement_below: int
) -> None:
    await telling.webhook()
    who = await person(telling.pool, tenant)
    made = records(who, status=_S.SUPPRESSED, reason=Reason.CHANNEL_OPT_OUT)
    made.deliveries += (queued := records(who)).deliveries
    made.notifications += queued.notifications

    async with telling.pool.acquire() as conn, conn.transaction():
        assert not await quick.record(conn, made, quick.Judged([], [], []))
        await ledger.record(conn, made, one_statement_below=one_statement_below)

    assert await telling.noted() == [(made.deliveries[0].id, "suppressed")]


async def test_steps_on_the_way_are_not_noted(telling: Telling) -> None:
    await telling.webhook()
    (one,) = await telling.claimed()

    await finish(
        telling.pool, [finished(one, _S.RESTING, reason=Reason.PROVIDER_UNAVAILABLE, next_attempt_at=utc_now())]
    )

    assert await status_of(telling.pool, one.id) is _S.RESTING
    assert await telling.noted() == []


async def test_only_what_a_webhook_asked_for_is_noted_and_for_each_that_did(telling: Telling) -> None:
    await telling.webhook(statuses=[_S.FAILED])
    await telling.webhook(statuses=[_S.SENT])
    await telling.webhook(statuses=[_S.SENT, _S.FAILED])

    delivery = await telling.sent()

    assert await telling.noted() == [(delivery, "sent")] * 2


async def test_nobody_else_is_told(telling: Telling) -> None:
    foreign = uuid7()
    await telling.pool.execute("INSERT INTO tenants (id, name) VALUES ($1, $2)", foreign, f"test-{foreign}")
    theirs = await telling.webhook(tenant=foreign)
    stopped = await telling.webhook()
    deleted = await telling.webhook()
    await endpoints.change(telling.pool, telling.tenant, stopped.id, is_active=False)
    await endpoints.delete(telling.pool, telling.tenant, deleted.id)

    await telling.sent()

    assert await telling.noted() == []
    assert await telling.pool.fetchval("SELECT count(*) FROM webhook_messages WHERE webhook_id = $1", theirs.id) == 0


async def test_a_write_that_is_rolled_back_tells_nothing(telling: Telling) -> None:
    await telling.webhook()
    (one,) = await recorded(telling.pool, records(await person(telling.pool, telling.tenant)))

    async with telling.pool.acquire() as conn:
        transaction = conn.transaction()
        await transaction.start()
        await end(conn, [End(one, _S.EXPIRED, Reason.EXPIRED)])
        inside = await conn.fetchval("SELECT count(*) FROM webhook_messages WHERE delivery_id = $1", one)
        await transaction.rollback()

    assert inside == 1
    assert await telling.noted() == []
    assert await status_of(telling.pool, one) is _S.QUEUED


async def test_a_process_knows_within_a_look_whether_anybody_listens(telling: Telling) -> None:
    await LISTENING.look(telling.pool)
    nobody = LISTENING.is_on
    await telling.pool.execute(
        "INSERT INTO webhooks (id, tenant_id, url, statuses, secret_sealed) VALUES ($1, $2, 'https://x', '{4}', '')",
        uuid7(),
        telling.tenant,
    )
    await LISTENING.look(telling.pool)

    assert (nobody, LISTENING.is_on) == (False, True)


async def test_where_postgres_does_not_answer_it_is_taken_that_somebody_listens(
    telling: Telling, database_url: str
) -> None:
    LISTENING.is_on = False
    closed = await asyncpg.create_pool(database_url, min_size=1, max_size=1)
    await closed.close()

    await LISTENING.look(closed)

    assert LISTENING.is_on
