"""Tells whether a database has the schema of this program, without Alembic: roles ask it at their start, quickly.

Files of `versions/` sort in the order in which they run and begin with their revision; a test holds them to it.
"""

from pathlib import Path

import asyncpg

from domain.errors import Misconfigured


def head() -> str:
    """The newest revision that this program knows."""
    files = sorted(path.stem for path in (Path(__file__).parent / "versions").glob("[0-9]*.py"))
    return files[-1].partition("_")[0]


async def schema_is_current(conn: asyncpg.Connection) -> bool:
    """Whether the database that `conn` speaks to has exactly the schema of this program."""
    try:
        found = await conn.fetch("SELECT version_num FROM alembic_version")
    except asyncpg.UndefinedTableError:
        return False
    return [row["version_num"] for row in found] == [head()]


async def need_current_schema(conn: asyncpg.Connection) -> None:
    """Misconfigured, with what to do, unless the schema is that of this program and this account sees all of it."""
    if not await schema_is_current(conn):
        raise Misconfigured("the database has another schema than this program: run `carillon migrate` first")
    await need_all_rows(conn)


async def need_all_rows(conn: asyncpg.Connection) -> None:
    """Misconfigured where row security hides rows from this account, which would do its work without seeing any."""
    if await conn.fetchval("SELECT row_security_active('deliveries')"):
        raise Misconfigured(
            "the account of CARILLON_DATABASE_URL does not own the tables, and row security hides their rows from it:"
            " use the account that ran `carillon migrate`, or make it a member of that one"
        )
