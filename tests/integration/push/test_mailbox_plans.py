"""Plans of the mailbox's statements on a filled table: by device or by key, never the whole table, no sort of it."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from channels.push import mailbox
from domain.clock import utc_now
from domain.ids import uuid7
from plumbing.database import open_hot_pool

DEVICES = 500
LETTERS_EACH = 60
ASKED = 64


@pytest.fixture(scope="module")
async def filled(database_url: str) -> AsyncIterator[tuple[asyncpg.Pool, list[UUID], list[UUID]]]:
    """A hot pool of one connection, the devices, and the letters of the first ones."""
    pool = await open_hot_pool(database_url, size=1)
    now, tenant = utc_now(), uuid7()
    devices = [uuid7() for _ in range(DEVICES)]
    rows = [
        (uuid7(), tenant, device, (1, 5, 10)[place % 3], f"c:{place}", b"{}", now, now + timedelta(hours=1))
        for device in devices
        for place in range(LETTERS_EACH)
    ]
    columns = ["delivery_id", "tenant_id", "device_id", "wake", "fold", "payload", "not_before", "expires_at"]
    try:
        await pool.copy_records_to_table("mailbox", records=rows, columns=columns)
        await pool.execute("ANALYZE mailbox")
        yield pool, devices, [row[0] for row in rows[: ASKED * LETTERS_EACH]]
    finally:
        await pool.execute("DELETE FROM mailbox WHERE tenant_id = $1", tenant)
        await pool.close()


STATEMENTS = ["look", "page", "waiting", "forget", "purge", "expire"]


def _statement(name: str, devices: list[UUID], letters: list[UUID]) -> tuple[str, list[object]]:
    some, count = devices[:ASKED], ASKED
    statements: dict[str, tuple[str, list[object]]] = {
        "look": (mailbox._LOOK, [some, [1] * count, some, ["c:7"] * count, letters[:count]]),
        "page": (mailbox._PAGE, [some, [10] * count, letters[:count], [10] * count, [1] * count]),
        "waiting": (mailbox._WAITING, [some]),
        "forget": (mailbox._DELETE, [letters[:count]]),
        "purge": (mailbox._PURGE, [some]),
        "expire": (mailbox._EXPIRE, [500]),
    }
    return statements[name]


@pytest.mark.parametrize("name", STATEMENTS)
async def test_a_statement_reads_only_the_letters_of_its_devices(
    filled: tuple[asyncpg.Pool, list[UUID], list[UUID]], name: str
) -> None:
    pool, devices, letters = filled
    statement, arguments = _statement(name, devices, letters)

    async with pool.acquire() as conn:
        transaction = conn.transaction()
        await transaction.start()
        try:
            await conn.execute(f"PREPARE explained AS {statement}")
            given = ", ".join(_literal(argument) for argument in arguments)
            rows = await conn.fetch(f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF) EXECUTE explained({given})")
        finally:
            await transaction.rollback()
            await conn.execute("DEALLOCATE explained")

    plan = "\n".join(row[0] for row in rows)
    assert "Seq Scan on mailbox" not in plan, plan
    assert f"rows={DEVICES * LETTERS_EACH}" not in plan, plan


def _literal(argument: object) -> str:
    if isinstance(argument, list):
        return "ARRAY[" + ",".join(_literal(one) for one in argument) + "]" + _cast(argument[0])
    return f"'{argument}'" if isinstance(argument, str | UUID) else str(argument)


def _cast(one: object) -> str:
    if isinstance(one, UUID):
        return "::uuid[]"
    return "::text[]" if isinstance(one, str) else "::int[]"
