"""What may be declared, and where messages go, on our embedded broker and a real RabbitMQ alike."""

import asyncio
from typing import Any

import aio_pika
import pytest
from aio_pika.abc import AbstractQueue
from aio_pika.exceptions import ChannelNotFoundEntity, ChannelPreconditionFailed, DeliveryError, PublishError
from aiormq.exceptions import ChannelLockedResource

from tests.contracts import amqp
from tests.contracts.amqp import DEADLINE_S, Bench, depth, get, persistent, until

embedded_url = amqp.embedded_url
broker_url = amqp.broker_url
bench = amqp.bench


async def holds(queue: AbstractQueue, count: int) -> bool:
    return await depth(queue) == count


async def test_a_confirmed_message_lies_in_its_queue_with_all_its_properties(bench: Bench) -> None:
    queue = await bench.queue()
    message = aio_pika.Message(b"body", message_id="m1", type="work.v1", headers={"why": "test"}, delivery_mode=2)

    await bench.amqp_channel.default_exchange.publish(message, queue.name)

    got = await get(queue)
    await got.ack()
    assert (got.body, got.message_id, got.type, got.headers["why"]) == (b"body", "m1", "work.v1", "test")
    assert not got.redelivered


async def test_a_body_larger_than_a_frame_arrives_whole(bench: Bench) -> None:
    queue = await bench.queue()
    body = bytes(range(256)) * 1200

    await bench.send(queue, body)

    got = await get(queue)
    await got.ack()
    assert got.body == body


async def test_many_publishes_in_flight_are_all_confirmed(bench: Bench) -> None:
    queue = await bench.queue()

    await asyncio.gather(*(bench.send(queue, str(number).encode()) for number in range(150)))

    bodies = set()
    for _ in range(150):
        got = await get(queue)
        await got.ack()
        bodies.add(got.body)
    assert bodies == {str(number).encode() for number in range(150)}


async def test_a_message_that_no_queue_takes_is_returned(bench: Bench) -> None:
    exchange = await bench.exchange("topic")

    with pytest.raises(PublishError):
        await exchange.publish(persistent(b"lost?"), "nobody.listens")


async def test_publishing_to_a_missing_exchange_closes_the_channel(bench: Bench) -> None:
    exchange = await bench.amqp_channel.get_exchange(f"{bench.prefix}.missing", ensure=False)

    with pytest.raises(ChannelNotFoundEntity):
        await exchange.publish(persistent(b"lost?"), "key")


@pytest.mark.parametrize(
    ("kind", "pattern", "fitting", "others"),
    [
        ("direct", "email.high", ["email.high"], ["email", "email.high.x", "EMAIL.HIGH"]),
        ("topic", "email.*", ["email.high", "email."], ["email", "email.high.x", "sms.high"]),
        ("topic", "email.#", ["email", "email.high", "email.high.x"], ["emails", "sms.email"]),
        ("topic", "#.high", ["high", "email.high", "a.b.high"], ["email.higher"]),
        ("topic", "*.#.x", ["a.x", "a.b.x", "x.x"], ["x", "a.y"]),
    ],
)
async def test_a_binding_leads_the_keys_that_fit(
    bench: Bench, kind: str, pattern: str, fitting: list[str], others: list[str]
) -> None:
    exchange, queue = await bench.exchange(kind), await bench.queue()
    await queue.bind(exchange, pattern)

    for key in fitting:
        await exchange.publish(persistent(key.encode()), key)
    for key in others:
        with pytest.raises(PublishError):
            await exchange.publish(persistent(key.encode()), key)

    for key in fitting:
        got = await get(queue)
        await got.ack()
        assert (got.body, got.routing_key) == (key.encode(), key)


async def test_a_fanout_leads_to_every_queue_once_whatever_the_key(bench: Bench) -> None:
    exchange, queues = await bench.exchange("fanout"), [await bench.queue("one"), await bench.queue("two")]
    for queue in queues:
        await queue.bind(exchange, "")
        await queue.bind(exchange, "again")

    await exchange.publish(persistent(b"all"), "sms.high")

    for queue in queues:
        got = await get(queue)
        await got.ack()
        assert (got.body, got.routing_key) == (b"all", "sms.high")
        assert await depth(queue) == 0


