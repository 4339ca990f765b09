"""Messages that somebody published by hand: dead where they cannot be read, and never a reason to send or to end."""

from uuid import UUID

import msgspec

from domain.delivery import DeliveryStatus
from domain.ids import uuid7
from domain.lanes import Channel, Lane, Priority
from plumbing.broker.envelope import Envelope
from tests.integration.tracking.builders import person, records
from tests.integration.workers.stage import Stage, eventually

LANE = Lane(Channel.EMAIL, Priority.NORMAL)


async def test_90_what_a_stranger_publishes_is_dead_and_stops_nobody(stage: Stage, tenant: UUID) -> None:
    known = msgspec.json.decode(Envelope(uuid7(), tenant, LANE, (uuid7(),)).encode())
    unreadable = {
        "no JSON": b"\xff\xfe " + tenant.bytes,
        "another form": msgspec.json.encode({"tenant": str(tenant), "to": ["all"]}),
        "a version to come": msgspec.json.encode({**known, "v": 99}),
        "no delivery": msgspec.json.encode({**known, "ids": []}),
        "another lane": msgspec.json.encode({**known, "lane": "sms.normal"}),
        "twelve megabytes": b"x" * 12_000_000,
    }
    foreign = Envelope(uuid7(), uuid7(), LANE, (uuid7(), uuid7())).encode()
    bomb = {f"x-{number}": "y" * 20 for number in range(2000)}
    before = await _letters(stage)

    async with stage.worker():
        for body in unreadable.values():
            await stage.publish_raw("email.normal", body)
        await stage.publish_raw("email.normal", foreign)
        await stage.publish_raw("email.normal", b"?", headers=bomb)
        (delivery,) = await stage.accept(records(await person(stage.pool, tenant)))
        await stage.reaches(delivery, DeliveryStatus.SENT)

        async def are_dead() -> bool:
            return await _letters(stage) == before + len(unreadable) + 1

        await eventually(are_dead)
        await eventually(stage.is_drained)

    assert {one for one, _ in stage.channels.calls} == {delivery}


async def _letters(stage: Stage) -> int:
    count: int = await stage.pool.fetchval("SELECT count(*) FROM dead_letters WHERE reason = 'unreadable_message'")
    return count
