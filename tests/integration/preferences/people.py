"""Short ways to ask PostgreSQL about people in tests."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg

from domain.notification import Recipient
from plumbing.secrets import Seal
from preferences import contacts
from preferences.model import KnownRecipient


async def known(pool: asyncpg.Pool, seal: Seal, tenant: UUID, recipient: Recipient) -> KnownRecipient:
    """What is known of one recipient now."""
    async with pool.acquire() as conn, conn.transaction():
        return (await contacts.load(conn, seal, tenant, [recipient]))[recipient]


async def put(pool: asyncpg.Pool, seal: Seal, tenant: UUID, recipients: Iterable[Recipient]) -> None:
    """Write recipients in a transaction of their own."""
    async with pool.acquire() as conn, conn.transaction():
        await contacts.put_recipients(conn, seal, tenant, list(recipients))


@asynccontextmanager
async def counted(pool: asyncpg.Pool) -> AsyncIterator[tuple[asyncpg.Connection, Callable[[], Awaitable[int]]]]:
    """A connection in a transaction, and what tells how many statements it ran since it was last asked."""
    ran: list[str] = []

    async def count() -> int:
        await asyncio.sleep(0)  # the driver logs in the loop's next turn
        number = len(ran)
        ran.clear()
        return number

    def note(query: asyncpg.connection.LoggedQuery) -> None:
        ran.append(query.query)

    async with pool.acquire() as conn, conn.transaction():
        with conn.query_logger(note):
            yield conn, count
