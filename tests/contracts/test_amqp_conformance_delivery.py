"""How messages are delivered, given back and given up, on our embedded broker and a real RabbitMQ alike."""

import asyncio
from typing import Any

import aio_pika
import pytest
from aio_pika.abc import AbstractQueue
from aio_pika.exceptions import ChannelNotFoundEntity, ChannelPreconditionFailed

from tests.contracts import amqp
from tests.contracts.amqp import DEADLINE_S, Bench, Buffer, Cable, depth, get, persistent, until

embedded_url = amqp.embedded_url
broker_url = amqp.broker_url
bench = amqp.bench


async def holds(queue: AbstractQueue, count: int) -> bool:
    return await depth(queue) == count


async def test_a_consumer_holds_no_more_than_its_prefetch(bench: Bench) -> None:
    queue, buffer = await bench.queue(), Buffer()
    await bench.send(queue, *(str(number).encode() for number in range(5)))
    await bench.amqp_channel.set_qos(2)

    await queue.consume(buffer.put)
    first, second = await buffer.next(), await buffer.next()
    await until(lambda: holds(queue, 3))
    assert buffer.messages.empty()
    await first.ack()

    third = await buffer.next()
    assert [message.body for message in (first, second, third)] == [b"0", b"1", b"2"]
    await third.ack(multiple=True)
    assert {(await buffer.next()).body, (await buffer.next()).body} == {b"3", b"4"}


async def test_a_cancelled_consumer_can_still_answer_what_it_has(bench: Bench) -> None:
    queue, buffer = await bench.queue(), Buffer()
    tag = await queue.consume(buffer.put)
    await bench.send(queue, b"late")
    message = await buffer.next()

    await queue.cancel(tag)
    await bench.send(queue, b"for others")
    await message.ack()

    assert (await get(queue)).body == b"for others"
    assert buffer.messages.empty()


async def test_a_requeued_message_comes_again_in_its_place_and_is_counted(bench: Bench) -> None:
    queue = await bench.queue(delivery_limit=10)
    await bench.send(queue, b"first", b"second")

    counts: list[Any] = []
    for _ in range(3):
        message = await get(queue)
        assert message.body == b"first"
        counts.append((message.redelivered, int(message.headers.get("x-delivery-count") or 0)))  # type: ignore[arg-type]  # a number where it stands
        await message.nack(requeue=True)

    assert counts == [(False, 0), (True, 1), (True, 2)]


async def test_a_message_beyond_its_delivery_limit_is_dead_lettered_with_its_history(bench: Bench) -> None:
    grave = await bench.queue("grave")
    exchange = await bench.exchange("topic", "dlx")
    await grave.bind(exchange, "#")
    queue = await bench.queue(delivery_limit=2, dead_letter_exchange=exchange.name)
    await bench.send(queue, b"poison")

    for _ in range(3):
        await (await get(queue)).reject(requeue=True)

    dead = await get(grave)
    await dead.ack()
    death: Any = dead.headers["x-death"]
    assert (dead.body, dead.routing_key) == (b"poison", queue.name)
    assert (death[0]["reason"], death[0]["queue"], death[0]["count"]) == ("delivery_limit", queue.name, 1)
    assert await depth(queue) == 0


async def test_a_rejected_message_is_dead_lettered_along_its_routing_key(bench: Bench) -> None:
    exchange, grave = await bench.exchange("topic", "dlx"), await bench.queue("grave")
    await grave.bind(exchange, "email.#")
    source = await bench.exchange("fanout", "source")
    queue = await bench.queue(dead_letter_exchange=exchange.name, dead_letter_strategy="at-least-once")
    await queue.bind(source, "")
    await source.publish(persistent(b"no"), "email.high")

    await (await get(queue)).reject(requeue=False)

    dead = await get(grave)
    await dead.ack()
    death: Any = dead.headers["x-death"]
    assert (dead.routing_key, death[0]["reason"], death[0]["routing-keys"]) == (
        "email.high",
        "rejected",
        ["email.high"],
    )


