"""Publisher and consumer as the roles use them, on both brokers."""

import asyncio
from dataclasses import replace
from uuid import uuid4

import aio_pika
import pytest
from aio_pika.exceptions import ChannelNotFoundEntity

from domain.lanes import Channel, Lane, Priority
from plumbing.broker import topology
from plumbing.broker.consumer import Incoming
from plumbing.broker.envelope import decode
from plumbing.broker.publisher import Publisher
from tests.contracts import amqp, amqp_roles
from tests.contracts.amqp import DEADLINE_S, until
from tests.contracts.amqp_roles import LANE, QUEUE, connected, consumer_at, envelope, next_of

embedded_url = amqp.embedded_url
broker_url = amqp.broker_url

publisher = amqp_roles.publisher


async def test_the_whole_topology_stands_and_may_be_declared_again(publisher: Publisher, broker_url: str) -> None:
    async with connected(broker_url) as connection, connection.channel() as amqp_channel:
        await topology.declare(amqp_channel)

        for queue in topology.QUEUES:
            assert await publisher.queue_depth(queue.name) == 0


async def test_an_envelope_comes_through_its_lane(publisher: Publisher, broker_url: str) -> None:
    buffer: asyncio.Queue[Incoming] = asyncio.Queue()
    envelopes = [envelope() for _ in range(20)]

    confirmed = await publisher.publish_work(envelopes)

    assert confirmed == {one.id for one in envelopes}
    async with consumer_at(broker_url) as consumer:
        assert consumer.last_delivery_age_s is None
        await consumer.subscribe(QUEUE, 5, buffer.put_nowait)
        for expected in envelopes:
            incoming = await next_of(buffer)
            assert decode(incoming.body) == expected
            assert (incoming.routing_key, incoming.redelivered, incoming.delivery_count) == (str(LANE), False, 0)
            await incoming.ack()
        assert consumer.last_delivery_age_s is not None
        assert consumer.last_delivery_age_s < DEADLINE_S


async def test_a_rested_envelope_is_back_on_its_lane_after_its_level(publisher: Publisher, broker_url: str) -> None:
    buffer: asyncio.Queue[Incoming] = asyncio.Queue()
    rested = envelope()
    async with consumer_at(broker_url) as consumer:
        await consumer.subscribe(QUEUE, 5, buffer.put_nowait)
        begun = asyncio.get_running_loop().time()

        assert await publisher.publish_retry(rested, "2s")

        incoming = await next_of(buffer)
        await incoming.ack()
    assert 1.9 <= asyncio.get_running_loop().time() - begun < 6
    assert (decode(incoming.body), incoming.routing_key) == (rested, str(LANE))


async def test_other_channels_of_a_connection_publish_and_consume_by_aio_pika(
    publisher: Publisher, broker_url: str
) -> None:
    async with connected(broker_url) as connection, connection.channel() as amqp_channel:
        work = await amqp_channel.get_exchange(topology.WORK, ensure=False)
        await work.publish(aio_pika.Message(b"by hand"), str(LANE), timeout=DEADLINE_S)
        queue = await amqp_channel.get_queue(QUEUE, ensure=False)
        async with queue.iterator(timeout=DEADLINE_S) as messages:
            message = await anext(messages)
            await message.ack()

    assert message.body == b"by hand"


async def test_an_unknown_retry_level_is_a_mistake_of_the_caller(publisher: Publisher) -> None:
    with pytest.raises(ValueError, match="no retry level"):
        await publisher.publish_retry(envelope(), "3h")


async def test_what_is_given_up_goes_to_quarantine_and_then_to_the_dead_end(
    publisher: Publisher, broker_url: str
) -> None:
    quarantined: asyncio.Queue[Incoming] = asyncio.Queue()
    dead: asyncio.Queue[Incoming] = asyncio.Queue()
    poison = envelope()
    async with consumer_at(broker_url) as consumer:
        await consumer.subscribe(topology.quarantine_queue(Channel.SMS), 1, quarantined.put_nowait)
        await consumer.subscribe(topology.dead_queue(Channel.SMS), 10, dead.put_nowait)

        assert await publisher.publish_quarantine(poison)
        await (await next_of(quarantined)).reject_to_dead()
        by_rejection = await next_of(dead)
        await by_rejection.ack()
        assert await publisher.publish_dead(Channel.SMS, b"unreadable", {"x-error-class": "unreadable"})
        by_hand = await next_of(dead)
        await by_hand.ack()

    assert (decode(by_rejection.body), by_rejection.routing_key) == (poison, str(LANE))
    assert (by_hand.body, by_hand.headers["x-error-class"]) == (b"unreadable", "unreadable")


