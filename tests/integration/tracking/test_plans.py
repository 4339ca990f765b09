"""Plans of the journey's statements on a filled database: by key, in their own month, never a whole table."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from domain.clock import utc_now
from domain.ids import delivery_id, delivery_range, notification_id, notification_of, uuid7
from plumbing.database import HOT, connect, open_hot_pool
from tracking import cancel, claim, ending, finish, history, outbox, overdue, receipts, rejudge, sent, sweep

FILLED = 30_000
MANY = 2000
"""Deliveries of a full sweep: enough to tempt a planner into reading everything at once."""

A_MONTH = timedelta(days=31)


@pytest.fixture(scope="module")
async def filled(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    """A hot pool of one connection on a database in which two of five months hold deliveries that ended long ago."""
    pool = await open_hot_pool(database_url, size=1)
    now = utc_now()
    notes, deliveries = [], []
    for number in range(FILLED):
        made_at = now - (A_MONTH if number % 2 else timedelta()) - timedelta(seconds=number % 3600)
        note = notification_id(int(made_at.timestamp() * 1000))
        notes.append((note, note, 1, 0, "orders", 2, b"{}", b"[]", now, now))
        deliveries.append((delivery_id(note, 1), note, 1, 2, 2, 1, 4, now, now, now))
    try:
        await pool.copy_records_to_table(
            "notifications",
            records=notes,
            columns=[
                "id",
                "tenant_id",
                "mode",
                "template_version",
                "category",
                "priority",
                "data",
                "decisions",
                "expires_at",
                "created_at",
            ],
        )
        await pool.copy_records_to_table(
            "deliveries",
            records=deliveries,
            columns=[
                "id",
                "tenant_id",
                "recipient_version",
                "channel",
                "priority",
                "mode",
                "status",
                "expires_at",
                "created_at",
                "updated_at",
            ],
        )
        await pool.execute("ANALYZE notifications, deliveries, outbox, users, contacts")
        yield pool
    finally:
        await pool.execute("DELETE FROM notifications WHERE id = ANY($1::uuid[])", [note[0] for note in notes])
        await pool.execute("DELETE FROM deliveries WHERE id = ANY($1::uuid[])", [one[0] for one in deliveries])
        await pool.close()


def _statements(ids: list[UUID]) -> dict[str, tuple[str, list[object]]]:
    """Every statement that workers, relay and sweeper send, for these deliveries."""
    count, notes, same = len(ids), [notification_of(one) for one in ids], [uuid7()] * len(ids)
    nothing, codes, texts, details = [None] * count, [1] * count, ["x"] * count, [b"{}"] * count
    low, high = delivery_range(notes[0])
    finished = [ids, notes, same, codes, nothing, nothing, nothing, texts, texts, codes, codes, details]
    return {
        "claim": (claim._CLAIM, [ids, notes, same[0], timedelta(seconds=5), 2]),
        "claim, quickly": (claim._CLAIM_QUICKLY, [ids, notes, same[0], timedelta(seconds=5), 2]),
        "end": (claim._END, [ids, notes, b"{}", b"{}"]),
        "rest": (claim._REST, [ids, notes]),
        "finish": (finish._FINISH, finished),
        "sent": (sent._SENT, [ids, same, nothing, texts, texts, details, nothing, timedelta(seconds=1)]),
        "acked": (sent._ACKED, [ids, nothing, texts, texts, details]),
        "give_back": (finish._GIVE_BACK, [ids, same, b"{}", b"{}"]),
        "rejudge": (
            rejudge._REJUDGE,
            [ids, codes, nothing, nothing, nothing, nothing, nothing, nothing, nothing],
        ),
        "receipts": (
            receipts._APPLY,
            [ids, nothing, codes, nothing, nothing, texts, texts, codes, details, receipts._LEGAL],
        ),
        "seen": (receipts._SEEN, [ids, nothing, details]),
        "absent": (receipts._ABSENT, [ids, nothing, details]),
        "end_kept": (ending._END, [ids, codes, nothing, nothing, codes, details, ending._LEGAL]),
        "overdue": (overdue._REQUEUE, [ids, b"{}"]),
        "lock": (finish._LOCK, [ids, same]),
        "hold": (cancel._HOLD, [low, high]),
        "cancel": (cancel._WITHDRAW, [low, high, b"{}"]),
        "release": (outbox._RELEASE, [same[:1]]),
        "move": (outbox._MOVE, [ids, same]),
        "sweep_open": (sweep._OPEN, [ids, notes, same]),
        "sweep_end": (sweep._END_ATTEMPTS, [ids, same, codes, codes, details]),
    }


async def _plan(conn: asyncpg.Connection, statement: str, arguments: list[object]) -> str:
    """The plan by which a prepared statement runs: a bare EXPLAIN would be planned for just these arguments."""
    transaction = conn.transaction()
    await transaction.start()
    try:
        await conn.execute(f"PREPARE explained AS {statement}")
        given = ", ".join(map(_literal, arguments))
        rows = await conn.fetch(f"EXPLAIN (ANALYZE, TIMING OFF) EXECUTE explained({given})")
    finally:
        await transaction.rollback()
        await conn.execute("DEALLOCATE ALL")
        await conn.reload_schema_state()
    return "\n".join(row[0] for row in rows)


def _literal(argument: object) -> str:
    if isinstance(argument, list):
        return "'{" + ",".join("NULL" if one is None else _text(one) for one in argument) + "}'"
    return f"'{_text(argument)}'"


def _text(value: object) -> str:
    return f"\\\\x{value.hex()}" if isinstance(value, bytes) else str(value)


@pytest.mark.parametrize("count", [1, 64, MANY])
@pytest.mark.parametrize("name", _statements([delivery_id(notification_id(), 1)]))
async def test_a_statement_reads_its_deliveries_by_key_and_leaves_other_months_alone(
    filled: asyncpg.Pool, name: str, count: int
) -> None:
    async with filled.acquire() as conn:
        rows = await conn.fetch("SELECT id FROM deliveries ORDER BY id DESC LIMIT $1", count)
        statement, arguments = _statements(sorted(row["id"] for row in rows))[name]
        plan = await _plan(conn, statement, arguments)

    assert not re.search(r"Seq Scan on (deliveries|notifications|outbox)", plan), plan
    scanned = re.findall(r"Rows Removed by Filter: (\d+)", plan)
    assert max(map(int, scanned), default=0) <= count, plan
    last_month = f"deliveries_p{utc_now() - A_MONTH:%Y%m}"
    assert not re.search(rf"Scan .*{last_month}.*\(actual", plan), plan


async def test_what_waits_in_a_full_lane_is_not_walked_past_by_who_looks_into_another(filled: asyncpg.Pool) -> None:
    async with filled.acquire() as conn:
        transaction = conn.transaction()
        await transaction.start()
        await conn.execute(
            "INSERT INTO outbox (id, tenant_id, channel, priority, delivery_ids, available_at)"
            " SELECT gen_random_uuid(), gen_random_uuid(), 1, 3, ARRAY[gen_random_uuid()], now() - interval '1 minute'"
            " FROM generate_series(1, 5000)"
        )
        arguments = [2, 1], [3, 4], [200, 200]
        rows = await conn.fetch(f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF) {outbox._DUE}", *arguments)
        await transaction.rollback()

    plan = "\n".join(row[0] for row in rows)
    assert "Rows Removed" not in plan, plan
    assert "ix_outbox_due" in plan, plan


async def test_a_page_of_a_list_reads_its_deliveries_by_key(filled: asyncpg.Pool, read_pool: asyncpg.Pool) -> None:
    ids = [row["id"] for row in await filled.fetch("SELECT id FROM notifications ORDER BY id DESC LIMIT 51")]

    async with read_pool.acquire() as conn, conn.transaction():
        shown = await history._deliveries(conn, ids)
        read = await conn.fetchval(
            "SELECT sum(seq_tup_read) FROM pg_stat_xact_user_tables WHERE relname LIKE 'deliveries%'"
        )

    assert len(shown) == 51
    assert all(shown.values())
    assert read == 0


async def test_the_leader_reads_by_the_same_plans_as_the_hot_pool(database_url: str) -> None:
    conn = await connect(database_url, application_name="a test", is_hot=True)
    try:
        settings = {name: await conn.fetchval("SELECT current_setting($1)", name) for name in HOT}
    finally:
        await conn.close()

    assert settings | {"application_name": ""} == HOT | {"application_name": ""}
