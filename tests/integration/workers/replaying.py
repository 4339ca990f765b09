"""A replay on its way, for tests: asked for over HTTP, taken further by the leader's duty, its deliveries answered."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

import asyncpg

from domain.delivery import PROBLEMS, DeliveryStatus
from preferences.categories import Categories
from tests.integration.api.bench import PATH, Bench
from tests.integration.letters import Died
from tests.integration.workers.stage import Stage
from workers.leader import Led
from workers.replays import Replays


def led_by(pool: asyncpg.Pool) -> Led:
    """Transactions of somebody who leads."""

    @asynccontextmanager
    async def led() -> AsyncIterator[asyncpg.Connection]:
        async with pool.acquire() as conn, conn.transaction():
            yield conn

    return cast("Led", led)


@dataclass
class Replaying:
    """An operator, and a leader who does nothing else."""

    bench: Bench
    stage: Stage

    async def ask(self, **asked: Any) -> Any:
        """Ask for a replay, which must be taken."""
        answer = await self.bench.mine.post(f"{PATH}/replay", json=asked)
        assert answer.status_code in (200, 202), answer.text
        return answer.json()

    async def beat(self) -> None:
        """One turn of the duty."""
        await Replays(self.stage.publisher, Categories()).work(led_by(self.stage.pool))

    async def told(self, run_id: str) -> Any:
        """How far the run is."""
        return (await self.bench.mine.get(f"{PATH}/replays/{run_id}")).json()

    async def queued(self, letters: Sequence[Died]) -> list[UUID]:
        """Those deliveries that wait for a worker."""
        rows = await self.stage.pool.fetch(
            "SELECT id FROM deliveries WHERE id = ANY($1::uuid[]) AND status = $2 ORDER BY id",
            [one.delivery for one in letters],
            DeliveryStatus.QUEUED.code,
        )
        return [row["id"] for row in rows]

    async def answer(self, deliveries: Sequence[UUID], status: DeliveryStatus = DeliveryStatus.SENT) -> None:
        """As if a worker had brought these there."""
        await self.stage.pool.execute(
            "UPDATE deliveries SET status = $2, problem = $3 WHERE id = ANY($1::uuid[])",
            deliveries,
            status.code,
            status.code if status in PROBLEMS else None,
        )

    async def time_passes(self, seconds: int) -> None:
        """As if nobody had led for so long."""
        await self.stage.pool.execute(
            "UPDATE dead_letter_runs SET updated_at = updated_at - make_interval(secs => $2) WHERE tenant_id = $1",
            self.bench.tenant_id,
            seconds,
        )
