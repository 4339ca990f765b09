"""A provider that fails everybody for a while, or many: it is spared, nobody is given up, nothing rushes back."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from uuid import UUID

import pytest

from channels.base import Outcome, Outgoing, Sent
from channels.breaker import Breaker, BreakerState
from channels.budget import AT_ONCE, LEAST_PER_S, SHARE
from channels.registry import Channels
from domain.delivery import DeliveryStatus
from domain.errors import Transient
from domain.lanes import Channel
from domain.reasons import Reason
from fanout.relay import Relay
from tests.integration.tracking.builders import person, records
from tests.integration.workers.stage import Stage, eventually
from tracking.events import EventKind

pytestmark = pytest.mark.usefixtures("outbox_is_empty")

LIMIT_PER_S = 50.0
SLOTS = {Channel.EMAIL: 16}
FIRST_OPEN_S = 0.5
"""Not five: the second trial comes after 1.5 s, the third after 3.5."""

SENT = Sent("provider", "1", "250 OK", 1.0)
DOWN = Transient(Reason.PROVIDER_UNAVAILABLE, "503")


class Provider:
    """Answers what `mood` says of each call, counted from 0; remembers when it was called, and for which attempt."""

    channel = Channel.EMAIL
    provider = "provider"
    slice_size = 1
    timeout_s = 5.0

    def __init__(self, mood: Callable[[int], Outcome]) -> None:
        self.mood = mood
        self.called_s: list[float] = []
        self.attempts: list[int] = []

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def send(self, slice_: Sequence[Outgoing]) -> list[Outcome]:
        self.called_s.append(time.monotonic())
        self.attempts.append(slice_[0].attempt)
        answer = self.mood(len(self.called_s) - 1)
        await asyncio.sleep(0.01)
        return [answer]

    def most_in_a_second(self, since_s: float) -> int:
        """The calls of its busiest second."""
        called_s = [one for one in self.called_s if one >= since_s]
        return max(sum(begin_s <= one < begin_s + 1 for one in called_s) for begin_s in called_s)


@asynccontextmanager
async def working(stage: Stage, provider: Provider, max_per_s: float) -> AsyncIterator[Channels]:
    """A worker and a relay over this provider."""
    channels = Channels({Channel.EMAIL: provider}, {}, max_per_s={Channel.EMAIL: max_per_s})
    channels.breakers[Channel.EMAIL] = Breaker("provider", first_open_s=FIRST_OPEN_S)
    relay = asyncio.create_task(Relay(stage.pool, stage.publisher).run())
    async with stage.worker(SLOTS, crew=replace(stage.crew(), sending=channels)):
        yield channels
    relay.cancel()
    with suppress(asyncio.CancelledError):
        await relay


async def count(stage: Stage, ids: list[UUID], status: DeliveryStatus) -> int:
    of: int = await stage.pool.fetchval(
        "SELECT count(*) FROM deliveries WHERE id = ANY($1::uuid[]) AND status = $2", ids, status.code
    )
    return of


async def all_sent(stage: Stage, ids: list[UUID]) -> None:
    """On a slow machine some have failed twice, and lie with the broker for a minute."""

    async def are_sent() -> bool:
        return await count(stage, ids, DeliveryStatus.SENT) == len(ids)

    await eventually(are_sent, within_s=90, what="the end of all")


async def hurry(stage: Stage, tenant: UUID) -> None:
    """Let what rests in PostgreSQL go now."""
    unpublished = "UPDATE outbox SET available_at = now() WHERE tenant_id = $1 AND published_at IS NULL"
    await stage.pool.execute("UPDATE deliveries SET next_attempt_at = now() WHERE next_attempt_at > now()")
    await stage.pool.execute(unpublished, tenant)


async def test_a_provider_that_was_down_is_asked_one_by_one_and_gets_no_rush_when_it_is_back(
    stage: Stage, tenant: UUID
) -> None:
    provider = Provider(lambda _: DOWN)
    async with working(stage, provider, LIMIT_PER_S) as channels:
        ids = await stage.accept(records(await person(stage.pool, tenant), 150))
        breaker = channels.breakers[Channel.EMAIL]
        trials_s: list[float] = []

        async def has_failed_two_trials() -> bool:
            trials_s[:] = [one for one in provider.called_s if breaker.opened_at and one > provider.called_s[0] + 0.3]
            return len(trials_s) >= 2

        await eventually(has_failed_two_trials)
        asked_while_down = len(provider.called_s)
        provider.mood = lambda _: SENT
        back_s = time.monotonic()
        await all_sent(stage, ids)

    assert asked_while_down <= SLOTS[Channel.EMAIL] + 2
    assert trials_s[1] - trials_s[0] > 0.9
    assert breaker.state is BreakerState.CLOSED
    assert provider.most_in_a_second(back_s) <= 1.2 * LIMIT_PER_S + 1
    in_vain = "SELECT count(*) FROM events WHERE delivery_id = ANY($1::uuid[]) AND kind = $2 AND detail LIKE $3"
    assert await stage.pool.fetchval(in_vain, ids, EventKind.NOT_SENT.code, b"%provider_throttled%") <= len(ids) / 5


async def test_retries_of_a_provider_that_fails_many_keep_to_their_budget_and_wait_in_postgresql(
    stage: Stage, tenant: UUID
) -> None:
    provider = Provider(lambda call: DOWN if call % 5 in (0, 3) else SENT)
    async with working(stage, provider, max_per_s=1000.0) as channels:
        begun_s = time.monotonic()
        ids = await stage.accept(records(await person(stage.pool, tenant), 300))

        async def all_were_tried() -> bool:
            return provider.attempts.count(1) >= len(ids)

        await eventually(all_were_tried)
        kept = await stage.pool.fetchval(
            "SELECT count(*) FROM outbox WHERE tenant_id = $1 AND published_at IS NULL AND available_at > now()", tenant
        )
        put_off = await count(stage, ids, DeliveryStatus.RESTING)
        retries, took_s = len(provider.attempts) - len(ids), time.monotonic() - begun_s
        provider.mood = lambda _: SENT

        async def none_is_sending() -> bool:
            return await count(stage, ids, DeliveryStatus.SENDING) == 0

        await eventually(none_is_sending, what="the end of calls under way")
        await hurry(stage, tenant)
        await all_sent(stage, ids)

    assert channels.breakers[Channel.EMAIL].state is BreakerState.CLOSED
    assert retries <= SHARE * len(ids) + LEAST_PER_S * took_s + AT_ONCE
    assert put_off > 50
    assert kept > put_off / 2
