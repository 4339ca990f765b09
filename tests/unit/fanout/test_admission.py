"""Admission asks the broker as little as it can, and never lets a lane take more than its limit."""

from typing import cast
from uuid import UUID

from domain.clock import utc_now
from domain.lanes import DECLARED_LANES, Channel, Lane, Priority
from fanout.admission import Admission
from plumbing.broker.publisher import Publisher
from plumbing.broker.topology import work_queue
from tracking.rows import OutboxRow

PUSH, EMAIL, SMS = (Lane(channel, Priority.HIGH) for channel in (Channel.PUSH, Channel.EMAIL, Channel.SMS))


class Broker:
    """Queues of a known depth, and who was asked for."""

    def __init__(self, **depths: int | None) -> None:
        self.depths: dict[str, int | None] = {name.replace("_", "."): depth for name, depth in depths.items()}
        self.asked: list[str] = []

    async def queue_depth(self, queue_name: str) -> int | None:
        """As the publisher tells it."""
        self.asked.append(queue_name)
        return self.depths.get(queue_name, 0)


def admission(broker: Broker, *, limit: int = 100, look_every_s: float = 3600.0) -> Admission:
    return Admission(cast("Publisher", broker), limit=limit, look_every_s=look_every_s)


async def test_only_the_lanes_that_are_wanted_are_asked_for_and_once() -> None:
    broker = Broker(work_email_high=100)
    lanes = admission(broker)

    first = await lanes.open_lanes([PUSH, EMAIL])
    second = await lanes.open_lanes([EMAIL, SMS, PUSH])

    assert (first, second) == ([PUSH], [SMS, PUSH])
    assert broker.asked == [work_queue(lane) for lane in (PUSH, EMAIL, SMS)]


async def test_a_lane_is_asked_for_again_when_its_look_is_old() -> None:
    broker = Broker(work_push_high=100)
    lanes = admission(broker, look_every_s=0.0)

    full = await lanes.open_lanes([PUSH])
    broker.depths["work.push.high"] = 99
    emptier = await lanes.open_lanes([PUSH])

    assert (full, emptier) == ([], [PUSH])


async def test_a_broker_that_does_not_answer_closes_all_lanes_and_is_asked_once() -> None:
    broker = Broker()
    lanes = admission(broker)
    await lanes.open_lanes([PUSH])
    broker.depths["work.email.high"] = None

    for wanted in ([PUSH, EMAIL], [SMS], DECLARED_LANES):
        assert await lanes.open_lanes(wanted) == []

    assert broker.asked == [work_queue(PUSH), work_queue(EMAIL)]


async def test_no_more_is_looked_for_than_a_lane_will_take_by_what_an_envelope_carries() -> None:
    lanes = admission(Broker(work_push_high=60))

    assert await lanes.open_envelopes(200, [PUSH, EMAIL]) == {PUSH: 40, EMAIL: 100}
    rows = [OutboxRow(UUID(int=n), UUID(int=0), PUSH, [UUID(int=n)] * 15, utc_now()) for n in range(4)]
    admitted = lanes.admit(rows)

    assert admitted == rows[:3]
    assert await lanes.open_envelopes(200, [PUSH, EMAIL]) == {EMAIL: 100}
