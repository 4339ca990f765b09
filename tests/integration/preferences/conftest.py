"""What tests of preferences share: a seal, and a user of the test's own tenant."""

from uuid import UUID

import asyncpg
import pytest

from domain.notification import Recipient
from plumbing.secrets import Seal
from preferences.contacts import put_recipients

ADA = Recipient(user="ada", email="ada@example.com", phone="+33612345678", locale="fr", timezone="Europe/Paris")


@pytest.fixture(scope="session")
def seal() -> Seal:
    """A seal with a key that is no secret."""
    return Seal("a key for tests, of more than 32 bytes")


@pytest.fixture
async def ada(hot_pool: asyncpg.Pool, seal: Seal, tenant: UUID) -> Recipient:
    """A stored user with both addresses; answers how a sender names her."""
    async with hot_pool.acquire() as conn, conn.transaction():
        await put_recipients(conn, seal, tenant, [ADA])
    return Recipient(user="ada")