async def test_an_unbound_queue_gets_nothing_more(bench: Bench) -> None:
    exchange, queue = await bench.exchange("topic"), await bench.queue()
    await queue.bind(exchange, "a.*")
    await queue.unbind(exchange, "a.*")

    with pytest.raises(PublishError):
        await exchange.publish(persistent(b"gone"), "a.b")


async def test_a_full_queue_refuses_what_would_not_fit(bench: Bench) -> None:
    arguments: dict[str, Any] = {"x-max-length-bytes": 100, "x-overflow": "reject-publish"}
    queue = await bench.amqp_channel.declare_queue(f"{bench.prefix}.full", exclusive=True, arguments=arguments)
    await bench.send(queue, bytes(60))

    with pytest.raises(DeliveryError):
        await bench.send(queue, bytes(60))

    await (await get(queue)).ack()
    await bench.send(queue, bytes(60))
    assert await depth(queue) == 1


async def test_one_refusal_among_many_in_flight_leaves_the_others_confirmed(bench: Bench) -> None:
    arguments: dict[str, Any] = {"x-max-length-bytes": 100, "x-overflow": "reject-publish"}
    queue = await bench.amqp_channel.declare_queue(f"{bench.prefix}.full", exclusive=True, arguments=arguments)

    async with asyncio.timeout(DEADLINE_S):
        outcomes = await asyncio.gather(
            *(bench.send(queue, bytes(size)) for size in (30, 30, 90, 30)), return_exceptions=True
        )

    assert [type(outcome) for outcome in outcomes] == [type(None), type(None), DeliveryError, type(None)]
    assert await depth(queue) == 3


async def test_an_exclusive_queue_is_locked_for_others_and_goes_with_its_connection(bench: Bench) -> None:
    name = f"{bench.prefix}.mine"
    owner = await aio_pika.connect(bench.url)
    await (await owner.channel()).declare_queue(name, exclusive=True)

    async def is_gone() -> bool:
        try:
            await (await bench.connection.channel()).declare_queue(name, passive=True)
        except ChannelLockedResource:
            return False  # RabbitMQ deletes it a moment after it confirmed the close
        except ChannelNotFoundEntity:
            return True
        raise AssertionError("somebody else's exclusive queue was shown")

    assert not await is_gone()
    await owner.close()
    await until(is_gone)


async def test_a_queue_without_a_name_gets_one(bench: Bench) -> None:
    underlay = await bench.amqp_channel.get_underlay_channel()

    declared = await underlay.queue_declare("", exclusive=True)

    assert declared.queue
    assert declared.queue.startswith("amq.gen-")


async def test_looking_for_a_missing_queue_or_exchange_is_not_found(bench: Bench) -> None:
    with pytest.raises(ChannelNotFoundEntity):
        await (await bench.connection.channel()).declare_queue(f"{bench.prefix}.no", passive=True)
    with pytest.raises(ChannelNotFoundEntity):
        await (await bench.connection.channel()).declare_exchange(f"{bench.prefix}.no", passive=True)


async def test_declaring_something_else_under_the_same_name_is_refused(bench: Bench) -> None:
    queue, exchange = await bench.queue(delivery_limit=2), await bench.exchange("topic")
    same = await bench.queue(delivery_limit=2)
    assert same.name == queue.name

    with pytest.raises(ChannelPreconditionFailed):
        await bench.queue(delivery_limit=3)
    with pytest.raises(ChannelPreconditionFailed):
        await (await bench.connection.channel()).declare_exchange(exchange.name, "fanout", durable=True)


async def test_a_purged_queue_is_empty_and_a_deleted_one_gone(bench: Bench) -> None:
    queue = await bench.queue()
    await bench.send(queue, b"one", b"two")

    purged = await queue.purge()
    assert (purged.message_count, await depth(queue)) == (2, 0)

    await queue.delete(if_unused=False, if_empty=False)
    with pytest.raises(ChannelNotFoundEntity):
        await bench.amqp_channel.declare_queue(queue.name, passive=True)
