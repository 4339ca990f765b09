"""What one tenant may read: transactions in which PostgreSQL itself shows no other tenant's rows.

The statements name their tenant, and that is the first wall. Here is the second: a reader's transaction runs as a role
that owns nothing, may only read, and sees the rows of the tenant it was opened for. A statement that forgot its WHERE
finds nothing foreign; one outside of such a transaction is an error for that role (docs/decisions/0029).
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

import asyncpg

from plumbing.database import borrow

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

READER = "carillon_reader"
"""A role without log-in; `carillon migrate` makes it and says what it sees (migrations/walls.py)."""

CONTEXT = "carillon.tenant"
"""The setting that names the tenant, for the length of a transaction."""

_IS_WALLED = """
SELECT c.relrowsecurity AND EXISTS (SELECT FROM pg_policy p JOIN pg_roles r ON r.oid = ANY(p.polroles)
  WHERE p.polrelid = c.oid AND r.rolname = $1 AND pg_has_role(r.oid, 'MEMBER'))
FROM pg_class c WHERE c.oid = 'notifications'::regclass
"""


async def is_walled(conn: asyncpg.Connection) -> bool:
    """Whether the second wall stands, and this account may read behind it."""
    found: bool | None = await conn.fetchval(_IS_WALLED, READER)
    return bool(found)


class Connects(Protocol):
    """What gives connections of SQLAlchemy: its engine, or the reads of a tenant."""

    def connect(self) -> "AbstractAsyncContextManager[AsyncConnection]": ...


class TenantReads:
    """Lends connections for reading what is one tenant's: for `borrow` in a pool's place, and in an engine's."""

    __slots__ = ("_engine", "_pool", "_settings")

    def __init__(
        self, pool: asyncpg.Pool, tenant: UUID, *, engine: "AsyncEngine | None" = None, is_walled: bool = True
    ) -> None:
        self._pool = pool
        self._engine = engine
        settings = {"transaction_read_only": "on"}
        if is_walled:
            settings |= {CONTEXT: str(UUID(str(tenant))), "role": READER}
        parts = (f"set_config('{name}', '{value}', true)" for name, value in settings.items())
        self._settings = f"SELECT {', '.join(parts)}"

    def acquire(self, *, timeout: float | None = None) -> AbstractAsyncContextManager[asyncpg.Connection]:  # noqa: ARG002  # asyncpg's own form; the pool beneath has its own deadline
        """A connection in such a transaction, which ends with the loan."""
        return self._lend()

    async def fetch(self, statement: str, *values: Any) -> list[Any]:
        """Rows, as a pool gives them."""
        async with self._lend() as conn:
            return list(await conn.fetch(statement, *values))

    async def fetchrow(self, statement: str, *values: Any) -> Any:
        """The first row or None, as a pool gives it."""
        async with self._lend() as conn:
            return await conn.fetchrow(statement, *values)

    @asynccontextmanager
    async def connect(self) -> "AsyncIterator[AsyncConnection]":
        """The same of the engine; its transaction ends with the block."""
        assert self._engine is not None  # noqa: S101  # whoever made this gave one
        async with self._engine.connect() as conn:
            await conn.exec_driver_sql(self._settings)
            yield conn

    @asynccontextmanager
    async def _lend(self) -> AsyncIterator[asyncpg.Connection]:
        async with borrow(self._pool) as conn:
            await conn.execute(f"BEGIN; {self._settings}")
            try:
                yield conn
            except asyncpg.PostgresError:
                await conn.execute("ROLLBACK")
                raise
            await conn.execute("COMMIT")
