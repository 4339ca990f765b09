"""Redis forgets everything, then is gone: nobody who is connected waits longer than 25 s for a push."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from domain.delivery import DeliveryStatus
from ops.stack.accounts import data_folder
from ops.stack.choice import find_real, prepare
from ops.stack.database import create_database, drop_database, sibling_url
from ops.stack.parts import Part, Way
from ops.stack.server import Server
from tests.journey.push_checker import judge
from tests.journey.pushes import UNLIMITED, Crowd, await_ends
from tests.journey.running import Up
from tests.journey.sends import Sends

DEVICES = 12
PER_S = 12.0
REQUESTS = 360
FLUSHES, FLUSH_EVERY_S, AWAY_S = 5, 2.0, 15.0
LONGEST_WAIT_S = 25.0


@pytest.fixture
def redis_server(server_folder: Path) -> Iterator[Server]:
    """A Redis of our own, which may be ended."""
    way = Way.PRIVATE if find_real(Part.REDIS) is not None else Way.EMBEDDED
    server = prepare(Part.REDIS, way, data_folder(server_folder / "push-redis-server"))
    server.start()
    server.await_ready()
    yield server
    server.stop()


@pytest.fixture
async def platform(
    redis_server: Server, server_folder: Path, tmp_path: Path, database_url: str, amqp_url: str
) -> AsyncIterator[Up]:
    """The whole platform on that Redis."""
    name = f"push_redis_{os.getpid()}"
    urls = {
        "CARILLON_DATABASE_URL": sibling_url(database_url, name),
        "CARILLON_REDIS_URL": redis_server.url,
        "CARILLON_AMQP_URL": amqp_url,
        **UNLIMITED,
    }
    anywhere = sibling_url(database_url, "postgres")
    await create_database(anywhere, name)
    up = Up.start(data_folder(server_folder / name), tmp_path / "up.txt", stack="url", more=urls)
    try:
        yield up
    finally:
        await asyncio.to_thread(up.stop)
        await drop_database(anywhere, name)


async def test_nobody_waits_long_while_redis_is_flushed_and_gone(platform: Up, redis_server: Server) -> None:
    run = await asyncio.to_thread(platform.await_healthy)
    crowd = Crowd(run)
    devices = await crowd.register(DEVICES)
    await asyncio.gather(*(device.come() for device in devices))
    sends = Sends(run["api_url"], run["api_key"])
    requests = [
        {"to": {"device_token": devices[n % DEVICES].token}, "content": _words(n), "channels": ["push"]}
        for n in range(REQUESTS)
    ]

    async with asyncio.TaskGroup() as group:
        group.create_task(sends.send_all(requests, per_s=PER_S, name="redis"))
        group.create_task(_trouble(redis_server))
    ends = await await_ends(crowd, [], within_s=60)
    verdict = await judge(run["database_url"], crowd.by_id, sends.accepted.values())
    await crowd.stop()

    shown_at = {each.notification_id: each.at_s for device in devices for each in device.shown}
    missing = [key for key, id_ in sends.accepted.items() if str(id_) not in shown_at]
    assert (verdict.text, missing) == ("", []), platform.said()
    waits_s = sorted(shown_at[str(sends.accepted[key])] - at_s for key, at_s in sends.accepted_at.items())
    print(
        f"waits: half {waits_s[len(waits_s) // 2]:.3f} s, the longest {waits_s[-1]:.1f} s; "
        f"heard {verdict.heard}, shown {verdict.shown}"
    )
    assert (sends.refused, len(sends.accepted)) == ([], REQUESTS)
    assert list(ends.values()) == [DeliveryStatus.DELIVERED] * REQUESTS, platform.said()
    assert waits_s[-1] < LONGEST_WAIT_S


async def _trouble(server: Server) -> None:
    """Everything is forgotten, again and again; then Redis is away for a while, and comes back empty."""
    async with Redis.from_url(server.url) as client:
        for _ in range(FLUSHES):
            await asyncio.sleep(FLUSH_EVERY_S)
            await client.flushall()
    server.kill()
    await asyncio.sleep(AWAY_S)
    server.start()
    await asyncio.to_thread(server.await_ready)


def _words(n: int) -> dict[str, str]:
    return {"title": f"No. {n}", "body": "Soon."}
