"""Brings a database to the newest schema, and tells whether it is there; it decides nothing about the schema itself."""

from pathlib import Path
from typing import Any

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.clock import utc_now
from domain.errors import Misconfigured, Unavailable
from migrations.walls import raise_walls
from plumbing.database import open_engine, postgres_errors
from plumbing.partitions import ensure_partitions

_LOCK = 0x6361_7269
_WAIT_FOR_ANOTHER = "60s"
_WAIT_FOR_A_TABLE = "2s"


async def upgrade(url: str) -> bool:
    """Bring the database at `url` to the newest schema, make the partitions of the coming months, and wall tenants off;
    False where that last could not be done, because no role may be made there.

    All in one transaction, under an advisory lock: two at once wait for each other, and the second finds nothing to do.
    Raises Unavailable when a table stays locked (nothing has changed then), Misconfigured when the schema is newer than
    this program.
    """
    engine = open_engine(url, size=1, command_timeout_s=None)
    try:
        with postgres_errors():
            async with engine.begin() as conn:
                await _lock(conn)
                await conn.run_sync(_to, "head")
                raw = await conn.get_raw_connection()
                await ensure_partitions(_driver(raw), utc_now())
                return await raise_walls(_driver(raw))
    except Unavailable as error:
        raise Unavailable("PostgreSQL", f"the schema is as it was before, try again: {error}") from error
    finally:
        await engine.dispose()


async def downgrade(url: str, revision: str = "base") -> None:
    """Take the schema back to `revision`; what the newer tables held is lost. Raises as `upgrade` does."""
    engine = open_engine(url, size=1, command_timeout_s=None)
    try:
        with postgres_errors():
            async with engine.begin() as conn:
                await _lock(conn)
                await conn.run_sync(_to, revision)
    except Unavailable as error:
        raise Unavailable("PostgreSQL", f"the schema is as it was before, try again: {error}") from error
    finally:
        await engine.dispose()


def configuration() -> Config:
    """Alembic's configuration, wherever this program is installed."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config


async def _lock(conn: AsyncConnection) -> None:
    """Wait for another migration for a minute; from then on, for a table two seconds, so that no queue forms behind."""
    await conn.execute(text("SELECT set_config('statement_timeout', '0', true)"))
    await conn.execute(text("SELECT set_config('lock_timeout', :wait, true)"), {"wait": _WAIT_FOR_ANOTHER})
    await conn.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    await conn.execute(text("SELECT set_config('lock_timeout', :wait, true)"), {"wait": _WAIT_FOR_A_TABLE})


def _to(conn: Connection, revision: str) -> None:
    config = configuration()
    config.attributes["connection"] = conn
    try:
        if revision == "head":
            command.upgrade(config, revision)
        else:
            command.downgrade(config, revision)
    except CommandError as error:
        raise Misconfigured(f"the database's schema is unknown to this program, perhaps newer: {error}") from error


def _driver(raw: Any) -> asyncpg.Connection:
    return raw.driver_connection
