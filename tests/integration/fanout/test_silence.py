"""PostgreSQL falls silent in the middle: whoever waits is told so in good time, and asks again safely."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import pytest

from domain.errors import RequestRefused, Unavailable
from domain.notification import NotificationStatus
from fanout.accept import Intake
from fanout.batch import Batcher
from fanout.cases import Accepted, Item
from ops.chaos.proxy import FaultProxy, fault_proxy
from plumbing.database import open_hot_pool
from tests.builders import a_key, a_sender, an_item
from tests.integration.fanout.conftest import Published, count

TOLD_WITHIN_S = 3.0
"""After half a second PostgreSQL is asked whether it is there, and has one to say so; a statement has five."""

pytestmark = pytest.mark.alone


@pytest.fixture
async def wire(database_url: str) -> AsyncIterator[FaultProxy]:
    """The way to PostgreSQL."""
    there = urlsplit(database_url)
    async with fault_proxy(there.hostname or "127.0.0.1", there.port or 5432) as wire:
        yield wire


@pytest.fixture
async def far(intake: Intake, database_url: str, wire: FaultProxy) -> AsyncIterator[Batcher]:
    """A batcher that reaches PostgreSQL over the wire."""
    there = urlsplit(database_url)
    way = there._replace(netloc=f"{there.netloc.rpartition(':')[0]}:{wire.port}").geturl()
    pool = await open_hot_pool(way, size=4)
    batcher = Batcher(replace(intake, pool=pool), Published())
    batcher.open()
    yield batcher
    wire.pass_()
    await batcher.close()
    await pool.close()


async def test_whoever_waits_is_told_soon_and_the_same_keys_are_one_notification_each_afterwards(
    far: Batcher, wire: FaultProxy, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    sender = a_sender(tenant)
    await far.submit(an_item(sender, a_key("before")))
    items = [an_item(sender, a_key(f"meanwhile-{n}")) for n in range(100)]

    async def ask_late(n: int) -> tuple[object, float]:
        await asyncio.sleep(n / 100)
        begun_s = time.monotonic()
        answer = (await asyncio.gather(far.submit(items[n]), return_exceptions=True))[0]
        return answer, time.monotonic() - begun_s

    wire.black_hole()
    told = await asyncio.gather(*map(ask_late, range(100)))
    wire.pass_()
    async with asyncio.timeout(20):
        later = [await _until_taken(far, item) for item in items]

    assert {type(answer) for answer, _ in told} == {Unavailable}
    assert max(took_s for _, took_s in told) < TOLD_WITHIN_S
    assert {answer.status for answer in later} == {NotificationStatus.ACCEPTED}
    assert await count(hot_pool, "notifications", tenant) == 101


async def _until_taken(batcher: Batcher, item: Item) -> Accepted:
    """As a careful client asks: again and again with the same key."""
    while True:
        try:
            return await batcher.submit(item)
        except (Unavailable, RequestRefused):
            await asyncio.sleep(0.1)
