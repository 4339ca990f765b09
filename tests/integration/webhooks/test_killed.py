"""A courier that is killed with -9 between the endpoint's answer and its note: told again, under the same id."""

import os
from pathlib import Path

from plumbing.failpoints import Failpoint
from tests.builders import SECRET_KEY
from tests.integration.webhooks.telling import Telling
from tests.integration.workers.test_roles import running
from tracking.webhooks.messages import DELIVERED


async def test_a_worker_killed_after_the_answer_tells_it_again_under_the_same_id(
    telling: Telling, tmp_path: Path, database_url: str, redis_url: str, amqp_url: str
) -> None:
    webhook = await telling.webhook()
    message = await telling.message(webhook)
    environment = {
        **os.environ,
        "CARILLON_DATABASE_URL": database_url,
        "CARILLON_REDIS_URL": redis_url,
        "CARILLON_AMQP_URL": amqp_url,
        "CARILLON_SECRET_KEY": SECRET_KEY,
        "CARILLON_METRICS_PORT": "0",
        "CARILLON_WEBHOOK_HOSTS": "localhost",
        "CARILLON_FAILPOINTS": Failpoint.WEBHOOK_AFTER_SEND,
        "SSL_CERT_FILE": str(telling.receiver.authority),
    }

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