async def test_receipts_have_a_queue_and_a_dead_end_of_their_own(publisher: Publisher, broker_url: str) -> None:
    receipts: asyncio.Queue[Incoming] = asyncio.Queue()
    dead: asyncio.Queue[Incoming] = asyncio.Queue()
    async with consumer_at(broker_url) as consumer:
        await consumer.subscribe(topology.RECEIPTS_QUEUE, 10, receipts.put_nowait)
        await consumer.subscribe(topology.dead_queue("receipts"), 10, dead.put_nowait)

        assert await publisher.publish_receipts([b"one", b"two"]) == 2
        first, second = await next_of(receipts), await next_of(receipts)
        await first.ack()
        await second.reject_to_dead()

        buried = await next_of(dead)
        await buried.ack()
    assert {first.body, buried.body} == {b"one", b"two"}


async def test_a_message_that_no_queue_takes_is_not_confirmed_and_its_neighbours_are(publisher: Publisher) -> None:
    nowhere, somewhere = envelope(Lane(Channel.WEBHOOK, Priority.LOW)), envelope()

    assert await publisher.publish_work([nowhere, somewhere]) == {somewhere.id}


async def test_more_than_may_be_in_flight_is_published_all_the_same(publisher: Publisher) -> None:
    envelopes = [[envelope() for _ in range(count)] for count in (1, 500, 250)]

    confirmed = await asyncio.gather(*(publisher.publish_work(several) for several in envelopes))

    assert confirmed == [{one.id for one in several} for several in envelopes]


async def test_a_channel_that_the_broker_closes_is_an_answer_and_comes_back(
    publisher: Publisher, broker_url: str
) -> None:
    async def is_confirmed() -> bool:
        return bool(await publisher.publish_work([envelope()]))

    async with connected(broker_url) as connection, connection.channel() as amqp_channel:
        await amqp_channel.exchange_delete(topology.retry_exchange(LANE.channel, "2h"))
        begun = asyncio.get_running_loop().time()
        assert not await publisher.publish_retry(envelope(), "2h")
        assert asyncio.get_running_loop().time() - begun < 4
        await until(is_confirmed)
        await topology.declare(amqp_channel)


async def test_what_was_acknowledged_out_of_order_does_not_come_again_and_the_others_do(
    publisher: Publisher, broker_url: str
) -> None:
    sent = [envelope() for _ in range(10)]
    await publisher.publish_work(sent)
    async with consumer_at(broker_url) as consumer:
        buffer: asyncio.Queue[Incoming] = asyncio.Queue()
        await consumer.subscribe(QUEUE, 20, buffer.put_nowait)
        got = [await next_of(buffer) for _ in sent]
        for place in (4, 1, 0, 7, 9):
            await got[place].ack()

    async with consumer_at(broker_url) as consumer:
        again: asyncio.Queue[Incoming] = asyncio.Queue()
        await consumer.subscribe(QUEUE, 20, again.put_nowait)
        back = [await next_of(again) for _ in range(5)]
        for one in back:
            await one.ack()
        assert {decode(one.body).id for one in back} == {sent[place].id for place in (2, 3, 5, 6, 8)}
        assert all((one.redelivered, one.delivery_count) == (True, 1) for one in back)
        assert again.empty()


async def test_a_missing_queue_has_no_depth_and_others_are_still_seen(publisher: Publisher) -> None:
    async def is_seen_again() -> bool:
        return await publisher.queue_depth(QUEUE) == 0

    assert await publisher.queue_depth("work.pigeon.high") is None

    await until(is_seen_again)


