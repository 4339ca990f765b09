"""Three nodes in two regions: devices prefer their own, one node is killed, and nobody loses what was stored."""

import asyncio
import signal

from tests.integration.gateway.processes import gateway
from tests.integration.gateway.station import Phone, Station, a_frame, a_node, id_of, until


async def test_when_a_node_is_killed_its_devices_go_on_elsewhere_and_lose_nothing(
    station: Station, amqp_url: str, environment: dict[str, str]
) -> None:
    told = {**environment, "CARILLON_GATEWAY_NODE": "north-2", "CARILLON_GATEWAY_REGION": "north"}
    async with (
        a_node(station, amqp_url, name="north-1", region="north") as near,
        a_node(station, amqp_url, name="south-1", region="south") as far,
        gateway(told) as (process, ready),
    ):
        phones = [await station.phone() for _ in range(50)]
        await asyncio.gather(*(phone.log_in(ready["url"], region="north") for phone in phones))
        assert set(phones[0].greeting["gateways"][:2]) == {near.url, ready["url"]}
        stored = {phone.device: await station.letter(phone) for phone in phones}

        process.send_signal(signal.SIGKILL)
        await asyncio.gather(*(phone.closed() for phone in phones))
        homes = [next(url for url in phone.greeting["gateways"] if url != ready["url"]) for phone in phones]
        await asyncio.gather(*(phone.log_in(url) for phone, url in zip(phones, homes, strict=True)))

        assert set(homes) == {near.url}
        heard = {phone.device: await _next_and_ack(phone) for phone in phones}
        assert heard == stored
        await until(lambda: sorted(station.reported("delivered")) == sorted(stored.values()))
        places = await station.presence.where([phone.device for phone in phones])
        assert places is not None
        assert {place.node for place in places.values()} == {"north-1"}
        assert len(places) == len(phones)
        frames = [a_frame(phone) for phone in phones]
        await station.push(near, *frames)
        assert [(await phone.hear())["id"] for phone in phones] == [id_of(frame) for frame in frames]
        elsewhere = await (await station.phone()).log_in(far.url)
        await asyncio.gather(*(phone.hang_up() for phone in [*phones, elsewhere]))


async def _next_and_ack(phone: Phone) -> str:
    heard = str((await phone.hear())["id"])
    await phone.ack(heard)
    return heard
