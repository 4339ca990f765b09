"""What alembic runs: it binds the migrations to a connection and compares the schema with `plumbing.tables`."""

import asyncio
import os

from alembic import context
from sqlalchemy import Connection

from migrations.env_rules import is_ours
from plumbing.database import open_engine
from plumbing.tables import METADATA


def migrate(conn: Connection) -> None:
    """Run what alembic was asked for on `conn`, in one transaction."""
    context.configure(connection=conn, target_metadata=METADATA, include_name=is_ours, compare_server_default=True)
    with context.begin_transaction():
        context.run_migrations()


async def migrate_by_url(url: str) -> None:
    """For the alembic command itself, as a developer uses it to write a new revision."""
    engine = open_engine(url, size=1, command_timeout_s=None)
    try:
        async with engine.begin() as conn:
            await conn.run_sync(migrate)
    finally:
        await engine.dispose()


if context.is_offline_mode():
    context.configure(dialect_name="postgresql", target_metadata=METADATA, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
elif (given := context.config.attributes.get("connection")) is not None:
    migrate(given)
else:
    asyncio.run(migrate_by_url(os.environ["CARILLON_DATABASE_URL"]))
