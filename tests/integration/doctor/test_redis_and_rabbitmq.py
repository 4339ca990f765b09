"""What the doctor sees in a real Redis and a real RabbitMQ; the management plugin is scripted."""

import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import aio_pika
import pytest
from aio_pika.abc import AbstractConnection
from redis.asyncio import Redis

from domain.clock import utc_now
from domain.lanes import DECLARED_LANES
from ops.doctor import rabbitmq, redis
from ops.doctor.findings import Level
from ops.stack.choice import find_real
from ops.stack.parts import Part, Way
from ops.stack.rabbitmq import rabbitmq_server
from plumbing.broker import topology
from tests.integration.doctor.visits import a_patient, gathered

LANE = topology.work_queue(DECLARED_LANES[0])


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
async def connection(amqp_url: str) -> AsyncIterator[AbstractConnection]:
    async with await aio_pika.connect(amqp_url) as connection:
        async with connection.channel() as amqp_channel:
            await topology.declare(amqp_channel)
        yield connection


async def test_a_redis_that_refuses_when_it_is_full_is_a_fault(client: Redis) -> None:
    if "maxmemory_policy" not in await client.info("memory"):
        pytest.skip("the embedded Redis has no limit of memory")
    before = await gathered(redis.look(a_patient(), client))
    await client.config_set("maxmemory", "100mb")
    try:
        await client.config_set("maxmemory-policy", "noeviction")
        refusing = await gathered(redis.look(a_patient(), client))
        await client.config_set("maxmemory-policy", "allkeys-lru")
        evicting = await gathered(redis.look(a_patient(), client))
    finally:
        await client.config_set("maxmemory", "0")
        await client.config_set("maxmemory-policy", "noeviction")

    assert before["redis.memory"].level is Level.WARN
    assert refusing["redis.eviction"].level is Level.FAIL
    assert {each.level for each in evicting.values()} == {Level.OK}


async def test_the_clock_of_redis_is_compared(client: Redis) -> None:
    levels = [(await gathered(redis.look(a_patient(skew_s=skew_s), client)))["redis.clock"].level for skew_s in (0, 60)]

    assert levels == [Level.OK, Level.FAIL]


async def test_lanes_without_workers_are_a_fault_until_somebody_consumes(connection: AbstractConnection) -> None:
    idle = await gathered(rabbitmq.look(a_patient(), connection))
    async with connection.channel() as amqp_channel:
        for lane in DECLARED_LANES:
            queue = await amqp_channel.get_queue(topology.work_queue(lane))
            await queue.consume(_keep)
        worked = await gathered(rabbitmq.look(a_patient(), connection))

    assert idle["rabbitmq.consumers"].level is Level.FAIL
    assert worked["rabbitmq.consumers"].level is Level.OK
    assert worked["rabbitmq.queues"].level is Level.OK
    assert worked["rabbitmq.alarm"].level is Level.OK


async def test_a_queue_with_other_arguments_or_none_is_told_and_left_alone(connection: AbstractConnection) -> None:
    async with connection.channel() as amqp_channel:
        await amqp_channel.queue_delete(LANE)
    missing = (await gathered(rabbitmq.look(a_patient(), connection)))["rabbitmq.queues"]
    still_missing = (await gathered(rabbitmq.look(a_patient(), connection)))["rabbitmq.queues"]
    async with connection.channel() as amqp_channel:
        await amqp_channel.declare_queue(LANE, durable=True, arguments={"x-queue-type": "quorum"})
    other = (await gathered(rabbitmq.look(a_patient(), connection)))["rabbitmq.queues"]
    async with connection.channel() as amqp_channel:
        await amqp_channel.queue_delete(LANE)
        await topology.declare(amqp_channel)

    assert (missing.level, still_missing.level) == (Level.WARN, Level.WARN)
    assert other.level is Level.FAIL
    assert LANE in other.words


@pytest.mark.alone
async def test_a_broker_with_an_alarm_is_a_fault(server_folder: Path) -> None:
    if find_real(Part.RABBITMQ) is None:
        pytest.skip("only a real RabbitMQ has alarms")
    folder = server_folder / "alarmed"
    folder.mkdir()
    server = rabbitmq_server(Way.PRIVATE, folder, password="alarmed", log=folder / "log")
    with (folder / "rabbitmq" / "rabbitmq.conf").open("a") as file:
        file.write("vm_memory_high_watermark.absolute = 10MB\n")
    server.start()
    try:
        server.await_ready()
        connection = await aio_pika.connect(str(server.url))
        found = await rabbitmq._alarm(connection)
    finally:
        server.stop()

    assert found.level is Level.FAIL
    assert "broker-blocked" in found.advice


@pytest.mark.parametrize(
    ("node", "level"),
    [
        ({"disk_free_limit": 2_000_000_000, "disk_free": 9_000_000_000}, Level.OK),
        ({"disk_free_limit": 50_000_000, "disk_free": 9_000_000_000}, Level.WARN),
        ({"disk_free_limit": 2_000_000_000, "disk_free": 1, "disk_free_alarm": True}, Level.FAIL),
        ({"disk_free_limit": 2_000_000_000, "disk_free": 9_000_000_000, "mem_alarm": True}, Level.FAIL),
    ],
)
async def test_the_management_plugin_tells_of_the_disk(
    connection: AbstractConnection, node: dict[str, Any], level: Level
) -> None:
    with _management([{"name": "rabbit@one", **node}]) as url:
        found = await gathered(rabbitmq.look(a_patient(management_url=url), connection))
        late = await gathered(rabbitmq.look(a_patient(management_url=url, skew_s=60), connection))

    assert found["rabbitmq.disk"].level is level
    assert (found["rabbitmq.clock"].level, late["rabbitmq.clock"].level) == (Level.OK, Level.FAIL)


async def test_a_management_plugin_that_refuses_is_told(connection: AbstractConnection) -> None:
    with _management(None) as url:
        found = await gathered(rabbitmq.look(a_patient(management_url=url), connection))

    assert found["rabbitmq.management"].level is Level.FAIL


@contextmanager
def _management(nodes: list[dict[str, Any]] | None) -> Iterator[str]:
    """A server that answers as the plugin does; without nodes it refuses."""

    class Plugin(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(nodes if self.path == "/api/nodes" else {}).encode()
            self.send_response_only(200 if nodes is not None else 401)
            self.send_header("Date", format_datetime(utc_now(), usegmt=True))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Plugin)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://watcher:secret@127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


async def _keep(message: Any) -> None:
    """Consumes, and lets nothing go."""
