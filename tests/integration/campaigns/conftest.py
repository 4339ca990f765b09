"""An intake on real PostgreSQL and Redis; other tests' broadcasts and outbox rows are none of this folder's."""

import asyncpg
import pytest

from fanout.accept import Intake
from plumbing.cache import Cache
from plumbing.limiter import Limiter
from plumbing.secrets import Seal
from preferences.categories import Categories
from templates.catalog import Catalog
from tests.builders import SECRET_KEY
from tests.integration.fanout.conftest import GENEROUS


@pytest.fixture
def intake(hot_pool: asyncpg.Pool, cache: Cache) -> Intake:
    """What the planner works with; limits that no test meets by accident."""
    return Intake(hot_pool, cache, Limiter(cache), Seal(SECRET_KEY), Catalog.shipped(), Categories(), GENEROUS)


@pytest.fixture(autouse=True)
async def nothing_is_open(hot_pool: asyncpg.Pool) -> None:
    """A planner works for every tenant: what earlier tests left open is none of its business."""
    await hot_pool.execute("DELETE FROM broadcasts")
    await hot_pool.execute("DELETE FROM outbox")