async def test_a_cancelled_subscription_brings_nothing_until_it_is_taken_up_again(
    publisher: Publisher, broker_url: str
) -> None:
    buffer: asyncio.Queue[Incoming] = asyncio.Queue()

    async def waits() -> bool:
        return await publisher.queue_depth(QUEUE) == 1

    async with consumer_at(broker_url) as consumer:
        await consumer.subscribe(QUEUE, 5, buffer.put_nowait)
        with pytest.raises(ValueError, match="subscribed already"):
            await consumer.subscribe(QUEUE, 5, buffer.put_nowait)
        await consumer.cancel(QUEUE)
        await publisher.publish_work([envelope()])
        await until(waits)
        assert buffer.empty()

        await consumer.subscribe(QUEUE, 5, buffer.put_nowait)
        await (await next_of(buffer)).ack()


async def test_an_unknown_queue_is_a_mistake_of_the_caller(broker_url: str) -> None:
    async with consumer_at(broker_url) as consumer:
        with pytest.raises(KeyError):
            await consumer.subscribe("work.pigeon.high", 1, lambda _: None)


async def test_the_queue_of_a_gateway_goes_with_its_connection(publisher: Publisher, broker_url: str) -> None:
    gateway = topology.gateway_queue("node-1", uuid4().hex)
    async with connected(broker_url) as connection, connection.channel() as amqp_channel:
        await topology.declare_queue(amqp_channel, gateway)

    async def is_gone() -> bool:
        connection = await aio_pika.connect(broker_url)
        try:
            await (await connection.channel()).declare_queue(gateway.name, passive=True)
        except ChannelNotFoundEntity:
            return True
        finally:
            await connection.close()
        return False

    await until(is_gone)


async def test_frames_reach_the_node_they_are_for_and_a_dead_node_is_told(
    publisher: Publisher, broker_url: str
) -> None:
    north, south = topology.gateway_queue("north", "b1"), topology.gateway_queue("south", "b1")
    got: dict[str, asyncio.Queue[Incoming]] = {queue.name: asyncio.Queue() for queue in (north, south)}
    assert await publisher.publish_to_all_nodes(b"nobody") is False

    async with consumer_at(broker_url) as here:
        async with consumer_at(broker_url) as there:
            await here.subscribe_own(north, 10, got[north.name].put_nowait)
            await there.subscribe_own(south, 10, got[south.name].put_nowait)
            assert await publisher.publish_to_node(north.name, [b"one", b"two"]) == [True, True]
            assert await publisher.publish_to_all_nodes(b"all") is True
            bodies = [(await next_of(got[north.name])).body for _ in range(3)]
            assert (bodies, (await next_of(got[south.name])).body) == ([b"one", b"two", b"all"], b"all")
        assert await publisher.publish_to_node(south.name, [b"late"]) == [False]


@pytest.mark.parametrize("size", [0, 1, 131_063, 131_064, 131_065, 250_000])
async def test_a_body_of_any_size_comes_through_whole(publisher: Publisher, broker_url: str, size: int) -> None:
    queue = topology.gateway_queue("wide", "b1")
    got: asyncio.Queue[Incoming] = asyncio.Queue()
    body = bytes(number % 251 for number in range(size))

    async with consumer_at(broker_url) as consumer:
        await consumer.subscribe_own(queue, 10, got.put_nowait)
        assert await publisher.publish_to_node(queue.name, [body, b"next"]) == [True, True]
        assert [(await next_of(got)).body for _ in range(2)] == [body, b"next"]


async def test_a_node_that_reads_too_slowly_is_full_and_says_so(publisher: Publisher, broker_url: str) -> None:
    queue = replace(
        topology.gateway_queue("slow", "b1"), arguments={"x-max-length-bytes": 1000, "x-overflow": "reject-publish"}
    )
    got: asyncio.Queue[Incoming] = asyncio.Queue()

    async with consumer_at(broker_url) as slow:
        await slow.subscribe_own(queue, 1, got.put_nowait)
        await publisher.publish_to_node(queue.name, [b"taken"])
        await next_of(got)
        answers = [(await publisher.publish_to_node(queue.name, [b"x" * 400]))[0] for _ in range(5)]

    assert answers[:2] == [True, True]
    assert answers[-1] is False
