"""The second wall: whoever reads for a tenant sees that tenant's rows alone, whatever a statement forgot."""

from uuid import UUID

import asyncpg
import pytest

from domain.errors import Misconfigured, Unavailable
from domain.ids import uuid7
from migrations.state import need_all_rows
from migrations.walls import PARENTS, SECRET, raise_walls, rules
from plumbing.database import borrow, connect, open_hot_pool
from plumbing.reading import READER, TenantReads, is_walled
from plumbing.tables import METADATA
from tests.integration.people.subject import Stage, make_person

TABLES = [name for name, _ in rules()]
_POLICIES = """
SELECT c.relname FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_roles r ON r.oid = ANY(p.polroles)
WHERE r.rolname = $1 AND c.relrowsecurity
"""


def test_every_table_of_tenants_has_a_rule_or_is_kept_from_readers() -> None:
    of_tenants = {table.name for table in METADATA.sorted_tables if "tenant_id" in table.c}

    assert set(TABLES) == of_tenants - SECRET | PARENTS.keys()


async def test_every_rule_stands_in_the_database(hot_pool: asyncpg.Pool) -> None:
    standing = {row["relname"] for row in await hot_pool.fetch(_POLICIES, READER)}

    assert standing == set(TABLES)
    async with borrow(hot_pool) as conn:
        assert await is_walled(conn)


async def test_without_a_tenant_a_reader_gets_an_error_and_no_rows(stage: Stage) -> None:
    await make_person(stage)

    for table in [name for name in TABLES if await stage.pool.fetchval(f"SELECT count(*) FROM {name}")]:
        async with borrow(stage.pool) as conn, conn.transaction():
            await conn.execute(f"SET LOCAL ROLE {READER}")
            with pytest.raises(asyncpg.PostgresError, match=r"carillon\.tenant|type uuid"):
                async with conn.transaction():
                    await conn.fetch(f"SELECT * FROM {table}")


async def test_a_statement_without_where_shows_its_own_tenant_alone(stage: Stage) -> None:
    await make_person(stage)
    there = {name: await stage.pool.fetchval(f"SELECT count(*) FROM {name}") for name in TABLES}
    mine, foreign = TenantReads(stage.pool, stage.tenant), TenantReads(stage.pool, uuid7())

    async with borrow(foreign) as conn:
        shown = {name: await conn.fetchval(f"SELECT count(*) FROM {name}") for name in TABLES}
    async with borrow(mine) as conn:
        own = {name: await conn.fetchval(f"SELECT count(*) FROM {name}") for name in TABLES}
        users = {row["tenant_id"] for row in await conn.fetch("SELECT tenant_id FROM users")}

    assert set(shown.values()) == {0}
    assert users == {stage.tenant}
    assert {name for name, count in own.items() if count} >= {
        "users",
        "deliveries",
        "events",
        "dead_letters",
        "mailbox",
    }
    assert all(own[name] <= there[name] for name in TABLES)


@pytest.mark.parametrize("table", sorted(SECRET))
async def test_nobody_reads_keys_behind_the_wall(hot_pool: asyncpg.Pool, tenant: UUID, table: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with borrow(TenantReads(hot_pool, tenant)) as conn:
            await conn.fetch(f"SELECT * FROM {table}")


async def test_who_reads_writes_nothing_and_leaves_nothing_behind(database_url: str, tenant: UUID) -> None:
    pool = await open_hot_pool(database_url, size=2)
    statements = {"UPDATE users SET name = 'x'": Unavailable, "SELECT 1 / 0": asyncpg.DivisionByZeroError}
    try:
        me = await pool.fetchval("SELECT current_user")
        for statement, trouble in statements.items():
            with pytest.raises(trouble):
                async with borrow(TenantReads(pool, tenant)) as conn:
                    await conn.fetch(statement)
            assert await TenantReads(pool, tenant).fetch("SELECT 1")
            async with borrow(pool) as conn:
                assert await conn.fetchval("SELECT current_user") == me
                assert not await conn.fetchval("SELECT current_setting('carillon.tenant', true)")
    finally:
        await pool.close()


async def test_who_neither_owns_the_tables_nor_bypasses_the_wall_is_told_so(database_url: str) -> None:
    conn = await connect(database_url)
    try:
        await need_all_rows(conn)
        async with conn.transaction():
            await conn.execute(f"SET LOCAL ROLE {READER}")
            with pytest.raises(Misconfigured, match="own"):
                await need_all_rows(conn)
    finally:
        await conn.close()


async def test_raising_the_wall_again_changes_nothing(database_url: str) -> None:
    conn = await connect(database_url)
    try:
        before = await conn.fetch("SELECT oid, polname FROM pg_policy ORDER BY oid")
        async with conn.transaction():
            assert await raise_walls(conn)
        assert await conn.fetch("SELECT oid, polname FROM pg_policy ORDER BY oid") == before
    finally:
        await conn.close()
