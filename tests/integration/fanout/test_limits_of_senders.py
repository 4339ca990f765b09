"""Limits of senders and of users: who has spent them is refused or spared, and told why and until when."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import UUID

from domain.errors import RequestRefused
from domain.lanes import Priority
from domain.notification import NotificationStatus
from domain.reasons import Reason
from fanout.accept import Intake
from fanout.batch import Batcher
from fanout.limits import Policy
from tests.builders import a_key, a_sender, an_item
from tests.integration.fanout.conftest import Published


@asynccontextmanager
async def at_work(intake: Intake, policy: Policy) -> AsyncIterator[Batcher]:
    """A batcher that is less generous than the others'."""
    batcher = Batcher(replace(intake, policy=policy), Published())
    batcher.open()
    yield batcher
    await batcher.close()


async def test_a_user_over_the_limit_is_spared_and_told_why(intake: Intake, tenant: UUID) -> None:
    sender = a_sender(tenant)

    async with at_work(intake, Policy(10_000, 10_000, 1, 2)) as strict:
        answers = [await strict.submit(an_item(sender, to="limited@example.com")) for _ in range(3)]
        urgent = await strict.submit(an_item(sender, to="limited@example.com", priority=Priority.CRITICAL))

    assert [answer.reason for answer in answers] == [None, None, Reason.RATE_LIMITED]
    assert urgent.status is NotificationStatus.ACCEPTED


async def test_a_duplicate_costs_its_user_nothing(intake: Intake, tenant: UUID) -> None:
    sender = a_sender(tenant)

    async with at_work(intake, Policy(10_000, 10_000, 1, 2)) as strict:
        for _ in range(4):
            await strict.submit(an_item(sender, to="spared@example.com", dedupe_key="same"))
        second = await strict.submit(an_item(sender, to="spared@example.com"))

    assert second.status is NotificationStatus.ACCEPTED


async def test_a_key_over_its_limit_gets_429_and_when_to_come_back(intake: Intake, tenant: UUID) -> None:
    sender = a_sender(tenant)

    async with at_work(intake, Policy(1, 2, 1000, 1000)) as strict:
        answers = await asyncio.gather(*(strict.submit(an_item(sender)) for _ in range(3)), return_exceptions=True)

    refused = [answer for answer in answers if isinstance(answer, RequestRefused)]
    assert [(each.status, each.reason) for each in refused] == [(429, "rate_limited")]
    assert refused[0].retry_after_s == 1
    assert refused[0].headers["RateLimit-Policy"] == '"key";q=2;w=2'
    assert refused[0].headers["RateLimit"].startswith('"key";r=0;t=')


async def test_a_fresh_answer_tells_what_its_key_has_left_and_a_replay_does_not(intake: Intake, tenant: UUID) -> None:
    sender = a_sender(tenant)

    async with at_work(intake, Policy(1e-6, 5, 1000, 1000)) as strict:
        fresh = [await strict.submit(an_item(sender, a_key(f"{n}"))) for n in range(3)]
        replay = await strict.submit(an_item(sender, a_key("0")))

    assert [answer.limit and answer.limit.remaining for answer in fresh] == [4, 3, 2]
    assert replay == replace(fresh[0], replayed=True)
    assert replay.limit is None
