"""Publisher and consumer through lost connections, lost queues, silence and lost memories, on both brokers."""

import asyncio
import gc

import aio_pika
import pytest

from domain.errors import Misconfigured, Unavailable
from domain.lanes import DECLARED_LANES
from plumbing.broker import topology
from plumbing.broker.connection import connect
from plumbing.broker.consumer import Consumer, Incoming
from plumbing.broker.envelope import decode
from plumbing.broker.publisher import Publisher
from tests.contracts import amqp, amqp_roles
from tests.contracts.amqp import Cable, embedded_broker, until
from tests.contracts.amqp_roles import QUEUE, connected, consumer_at, envelope, next_of, publisher_at

embedded_url = amqp.embedded_url
broker_url = amqp.broker_url

publisher = amqp_roles.publisher


async def test_after_a_cut_publishing_fails_at_once_and_then_both_sides_come_back(
    publisher: Publisher, broker_url: str
) -> None:
    buffer: asyncio.Queue[Incoming] = asyncio.Queue()
    held, later = envelope(), envelope()
    async with Cable(broker_url) as cable, consumer_at(cable.url) as consumer, publisher_at(cable.url) as cut_publisher:
        await consumer.subscribe(QUEUE, 5, buffer.put_nowait)
        await publisher.publish_work([held])
        first = await next_of(buffer)

        async def is_confirmed() -> bool:
            return bool(await cut_publisher.publish_work([later]))

        async def is_noticed() -> bool:
            return not consumer.is_connected and not cut_publisher.is_connected

        cable.cut()
        await until(is_noticed)
        assert await cut_publisher.publish_work([later]) == set()
        await first.ack()  # on a dead channel: nothing happens, and nobody falls over

        again = await next_of(buffer)
        await again.ack()
        assert (decode(again.body), again.redelivered) == (held, True)
        await until(is_confirmed)
        assert decode((await next_of(buffer)).body) == later


async def test_a_deleted_queue_comes_back_with_its_consumer(publisher: Publisher, broker_url: str) -> None:
    buffer: asyncio.Queue[Incoming] = asyncio.Queue()
    sent = envelope()

    async def is_confirmed() -> bool:
        return bool(await publisher.publish_work([sent]))

    async with consumer_at(broker_url) as consumer:
        await consumer.subscribe(QUEUE, 5, buffer.put_nowait)
        async with connected(broker_url) as connection, connection.channel() as amqp_channel:
            await amqp_channel.queue_delete(QUEUE)

        await until(is_confirmed)
        await (await next_of(buffer)).ack()

        async def is_whole() -> bool:
            return consumer.missing == []

        await until(is_whole)


async def test_a_consumer_that_the_broker_does_not_know_any_more_is_missed(broker_url: str) -> None:
    async with consumer_at(broker_url) as consumer:
        await consumer.subscribe(QUEUE, 5, lambda _: None)
        await consumer.subscribe(topology.RECEIPTS_QUEUE, 5, lambda _: None)
        assert consumer.missing == []

        for source in (consumer._sources[QUEUE], consumer._sources[topology.RECEIPTS_QUEUE]):
            amqp_channel = await source.amqp_channel.get_underlay_channel()
            assert source.tag is not None
            await amqp_channel.basic_cancel(source.tag)  # behind its back: nobody brings it again
        assert consumer.missing == [QUEUE, topology.RECEIPTS_QUEUE]

        await consumer.cancel(QUEUE)
        assert consumer.missing == [topology.RECEIPTS_QUEUE]


async def test_a_silent_broker_costs_a_publisher_five_seconds_and_no_more(embedded_url: str) -> None:
    async with Cable(embedded_url) as cable, publisher_at(cable.url) as frozen:
        cable.freeze()
        begun = asyncio.get_running_loop().time()

        confirmed, is_resting = await asyncio.gather(
            frozen.publish_work([envelope() for _ in range(300)]), frozen.publish_retry(envelope(), "2s")
        )

        assert (confirmed, is_resting) == (set(), False)
        assert asyncio.get_running_loop().time() - begun < 6
        cable.mend()


