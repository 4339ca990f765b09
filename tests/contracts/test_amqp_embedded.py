"""The embedded broker as a process: how it starts and ends, whom it lets in, and what it refuses."""

import asyncio
import os
import subprocess
import sys
import time

import aio_pika
import pytest
from aio_pika.exceptions import ChannelPreconditionFailed
from aiormq.exceptions import ConnectionNotImplemented, ProbableAuthenticationError

from tests.contracts import amqp
from tests.contracts.amqp import DEADLINE_S, EmbeddedBroker, embedded_broker

embedded_url = amqp.embedded_url


def port_of(url: str) -> int:
    return aio_pika.connection.make_url(url).port or 0


def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    argv = [sys.executable, "-m", "ops.stack.broker", *arguments]
    clean = {name: value for name, value in os.environ.items() if name != "CARILLON_BROKER_PASSWORD"}
    return subprocess.run(
        argv, capture_output=True, text=True, timeout=DEADLINE_S, env={**clean, **environment}, check=False
    )


def test_it_listens_soon_and_ends_cleanly_when_asked() -> None:
    broker = EmbeddedBroker()
    begun = time.monotonic()

    broker.start()
    took_s = time.monotonic() - begun

    assert broker.stop() == 0
    assert took_s < 3, "0.2 s on a quiet machine"


async def test_it_ends_cleanly_while_clients_are_connected() -> None:
    with embedded_broker() as broker:
        connection = await aio_pika.connect(broker.url)
        await (await connection.channel()).declare_queue("q", durable=True)

        assert await asyncio.to_thread(broker.stop) == 0
        await connection.close()


def test_a_taken_port_is_one_clear_line(embedded_url: str) -> None:
    port = port_of(embedded_url)

    ended = run("--port", str(port), "--user", "carillon", CARILLON_BROKER_PASSWORD="x")

    assert ended.returncode == 1
    assert ended.stderr == f"embedded broker: port {port} on 127.0.0.1 is in use\n"


def test_it_does_not_start_without_a_password() -> None:
    ended = run("--user", "carillon")

    assert ended.returncode == 2
    assert "no password" in ended.stderr


@pytest.mark.parametrize(("user", "password"), [("carillon", "wrong"), ("guest", "guest"), ("guest", "loopback-only")])
async def test_a_stranger_is_not_let_in(embedded_url: str, user: str, password: str) -> None:
    url = aio_pika.connection.make_url(embedded_url).with_user(user).with_password(password)

    with pytest.raises(ProbableAuthenticationError):
        await aio_pika.connect(url)


@pytest.mark.parametrize(
    "noise",
    [
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="http"),
        pytest.param(b"AMQP\x00\x00\x09\x01" + bytes(64), id="zeros"),
        pytest.param(b"AMQP\x00\x00\x09\x01\x01\x00\x00\x7f\xff\xff\xff", id="a frame of 2 GB"),
        pytest.param(b"AMQP\x00\x00\x09\x01\x01\x00\x00\x00\x00\x00\x04\x00\x0a\x00\x0b\xce", id="an empty start-ok"),
        pytest.param(b"AMQP", id="half a greeting"),
    ],
)
async def test_noise_is_hung_up_on_and_others_do_not_notice(embedded_url: str, noise: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(embedded_url))
    writer.write(noise)
    writer.write_eof()
    async with asyncio.timeout(DEADLINE_S):
        await reader.read()
    writer.close()

    connection = await aio_pika.connect(embedded_url)
    await (await connection.channel()).declare_queue("after-noise", exclusive=True)
    await connection.close()


async def test_virtual_hosts_know_nothing_of_each_other(embedded_url: str) -> None:
    here = await aio_pika.connect(embedded_url)
    there = await aio_pika.connect(f"{embedded_url}elsewhere")
    queue = await (await here.channel()).declare_queue("same-name", durable=True)
    other = await (await there.channel()).declare_queue("same-name", durable=True)

    await (await here.channel()).default_exchange.publish(aio_pika.Message(b"here"), "same-name")

    assert ((await queue.declare()).message_count, (await other.declare()).message_count) == (1, 0)
    await here.close()
    await there.close()


