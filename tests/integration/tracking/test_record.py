"""Recording: one statement or COPY, the same rows; all of them or none."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

from domain.clock import utc_now
from domain.delivery import DeliveryStatus
from domain.ids import notification_id, notification_of
from domain.lanes import Channel, Priority
from domain.reasons import Reason
from tests.integration.tracking.builders import Person, person, records
from tracking import ledger, once, quick
from tracking.once import Window
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


def _many(*batches: Records) -> Records:
    """All of them as one batch."""
    made = Records()
    for each in batches:
        made.notifications += each.notifications
        made.deliveries += each.deliveries
        made.outbox += each.outbox
        made.idempotency += each.idempotency
    return made


def _keyed(made: Records) -> Records:
    """The rows, each notification with a key."""
    made.idempotency = [IdempotencyRow(uuid4(), uuid4(), each.id, None) for each in made.notifications]
    return made


_BATCHES: dict[str, Callable[[Person], Records]] = {
    "one": records,
    "one with a key": lambda who: _keyed(records(who)),
    "one with a key, by two channels": lambda who: _keyed(records(who, channels=(Channel.EMAIL, Channel.SMS))),
    "one that nobody gets": lambda who: records(who, status=DeliveryStatus.SUPPRESSED, reason=Reason.CHANNEL_OPT_OUT),
    "of one kind": lambda who: _keyed(records(who, 5)),
    "of one kind, and nobody gets them": lambda who: records(who, 5, status=DeliveryStatus.SUPPRESSED),
    "of one tenant": lambda who: _many(
        _keyed(records(who, 2)), records(who, 3, category="news", priority=Priority.HIGH, expires_in_s=9)
    ),
    "of all kinds": lambda who: _batch(who, 7),
    "of two tenants": lambda who: _many(records(who, 2), records(replace(who, tenant_id=uuid4()), 2)),
}


@pytest.mark.parametrize("name", _BATCHES)
async def test_the_quick_way_writes_the_same_rows_whatever_differs_in_a_batch(
    hot_pool: asyncpg.Pool, tenant: UUID, name: str
) -> None:
    made = _BATCHES[name](await person(hot_pool, tenant))
    windows = [Window(uuid4(), each.id, 60) for each in made.notifications]
    written = []

    async with hot_pool.acquire() as conn:
        for is_quick in (True, False):
            transaction = conn.transaction()
            await transaction.start()
            if is_quick:
                assert await quick.record(conn, made, quick.Judged([], [], windows))
            else:
                await once.open_windows(conn, windows)
                await ledger.record(conn, made, one_statement_below=0)
            found = await _stored(conn, made)
            held = await conn.fetch(
                "SELECT key, notification_id, expires_at - now() FROM dedupe WHERE key = ANY($1) ORDER BY key",
                [window.key for window in windows],
            )
            await transaction.rollback()
            found["idempotency"] = [row[:-1] for row in found["idempotency"]]
            written.append(found | {"dedupe": list(map(tuple, held))})

    assert written[0] == written[1]
    assert {table: len(rows) for table, rows in written[0].items()} == {
        "notifications": len(made.notifications),
        "deliveries": len(made.deliveries),
        "outbox": len(made.outbox),
        "idempotency": len(made.idempotency),
        "dedupe": len(windows),
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
