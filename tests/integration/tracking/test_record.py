"""Recording: one statement or COPY, the same rows; all of them or none."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

from domain.clock import utc_now
from domain.delivery import DeliveryStatus
from domain.ids import notification_id, notification_of
from domain.lanes import Channel
from domain.reasons import Reason
from tests.integration.tracking.builders import Person, person, records
from tracking import ledger
from tracking.rows import IdempotencyRow, Records

TABLES = {"notifications": "id", "deliveries": "id", "outbox": "id", "idempotency": "key"}


def _batch(who: Person, count: int) -> Records:
    made = records(who, count, channels=(Channel.EMAIL, Channel.SMS), envelope_size=3)
    first = made.notifications[0]
    made.notifications[0] = replace(
        first,
        collapse_id="order",
        dedupe_key="ключ",
        duplicate_of=notification_id(),
        reference="apns 1",
        send_at=first.created_at,
        campaign_id=uuid4(),
        template=None,
        template_version=0,
        user_id=None,
        locale="fr-CA",
    )
    made.deliveries[0] = replace(made.deliveries[0], address_id=None, recheck_at=first.expires_at)
    made.deliveries[1] = replace(
        made.deliveries[1], status=DeliveryStatus.SUPPRESSED, reason=Reason.CHANNEL_OPT_OUT, envelope_id=None
    )
    made.deliveries[2] = replace(
        made.deliveries[2],
        status=DeliveryStatus.DEFERRED,
        reason=Reason.QUIET_HOURS,
        next_attempt_at=first.expires_at,
    )
    made.idempotency = [
        IdempotencyRow(uuid4(), uuid4(), made.notifications[0].id, None),
        IdempotencyRow(uuid4(), uuid4(), None, b'{"results":[]}'),
    ]
    return made


async def _stored(conn: asyncpg.Connection, made: Records) -> dict[str, list[tuple[object, ...]]]:
    keys = {
        "notifications": [row.id for row in made.notifications],
        "deliveries": [row.id for row in made.deliveries],
        "outbox": [row.id for row in made.outbox],
        "idempotency": [row.key for row in made.idempotency],
    }
    return {
        table: [
            tuple(row)
            for row in await conn.fetch(f"SELECT * FROM {table} WHERE {key} = ANY($1) ORDER BY {key}", keys[table])
        ]
        for table, key in TABLES.items()
    }


async def test_one_statement_and_copy_write_the_same_rows(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    made = _batch(await person(hot_pool, tenant), 7)
    written = []
    for limit in (1000, 0):
        async with hot_pool.acquire() as conn:
            transaction = conn.transaction()
            await transaction.start()
            await ledger.record(conn, made, one_statement_below=limit)
            found = await _stored(conn, made)
            await transaction.rollback()
            found["idempotency"] = [row[:-1] for row in found["idempotency"]]
            written.append(found)

    assert written[0] == written[1]
    assert {table: len(rows) for table, rows in written[0].items()} == {
        "notifications": 7,
        "deliveries": 14,
        "outbox": len(made.outbox),
        "idempotency": 2,
    }


@pytest.mark.parametrize("count", [2, 40])
async def test_a_batch_with_one_bad_row_writes_nothing(hot_pool: asyncpg.Pool, tenant: UUID, count: int) -> None:
    made = _batch(await person(hot_pool, tenant), count)
    made.deliveries[-1] = replace(made.deliveries[-1], id=made.deliveries[0].id)

    with pytest.raises(asyncpg.UniqueViolationError):
        async with hot_pool.acquire() as conn, conn.transaction():
            await ledger.record(conn, made)

    async with hot_pool.acquire() as conn:
        assert not any((await _stored(conn, made)).values())


async def test_copy_refuses_to_run_outside_a_transaction(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    made = records(await person(hot_pool, tenant), ledger.ONE_STATEMENT_BELOW)

    async with hot_pool.acquire() as conn:
        with pytest.raises(RuntimeError, match="transaction"):
            await ledger.record(conn, made)


async def test_an_expired_key_is_given_a_new_answer(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    made = _batch(await person(hot_pool, tenant), 2)
    key = made.idempotency[0].key
    await hot_pool.execute(
        "INSERT INTO idempotency (key, fingerprint, expires_at) VALUES ($1, $2, now() - interval '1 s')", key, uuid4()
    )

    async with hot_pool.acquire() as conn, conn.transaction():
        await ledger.record(conn, made)

    row = await hot_pool.fetchrow("SELECT * FROM idempotency WHERE key = $1", key)
    assert row["notification_id"] == made.notifications[0].id
    assert timedelta(hours=23) < row["expires_at"] - utc_now() < timedelta(hours=25)


async def test_a_suppressed_delivery_is_a_problem_from_its_beginning(hot_pool: asyncpg.Pool, tenant: UUID) -> None:
    made = _batch(await person(hot_pool, tenant), 2)

    async with hot_pool.acquire() as conn, conn.transaction():
        await ledger.record(conn, made)

    row = await hot_pool.fetchrow("SELECT problem, reason FROM deliveries WHERE id = $1", made.deliveries[1].id)
    assert tuple(row) == (DeliveryStatus.SUPPRESSED.code, Reason.CHANNEL_OPT_OUT.code)
    assert notification_of(made.deliveries[1].id) == made.notifications[0].id
