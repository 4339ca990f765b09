"""Migrations: up, down and up again; nothing left to generate; partitions made ahead and dropped; clear refusals."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from domain.clock import utc_now
from domain.errors import Misconfigured, Unavailable
from domain.ids import first_id_at, uuid7
from migrations.env_rules import is_ours
from migrations.run import configuration, downgrade, upgrade
from migrations.state import need_current_schema, schema_is_current
from ops.stack.database import create_database, drop_database, sibling_url
from plumbing.database import connect, open_engine
from plumbing.partitions import drop_old_partitions, ensure_partitions
from plumbing.tables import METADATA


@pytest.fixture
async def empty_url(postgres_url: str) -> AsyncIterator[str]:
    """A database of its own without any table."""
    name = f"carillon_migrations_{uuid7().hex}"
    await create_database(postgres_url, name)
    yield sibling_url(postgres_url, name)
    await drop_database(postgres_url, name)


@pytest.fixture
async def conn(empty_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to it."""
    conn = await connect(empty_url)
    yield conn
    await conn.close()


async def test_up_down_and_up_again_leave_the_newest_schema(empty_url: str, conn: asyncpg.Connection) -> None:
    await upgrade(empty_url)
    assert await schema_is_current(conn)

    await downgrade(empty_url)
    left = await conn.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert [row["tablename"] for row in left] == ["alembic_version"]
    assert not await schema_is_current(conn)

    await upgrade(empty_url)
    assert await schema_is_current(conn)


async def test_autogenerate_finds_nothing_to_do(empty_url: str) -> None:
    await upgrade(empty_url)
    engine = open_engine(empty_url, size=1)

    def differences(sync: Connection) -> list[Any]:
        context = MigrationContext.configure(sync, opts={"include_name": is_ours, "compare_server_default": True})
        return list(compare_metadata(context, METADATA))

    async with engine.connect() as sql:
        found = await sql.run_sync(differences)
    await engine.dispose()

    assert found == []


async def test_two_migrations_at_once_are_harmless(empty_url: str, conn: asyncpg.Connection) -> None:
    await asyncio.gather(upgrade(empty_url), upgrade(empty_url))

    assert await schema_is_current(conn)


def test_there_is_one_head() -> None:
    assert len(ScriptDirectory.from_config(configuration()).get_heads()) == 1


async def test_an_old_schema_is_refused_with_what_to_do(conn: asyncpg.Connection) -> None:
    with pytest.raises(Misconfigured, match="carillon migrate"):
        await need_current_schema(conn)


async def test_a_schema_newer_than_the_program_is_refused(empty_url: str, conn: asyncpg.Connection) -> None:
    await upgrade(empty_url)
    await conn.execute("UPDATE alembic_version SET version_num = '9999'")

    assert not await schema_is_current(conn)
    with pytest.raises(Misconfigured, match="9999"):
        await upgrade(empty_url)


async def test_a_locked_table_ends_the_migration_and_changes_nothing(empty_url: str, conn: asyncpg.Connection) -> None:
    await upgrade(empty_url)
    async with conn.transaction():
        await conn.execute("LOCK TABLE tenants IN ACCESS SHARE MODE")
        with pytest.raises(Unavailable, match="as it was before"):
            await downgrade(empty_url)

    assert await schema_is_current(conn)


async def test_partitions_are_made_ahead_with_half_filled_pages_and_dropped_by_retention(
    empty_url: str, conn: asyncpg.Connection
) -> None:
    await upgrade(empty_url)
    assert await ensure_partitions(conn, utc_now()) == []

    made = await ensure_partitions(conn, datetime(2031, 12, 15, tzinfo=UTC), months_ahead=1)

    months = ["203111", "203112", "203201"]
    assert made == [f"{table}_p{month}" for table in ("notifications", "deliveries", "events") for month in months]
    options = await conn.fetchval("SELECT reloptions FROM pg_class WHERE relname = 'deliveries_p203112'")
    assert "fillfactor=50" in options
    dropped = await drop_old_partitions(conn, datetime(2032, 2, 1, tzinfo=UTC), retention_months=2)
    assert {"deliveries_p203111", "events_p203111"} <= set(dropped)
    assert not [name for name in dropped if name.endswith(("203112", "203201"))]


async def test_a_row_lands_in_the_month_of_its_id(empty_url: str, conn: asyncpg.Connection) -> None:
    await upgrade(empty_url)
    now = utc_now()
    this_month = datetime(now.year, now.month, 1, tzinfo=UTC)

    for moment in (this_month, now):
        await conn.execute(
            "INSERT INTO events (delivery_id, at, kind, attempt) VALUES ($1, now(), 1, 1)", first_id_at(moment)
        )

    count = await conn.fetchval(f"SELECT count(*) FROM events_p{now:%Y%m}")
    assert count == 2