async def test_a_dead_letter_routing_key_replaces_the_messages_own(bench: Bench) -> None:
    exchange, grave = await bench.exchange("direct", "dlx"), await bench.queue("grave")
    await grave.bind(exchange, "buried")
    queue = await bench.queue(dead_letter_exchange=exchange.name, dead_letter_routing_key="buried")
    await bench.send(queue, b"no")

    await (await get(queue)).reject(requeue=False)

    dead = await get(grave)
    await dead.ack()
    assert dead.routing_key == "buried"


async def test_a_rested_message_comes_back_after_its_time_with_its_routing_key(bench: Bench) -> None:
    work, rest = await bench.exchange("topic", "work"), await bench.exchange("fanout", "rest")
    lane = await bench.queue("lane")
    await lane.bind(work, "sms.high")
    resting = await bench.queue(
        "resting", message_ttl=400, dead_letter_exchange=work.name, dead_letter_strategy="at-least-once"
    )
    await resting.bind(rest, "")
    begun = asyncio.get_running_loop().time()

    await rest.publish(persistent(b"again"), "sms.high")

    back = await get(lane)
    await back.ack()
    death: Any = back.headers["x-death"]
    assert asyncio.get_running_loop().time() - begun >= 0.39
    assert (back.body, back.routing_key, death[0]["reason"]) == (b"again", "sms.high", "expired")


async def test_what_a_lost_connection_did_not_answer_is_delivered_again(bench: Bench) -> None:
    queue, buffer = await bench.queue(), Buffer()
    await bench.send(queue, b"one", b"two")
    async with Cable(bench.url) as cable:
        doomed = await aio_pika.connect(cable.url)
        there = await (await doomed.channel()).get_queue(queue.name)
        await there.consume(buffer.put)
        assert [(await buffer.next()).body, (await buffer.next()).body] == [b"one", b"two"]

        cable.cut()
        again = [await get(queue), await get(queue)]
        await doomed.close()

    assert [(message.body, message.redelivered) for message in again] == [(b"one", True), (b"two", True)]
    assert [message.headers["x-delivery-count"] for message in again] == [1, 1]


async def test_a_closed_channel_gives_back_what_it_did_not_answer(bench: Bench) -> None:
    queue, buffer = await bench.queue(), Buffer()
    other = await bench.connection.channel()
    await (await other.get_queue(queue.name)).consume(buffer.put)
    await bench.send(queue, b"held")
    await buffer.next()

    await other.close()

    assert (await get(queue)).redelivered


async def test_two_consumers_share_a_queue(bench: Bench) -> None:
    queue, buffers = await bench.queue(), [Buffer(), Buffer()]
    await bench.amqp_channel.set_qos(1)
    for buffer in buffers:
        await queue.consume(buffer.put)

    await bench.send(queue, b"one", b"two")

    assert {(await buffer.next()).body for buffer in buffers} == {b"one", b"two"}


async def test_a_consumer_is_told_that_its_queue_was_deleted(bench: Bench) -> None:
    queue, buffer = await bench.queue(), Buffer()
    told: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
    underlay = await bench.amqp_channel.get_underlay_channel()
    underlay.on_consumer_cancel_callbacks.add(lambda frame: told.set_result(frame.consumer_tag))
    tag = await queue.consume(buffer.put)

    await (await bench.connection.channel()).queue_delete(queue.name)

    async with asyncio.timeout(DEADLINE_S):
        assert await told == tag


async def test_an_auto_delete_queue_goes_with_its_last_consumer(bench: Bench) -> None:
    name = f"{bench.prefix}.brief"
    queue = await bench.amqp_channel.declare_queue(name, exclusive=True, auto_delete=True)
    tag = await queue.consume(Buffer().put)

    await queue.cancel(tag)

    with pytest.raises(ChannelNotFoundEntity):
        await bench.amqp_channel.declare_queue(name, passive=True)


async def test_an_unknown_delivery_tag_closes_the_channel(bench: Bench) -> None:
    queue = await bench.queue()
    underlay = await bench.amqp_channel.get_underlay_channel()

    await underlay.basic_ack(99)

    with pytest.raises(ChannelPreconditionFailed):
        await underlay.closing
    assert queue.name
