"""Priorities under load: 10,000 low deliveries wait, 32 slots, a provider of 20 ms; urgent ones hardly notice."""

import asyncio
import statistics
import time
from uuid import UUID

import pytest

from domain.delivery import DeliveryStatus
from domain.ids import moment_of
from domain.lanes import Channel, Priority
from fanout.publish import publish_now
from tests.integration.tracking.builders import person, recorded, records
from tests.integration.workers.stage import Stage, eventually

SLOTS = 32
PROVIDER_S = 0.02
LOW = 10_000
CRITICAL = 150
EVERY_S = 0.05


@pytest.mark.alone
@pytest.mark.slow
async def test_critical_deliveries_hardly_wait_behind_ten_thousand_low_ones(stage: Stage, tenant: UUID) -> None:
    who = await person(stage.pool, tenant)
    made = records(who, LOW, priority=Priority.LOW)
    await recorded(stage.pool, made)
    for start in range(0, len(made.outbox), 100):
        assert len(await publish_now(stage.publisher, made.outbox[start : start + 100])) == 100
    low = {row.id for row in made.deliveries}
    stage.channels.delay_s = PROVIDER_S

    async with stage.worker({Channel.EMAIL: SLOTS}):

        async def is_busy() -> bool:
            return len(stage.channels.calls) > 200

        await eventually(is_busy)
        begun = time.time()
        critical: list[UUID] = []
        for _ in range(CRITICAL):
            critical += await stage.accept(records(who, 1, priority=Priority.CRITICAL))
            await asyncio.sleep(EVERY_S)
        took_s = time.time() - begun
        for one in critical:
            await stage.reaches(one, DeliveryStatus.SENT)

    at = dict(reversed(stage.channels.calls))
    waits_ms = sorted((at[one] - moment_of(one).timestamp()) * 1000 for one in critical)
    low_per_s = sum(one in low and begun <= when < begun + took_s for one, when in stage.channels.calls) / took_s
    share = low_per_s / (SLOTS / PROVIDER_S)
    p50_ms, p99_ms = statistics.median(waits_ms), waits_ms[int(len(waits_ms) * 0.99)]
    print(f"critical wait p50 {p50_ms:.1f} ms, p99 {p99_ms:.1f} ms; low {low_per_s:.0f}/s, {share:.0%} of capacity")
    assert p99_ms < 100
    assert share >= 0.25
