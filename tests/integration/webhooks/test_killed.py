"""Workers as processes, killed with -9: what was committed is told and nothing else, and told again when in doubt."""

import json
import os
from uuid import UUID

import pytest

from domain.delivery import DeliveryStatus
from plumbing.failpoints import Failpoint
from tests.builders import SECRET_KEY
from tests.integration.tracking.builders import status_of
from tests.integration.webhooks.telling import Telling
from tests.integration.workers.conftest import empty_stage
from tests.integration.workers.stage import eventually
from tests.integration.workers.test_kills import recorded_for_a_test_key
from tests.integration.workers.test_roles import running
from tracking.webhooks.messages import DELIVERED


@pytest.fixture
def surroundings(telling: Telling, database_url: str, redis_url: str, amqp_url: str) -> dict[str, str]:
    """What a worker is told from outside: the receiver may be called, and its authority is trusted."""
    return {
        **os.environ,
        "CARILLON_DATABASE_URL": database_url,
        "CARILLON_REDIS_URL": redis_url,
        "CARILLON_AMQP_URL": amqp_url,
        "CARILLON_SECRET_KEY": SECRET_KEY,
        "CARILLON_METRICS_PORT": "0",
        "CARILLON_WEBHOOK_HOSTS": "localhost",
        "SSL_CERT_FILE": str(telling.receiver.authority),
    }


async def for_test_keys(telling: Telling, amqp_url: str, count: int) -> list[UUID]:
    """Deliveries of a test key that wait for a worker: it takes them into a sink, and they are sent."""
    async with empty_stage(telling.pool, amqp_url) as stage:
        ids = await recorded_for_a_test_key(stage, telling.tenant, published=True)
    assert len(ids) == count
    return ids


async def test_a_worker_sends_notes_and_tells(telling: Telling, surroundings: dict[str, str], amqp_url: str) -> None:
    await telling.webhook()
    ids = await for_test_keys(telling, amqp_url, 5)

    async with running("worker", surroundings):
        await eventually(lambda: _are_told(telling, 5))

    told = [json.loads(taken.body)["data"] for taken in telling.receiver.taken]
    assert {(one["delivery_id"], one["status"], one["mode"]) for one in told} == {
        (str(one), "sent", "test") for one in ids
    }


@pytest.mark.parametrize("failpoint", [Failpoint.WORKER_AFTER_SEND, Failpoint.WORKER_AFTER_FINISH])
async def test_a_status_is_noted_if_and_only_if_it_was_committed(
    telling: Telling, surroundings: dict[str, str], amqp_url: str, failpoint: Failpoint
) -> None:
    await telling.webhook()
    ids = await for_test_keys(telling, amqp_url, 5)

    async with running("worker", {**surroundings, "CARILLON_FAILPOINTS": failpoint}) as worker:
        await worker.communicate()

    assert worker.returncode == -9
    sent = {one for one in ids if await status_of(telling.pool, one) is DeliveryStatus.SENT}
    assert {delivery for delivery, _ in await telling.noted()} == sent
    assert bool(sent) is (failpoint is Failpoint.WORKER_AFTER_FINISH)


async def test_a_worker_killed_after_the_answer_tells_it_again_under_the_same_id(
    telling: Telling, surroundings: dict[str, str]
) -> None:
    webhook = await telling.webhook()
    message = await telling.message(webhook)
    environment = {**surroundings, "CARILLON_FAILPOINTS": Failpoint.WEBHOOK_AFTER_SEND}

    async with running("worker", environment) as worker:
        await worker.communicate()
    between = await telling.row(message)
    told_before_the_lease_ran_out = await telling.courier.turn()
    await telling.make_due()
    await telling.courier.turn()

    assert worker.returncode == -9
    assert (between["outcome"], between["attempts"]) == (None, 1)
    assert told_before_the_lease_ran_out == 0
    first, second = telling.receiver.taken
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == str(message)
    assert first.body == second.body
    row = await telling.row(message)
    assert (row["outcome"], row["attempts"]) == (DELIVERED, 2)


async def _are_told(telling: Telling, count: int) -> bool:
    return len(telling.receiver.taken) >= count
