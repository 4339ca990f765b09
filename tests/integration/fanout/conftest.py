"""An intake on real PostgreSQL and Redis, a batcher whose publishing is a list, and what they left in the tables."""

from collections.abc import AsyncIterator, Sequence
from uuid import UUID

import asyncpg
import pytest

from fanout.accept import Intake
from fanout.batch import Batcher
from fanout.limits import Policy
from plumbing.cache import Cache
from plumbing.limiter import Limiter
from plumbing.secrets import Seal
from preferences.categories import Categories
from templates.catalog import Catalog
from tests.builders import SECRET_KEY
from tracking.rows import OutboxRow

GENEROUS = Policy(key_per_s=10_000, key_burst=100_000, user_per_hour=10_000, user_burst=1_000)


class Published:
    """Stands where RabbitMQ's publisher does: takes every envelope, and remembers them in order."""

    def __init__(self) -> None:
        self.rows: list[OutboxRow] = []

    async def __call__(self, rows: Sequence[OutboxRow]) -> set[UUID]:
        self.rows += rows
        return {row.id for row in rows}


async def count(pool: asyncpg.Pool, table: str, tenant: UUID) -> int:
    """Rows of this tenant."""
    found: int = await pool.fetchval(f"SELECT count(*) FROM {table} WHERE tenant_id = $1", tenant)
    return found


@pytest.fixture
def intake(hot_pool: asyncpg.Pool, cache: Cache) -> Intake:
    """What accept works with; limits that no test meets by accident."""
    return Intake(hot_pool, cache, Limiter(cache), Seal(SECRET_KEY), Catalog.shipped(), Categories(), GENEROUS)


@pytest.fixture
def published() -> Published:
    """The envelopes that were published beside the answers."""
    return Published()


@pytest.fixture
async def batcher(intake: Intake, published: Published) -> AsyncIterator[Batcher]:
    """A batcher at work."""
    batcher = Batcher(intake, published)
    batcher.open()
    yield batcher
    await batcher.close()
