"""The gateway as a process: ready with its URL, metrics and health; on SIGTERM it sends its devices away in waves."""

import asyncio
import json
import signal
import time

from tests.integration.gateway.processes import gateway
from tests.integration.gateway.station import Phone, Station
from tests.integration.plumbing.test_side_door import ask


async def test_a_gateway_is_ready_and_healthy_and_counts_its_devices(
    station: Station, environment: dict[str, str]
) -> None:
    async with gateway(environment) as (process, ready):
        assert ready["ready"] == "gateway"
        assert ready["pid"] == process.pid
        assert ready["url"].startswith("ws://127.0.0.1:")
        phone = await (await station.phone()).log_in(ready["url"])
        side_door = ready["metrics_url"].removesuffix("/metrics")
        assert (await ask(side_door, "/health/ready"))[0] == 200

        async with asyncio.timeout(30):
            while "apns_active_device_connections 1.0" not in (await ask(side_door, "/metrics"))[1]:
                await asyncio.sleep(0.1)
        await phone.hang_up()


async def test_a_gateway_that_is_told_to_end_sends_its_devices_away_in_waves(
    station: Station, environment: dict[str, str]
) -> None:
    async with gateway(environment) as (process, ready):
        phones = [await station.phone() for _ in range(200)]
        await asyncio.gather(*(phone.log_in(ready["url"]) for phone in phones))
        begun_s = time.monotonic()

        async def end(phone: Phone) -> tuple[float, int, float]:
            code, reason = await phone.closed(30)
            return time.monotonic() - begun_s, code, json.loads(reason)["retry_after_s"]

        process.send_signal(signal.SIGTERM)
        ends = await asyncio.gather(*map(end, phones))
        async with asyncio.timeout(30):
            await process.wait()

    assert process.returncode == 0
    assert time.monotonic() - begun_s < 30
    assert {code for _, code, _ in ends} == {4500}
    assert all(0 < retry_after_s <= 3 for _, _, retry_after_s in ends)
    for second in range(9):
        assert sum(1 for at, _, _ in ends if second <= at < second + 1) <= 0.1 * len(ends) + 4
    places = await station.presence.where([phone.device for phone in phones])
    assert places == {}
