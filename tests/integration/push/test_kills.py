"""`kill -9` of a worker at every named place of a push's way: it ends in the mailbox, once."""

from uuid import UUID

import pytest

from domain.delivery import DeliveryStatus
from fanout.relay import Relay
from plumbing.failpoints import Failpoint
from tests.integration.push.people import an_owner, pushes
from tests.integration.push.stage import PushStage
from tests.integration.workers.conftest import environment as environment
from tests.integration.workers.test_kills import KILLED, time_passes
from tests.integration.workers.test_roles import running

PLACES = (Failpoint.PUSH_AFTER_PUBLISH, Failpoint.PUSH_AFTER_STORE, Failpoint.PUSH_BEFORE_HINT)


@pytest.mark.parametrize("failpoint", PLACES)
async def test_a_worker_killed_there_loses_no_push(
    failpoint: Failpoint, push: PushStage, tenant: UUID, environment: dict[str, str]
) -> None:
    await push.pool.execute("DELETE FROM outbox")
    owner = await an_owner(push.pool, tenant)
    async with push.gateway() as gateway:
        if failpoint is Failpoint.PUSH_AFTER_PUBLISH:
            await gateway.login(owner.device)
        [one] = await push.accept(pushes(owner))

        async with running("worker", {**environment, "CARILLON_FAILPOINTS": failpoint}) as worker:
            await worker.communicate()

        assert worker.returncode == KILLED
        is_stored = failpoint is Failpoint.PUSH_BEFORE_HINT
        assert await push.mail(owner.device) == ([one] if is_stored else [])
        await time_passes(push.pool, tenant, [one])
        async with push.worker():
            await Relay(push.pool, push.publisher).turn()
            await push.reaches(one, DeliveryStatus.STORED)

    assert await push.mail(owner.device) == [one]
    assert gateway.deliveries == ([one] if failpoint is Failpoint.PUSH_AFTER_PUBLISH else [])
    assert gateway.drains == ([owner.device] if failpoint is Failpoint.PUSH_AFTER_PUBLISH else [])
