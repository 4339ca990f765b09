"""What is read is asked for a fixed number of times, however many notifications a page holds and a walk passes."""

from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest

from domain.delivery import DeliveryStatus
from domain.lanes import Channel
from plumbing.database import open_read_pool
from plumbing.reading import TenantReads
from tests.integration.counts.conftest import Tapped, assert_no_dearer
from tests.integration.tracking.builders import person, recorded, records
from tracking import history
from tracking.walk import Filters

MANY = 120
TIMES = 3
"""Twice to warm up, once to count."""

LISTS = {
    "a list": Filters(),
    "a list of a status": Filters(status=DeliveryStatus.QUEUED),
    "a list of a status that nobody has": Filters(status=DeliveryStatus.DELIVERED),
    "a list of a problem on a channel": Filters(status=DeliveryStatus.SUPPRESSED, channel=Channel.EMAIL),
}


@pytest.fixture
async def reads(tapped_servers: Tapped, hot_pool: asyncpg.Pool, tenant: UUID) -> AsyncIterator[TenantReads]:
    """What routes read by, of a tenant that has sent."""
    who = await person(hot_pool, tenant)
    for status in (DeliveryStatus.QUEUED, DeliveryStatus.SUPPRESSED):
        await recorded(hot_pool, records(who, MANY, status=status))
    pool = await open_read_pool(tapped_servers.postgres.url, size=2)
    yield TenantReads(pool, tenant)
    await pool.close()


@pytest.mark.parametrize("name", LISTS)
async def test_a_list(tapped_servers: Tapped, reads: TenantReads, tenant: UUID, name: str) -> None:
    for _ in range(TIMES):
        before = tapped_servers.spent
        page = await history.listing(reads, tenant, LISTS[name])
        after = tapped_servers.spent

    assert len(page["items"]) == (0 if name.endswith("nobody has") else 50)
    assert_no_dearer(name, before, after)


@pytest.mark.parametrize("name", ["one with its history", "one's status"])
async def test_one(tapped_servers: Tapped, reads: TenantReads, hot_pool: asyncpg.Pool, tenant: UUID, name: str) -> None:
    one = await hot_pool.fetchval("SELECT max(id::text)::uuid FROM notifications WHERE tenant_id = $1", tenant)
    ask = history.explain if name == "one with its history" else history.status
    for _ in range(TIMES):
        before = tapped_servers.spent
        found = await ask(reads, tenant, one)
        after = tapped_servers.spent

    assert found is not None
    assert_no_dearer(name, before, after)
