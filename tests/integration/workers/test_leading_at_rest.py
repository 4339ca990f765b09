"""A leader with little to do: it writes its lease and no more, and leaves the broker alone."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import cast
from uuid import UUID

import asyncpg
import pytest

from domain.lanes import Lane
from plumbing.broker.publisher import Publisher
from plumbing.metrics import Duty
from tests.integration.tracking.builders import person, recorded, records
from tests.integration.workers.stage import Stage, eventually
from tests.integration.workers.test_leading import at_work, retry
from workers.duties import Duties
from workers.leader import Leader, Led, Turn

pytestmark = pytest.mark.usefixtures("outbox_is_empty")


class Asked:
    """A publisher that counts the queues it is asked for."""

    def __init__(self) -> None:
        self.count = 0

    async def queue_depth(self, queue_name: str) -> int | None:
        """Empty."""
        self.count += 1
        return 0


async def test_a_sweep_asks_the_broker_only_when_there_is_something_to_sweep(
    stage: Stage, tenant: UUID, database_url: str
) -> None:
    asked = Asked()
    duties = Duties(cast("Publisher", asked), retry, 13)
    counts: list[int] = []

    async def swept(led: Led) -> bool:
        await duties.sweep(led)
        counts.append(asked.count)
        return True  # again at once

    async with at_work(Leader(database_url, [Turn(Duty.SWEEP, 1, swept)], name="scheduler", owner="sweeper")):
        await eventually(lambda: reached(lambda: len(counts) >= 3))
        idle = list(counts)
        made = records(await person(stage.pool, tenant))
        await recorded(stage.pool, made)
        await stage.pool.execute("UPDATE outbox SET watch_at = now() WHERE id = $1", made.outbox[0].id)
        await eventually(lambda: reached(lambda: counts[-1] > 0))

    assert idle[0] == idle[-1] == 0


async def reached(condition: Callable[[], bool]) -> bool:
    return condition()


async def test_a_lease_is_renewed_though_no_duty_is_due(stage: Stage, database_url: str) -> None:
    done = 0

    async def work(_: Led) -> bool:
        nonlocal done
        done += 1
        return False

    async def until() -> datetime | None:
        at: datetime | None = await stage.pool.fetchval("SELECT until FROM leader WHERE name = 'scheduler'")
        return at

    async with at_work(Leader(database_url, [Turn(Duty.SWEEP, 3600, work)], name="scheduler", owner="idle")):
        await eventually(lambda: reached(lambda: done == 1))
        before = await until()

        async def is_renewed() -> bool:
            at = await until()
            return at is not None and before is not None and at > before

        await eventually(is_renewed)

    assert done == 1


async def test_no_transaction_is_open_while_the_broker_is_asked(stage: Stage, tenant: UUID) -> None:
    made = records(await person(stage.pool, tenant))
    await recorded(stage.pool, made)
    await stage.pool.execute("UPDATE outbox SET watch_at = now() WHERE id = $1", made.outbox[0].id)
    done: list[str] = []

    class Slow(Duties):
        async def drained_lanes(self) -> list[Lane]:
            done.append("asked")
            return []

    @asynccontextmanager
    async def led() -> AsyncIterator[asyncpg.Connection]:
        done.append("begun")
        async with stage.pool.acquire() as conn:
            yield conn
        done.append("ended")

    await Slow(stage.publisher, retry, 13).sweep(led)

    assert done == ["begun", "ended", "asked", "begun", "ended"]
