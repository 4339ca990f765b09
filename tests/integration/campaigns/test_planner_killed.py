"""Planners that are killed with -9, before and after their commits: every subscriber is planned, and none twice."""

import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import cycle, islice
from typing import Any
from uuid import UUID

import asyncpg

from campaigns.broadcasts import Broadcast, BroadcastStatus
from domain.delivery import DeliveryStatus
from fanout.accept import Intake
from plumbing.failpoints import Failpoint
from tests.integration.campaigns.crowd import a_topic, again, planned, publish, subscribers
from tests.integration.workers.stage import eventually

SUBSCRIBERS = 10_000
DEATHS = 20
WAYS = (str(Failpoint.PLANNER_BEFORE_COMMIT), str(Failpoint.PLANNER_AFTER_COMMIT), "planner.before_commit:2")
"""A life that ends before its first commit, one that ends after it, and one that ends within its second batch."""


class Nursery:
    """Planner processes: each lives until its broadcast is planned or its failpoint ends it."""

    def __init__(self, process: asyncio.subprocess.Process, urls: tuple[str, str]) -> None:
        self._process = process
        self._urls = urls

    async def live(self, broadcast: Broadcast, dies_at: str = "") -> dict[str, int]:
        """One life: how many devices it `planned`, or by which `signal` it ended."""
        assert self._process.stdin is not None
        order: dict[str, Any] = {"database_url": self._urls[0], "redis_url": self._urls[1], "dies_at": dies_at}
        order |= {"tenant": str(broadcast.tenant_id), "broadcast": str(broadcast.id)}
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        answer: dict[str, int] = json.loads(await self.heard())
        return answer

    async def heard(self) -> bytes:
        """The next line it prints."""
        assert self._process.stdout is not None
        return await asyncio.wait_for(self._process.stdout.readline(), 30)


@asynccontextmanager
async def a_nursery(urls: tuple[str, str]) -> AsyncIterator[Nursery]:
    """One that is ready, ended whatever happens."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.integration.campaigns.planner_process",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    nursery = Nursery(process, urls)
    try:
        assert await nursery.heard() == b"ready\n"
        yield nursery
    finally:
        await process.communicate(b"")


async def test_ten_thousand_subscribers_and_twenty_deaths_are_ten_thousand_deliveries(
    intake: Intake, database_url: str, redis_url: str, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    await a_topic(hot_pool, tenant)
    devices = await subscribers(hot_pool, tenant, SUBSCRIBERS)
    broadcast = await publish(intake, tenant)
    begun_s, stood_at = time.monotonic(), []

    async with a_nursery((database_url, redis_url)) as nursery:
        for dies_at in islice(cycle(WAYS), DEATHS):
            assert await nursery.live(broadcast, dies_at) == {"signal": signal.SIGKILL}
            stood_at.append((await again(hot_pool, broadcast)).planned)
        last = await nursery.live(broadcast)

    assert last == {"planned": SUBSCRIBERS - stood_at[-1]}
    assert 0 < stood_at[-1] < SUBSCRIBERS
    assert len(set(stood_at)) > DEATHS // 2, "they died all along the way"
    rows = await planned(hot_pool, broadcast)
    assert [row["address_id"] for row in rows] == devices
    assert len({row["id"] for row in rows}) == SUBSCRIBERS
    assert {row["status"] for row in rows} == {DeliveryStatus.QUEUED.code}
    carried = await hot_pool.fetchval(
        "SELECT sum(cardinality(delivery_ids)) FROM outbox WHERE tenant_id = $1 AND published_at IS NULL", tenant
    )
    assert carried == SUBSCRIBERS
    now = await again(hot_pool, broadcast)
    assert (now.status, now.planned) == (BroadcastStatus.FINISHED, SUBSCRIBERS)
    assert time.monotonic() - begun_s < 60


async def test_two_processes_at_once_of_which_one_dies_plan_every_device_once(
    intake: Intake, database_url: str, redis_url: str, hot_pool: asyncpg.Pool, tenant: UUID
) -> None:
    await a_topic(hot_pool, tenant)
    devices = await subscribers(hot_pool, tenant, 6_000)
    broadcast, urls = await publish(intake, tenant), (database_url, redis_url)

    async with a_nursery(urls) as doomed, a_nursery(urls) as healthy:
        first = asyncio.create_task(doomed.live(broadcast, f"{Failpoint.PLANNER_AFTER_COMMIT}:3"))

        async def has_begun() -> bool:
            return (await again(hot_pool, broadcast)).planned > 0

        await eventually(has_begun, within_s=30)
        second = await healthy.live(broadcast)

    assert await first == {"signal": signal.SIGKILL}
    assert second == {"planned": 6_000 - 3 * 500}
    assert [row["address_id"] for row in await planned(hot_pool, broadcast)] == devices