async def test_a_silent_broker_does_not_keep_a_role_from_ending(embedded_url: str) -> None:
    async with Cable(embedded_url) as cable, connected(cable.url) as connection:
        consumer, frozen = await Consumer.open(connection), await Publisher.open(connection)
        for lane in DECLARED_LANES:
            await consumer.subscribe(topology.work_queue(lane), 1, lambda _: None)
        cable.freeze()
        begun = asyncio.get_running_loop().time()

        await asyncio.gather(consumer.close(), frozen.close())

        assert asyncio.get_running_loop().time() - begun < 6
        cable.mend()


async def test_a_broker_that_lost_its_memory_is_whole_again_when_everybody_is_back() -> None:
    buffer: asyncio.Queue[Incoming] = asyncio.Queue()
    after, rested = envelope(), envelope()
    with embedded_broker() as broker:
        async with publisher_at(broker.url) as publisher, consumer_at(broker.url) as consumer:
            await consumer.subscribe(QUEUE, 5, buffer.put_nowait)

            async def is_confirmed() -> bool:
                return bool(await publisher.publish_work([after]))

            async def rests() -> bool:
                return await publisher.publish_retry(rested, "2s")

            broker.kill()
            broker.start()

            await until(is_confirmed)
            assert decode((await next_of(buffer)).body) == after
            await until(rests)
            assert decode((await next_of(buffer)).body) == rested
            for queue in topology.QUEUES:
                assert await publisher.queue_depth(queue.name) is not None


async def test_a_publisher_alone_makes_a_forgetful_broker_whole_again() -> None:
    with embedded_broker() as broker:
        async with publisher_at(broker.url) as publisher:
            gc.collect()  # a channel that nobody keeps is not restored

            async def is_whole() -> bool:
                return None not in [await publisher.queue_depth(queue.name) for queue in topology.QUEUES]

            broker.kill()
            broker.start()

            await until(is_whole)
            assert await publisher.publish_retry(envelope(), "2h")


async def test_no_broker_is_one_clear_line_without_the_password() -> None:
    with pytest.raises(Unavailable, match=r"RabbitMQ is not available: no connection to 127\.0\.0\.1:1\b") as caught:
        await connect("amqp://carillon:hunter2@127.0.0.1:1/", "test")

    assert "hunter2" not in str(caught.value)


async def test_a_missing_broker_is_not_logged_beside_the_exception(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Unavailable):
        await connect("amqp://carillon:hunter2@127.0.0.1:1/", "test")

    assert caplog.text == ""


async def test_a_virtual_host_that_does_not_exist_is_said_so(amqp_url: str) -> None:
    missing = aio_pika.connection.make_url(amqp_url).with_path("/no-such-host")

    try:
        await (await connect(str(missing), "test")).close()
    except Unavailable as error:
        said = str(error)
    else:
        pytest.skip("the embedded broker makes any virtual host")

    assert said.endswith("the virtual host does not exist or is closed to this user")


async def test_a_wrong_password_is_said_so(broker_url: str) -> None:
    wrong = aio_pika.connection.make_url(broker_url).with_password("wrong")

    with pytest.raises(Unavailable, match="user or password was refused"):
        await connect(str(wrong), "test")


@pytest.mark.parametrize("url", ["http://127.0.0.1:5672", "127.0.0.1:5672", "amqp://", "amqp://host:port/", ""])
async def test_a_url_that_is_none_is_misconfigured(url: str) -> None:
    with pytest.raises(Misconfigured, match="CARILLON_AMQP_URL must look like"):
        await connect(url, "test")


async def test_an_unanswered_message_goes_back_when_the_consumer_closes(publisher: Publisher, broker_url: str) -> None:
    buffer: asyncio.Queue[Incoming] = asyncio.Queue()
    await publisher.publish_work([envelope()])
    async with consumer_at(broker_url) as consumer:
        await consumer.subscribe(QUEUE, 5, buffer.put_nowait)
        await next_of(buffer)

    async with consumer_at(broker_url) as consumer:
        await consumer.subscribe(QUEUE, 5, buffer.put_nowait)
        again = await next_of(buffer)
        assert (again.redelivered, again.delivery_count) == (True, 1)
        await again.requeue()
        third = await next_of(buffer)
        assert third.delivery_count == 2
        await third.ack()