async def test_a_queue_that_rabbitmq_4_3_denies_is_denied(embedded_url: str) -> None:
    connection = await aio_pika.connect(embedded_url)

    with pytest.raises(ChannelPreconditionFailed, match="x-queue-mode"):
        await (await connection.channel()).declare_queue("lazy", durable=True, arguments={"x-queue-mode": "lazy"})
    with pytest.raises(ConnectionNotImplemented, match="transient non-exclusive"):
        await (await connection.channel()).declare_queue("transient")
    await connection.close()


async def test_global_qos_is_denied(embedded_url: str) -> None:
    connection = await aio_pika.connect(embedded_url)

    with pytest.raises(ConnectionNotImplemented, match="global qos"):
        await (await connection.channel()).set_qos(10, global_=True)
    await connection.close()


async def test_a_message_with_an_expiration_of_its_own_is_denied(embedded_url: str) -> None:
    connection = await aio_pika.connect(embedded_url)
    amqp_channel = await connection.channel()
    queue = await amqp_channel.declare_queue("expiring", exclusive=True)

    with pytest.raises(ConnectionNotImplemented, match="expiration"):
        await amqp_channel.default_exchange.publish(aio_pika.Message(b"x", expiration=1), queue.name)
    await connection.close()


async def test_a_client_that_falls_silent_is_dropped_and_its_messages_go_to_others(embedded_url: str) -> None:
    """Heartbeat 1: after two of them without a byte the connection counts as dead."""
    watcher = await aio_pika.connect(embedded_url)
    queue = await (await watcher.channel()).declare_queue("silent", durable=True)
    async with amqp.Cable(embedded_url) as cable:
        silent = await aio_pika.connect(f"{cable.url}?heartbeat=1")
        held = amqp.Buffer()
        await (await (await silent.channel()).get_queue("silent")).consume(held.put)
        await (await watcher.channel()).default_exchange.publish(aio_pika.Message(b"held"), "silent")
        await held.next()

        cable.freeze()
        again = await amqp.get(queue)

        assert again.redelivered
        await again.ack()
        cable.mend()
        cable.cut()
        await silent.close()
    await watcher.close()


async def test_a_lost_connection_gets_none_of_its_own_messages_back_on_another_channel(embedded_url: str) -> None:
    """RabbitMQ may hand it to another channel of the dying connection, and counts that."""
    watcher = await aio_pika.connect(embedded_url)
    bench = amqp.Bench(embedded_url, watcher, await watcher.channel())
    queue, buffers = await bench.queue(delivery_limit=10), [amqp.Buffer(), amqp.Buffer()]
    async with amqp.Cable(embedded_url) as cable:
        doomed = await aio_pika.connect(cable.url)
        for buffer in buffers:
            amqp_channel = await doomed.channel()
            await amqp_channel.set_qos(2)
            await (await amqp_channel.get_queue(queue.name)).consume(buffer.put)
        await bench.send(queue, b"one", b"two")
        for buffer in buffers:
            await buffer.next()

        cable.cut()
        again = [await amqp.get(queue), await amqp.get(queue)]
        await doomed.close()

    assert [message.headers["x-delivery-count"] for message in again] == [1, 1]
    await bench.close()


async def test_a_slow_reader_is_not_sent_more_than_its_wire_holds_and_gets_the_rest_later(embedded_url: str) -> None:
    """Without a prefetch the wire itself is the limit; other clients are served meanwhile."""
    watcher = await aio_pika.connect(embedded_url)
    queue = await (await watcher.channel()).declare_queue("slow", durable=True)
    async with amqp.Cable(embedded_url) as cable:
        slow = await aio_pika.connect(cable.url)
        buffer = amqp.Buffer()
        await (await (await slow.channel()).get_queue("slow")).consume(buffer.put, no_ack=True)
        cable.freeze()

        publishing = await watcher.channel()
        for number in range(60):
            message = aio_pika.Message(bytes(1_000_000), message_id=str(number))
            await publishing.default_exchange.publish(message, "slow")
        waiting = await amqp.depth(queue)
        cable.mend()
        arrived = [(await buffer.next()).message_id for _ in range(60)]

        assert waiting > 0
        assert arrived == [str(number) for number in range(60)]
        await slow.close()
    await queue.delete()
    await watcher.close()
