"""Mailboxes through a real node: drained at login until empty, hinted, polled, batched; with Redis flushed or away."""

import asyncio
from uuid import UUID

from redis.asyncio import Redis

from channels.push import wire
from channels.push.mailbox import forget
from plumbing.cache import Cache
from tests.integration.gateway.station import Phone, Running, Station, a_frame, a_node, id_of, until


async def hear_and_ack(phone: Phone, count: int) -> list[str]:
    """The ids of so many notifications, acknowledged as they come."""
    heard: list[str] = []
    while len(heard) < count:
        frame = await phone.hear()
        ids = [one["id"] for one in frame.get("notifications", [frame])]
        await phone.ack(*ids)
        heard += ids
    return heard


async def test_a_full_mailbox_is_drained_at_login_eager_ones_first_and_only_acks_are_reported(
    station: Station, node: Running
) -> None:
    phone = await station.phone()
    low = [await station.letter(phone, wake=5) for _ in range(60)]
    high = [await station.letter(phone, wake=10) for _ in range(40)]
    await phone.log_in(node.url)

    heard = await hear_and_ack(phone, 100)

    assert heard == sorted(high) + sorted(low)
    await until(lambda: sorted(station.reported("delivered")) == sorted(heard))
    await phone.hang_up()


async def test_letters_that_are_not_acknowledged_come_again_at_the_next_login(station: Station, node: Running) -> None:
    phone = await station.phone()
    letter = await station.letter(phone)
    await phone.log_in(node.url)
    assert (await phone.hear())["id"] == letter
    await phone.hang_up()

    await phone.log_in(node.url)
    again = await phone.hear()

    assert (again["id"], again["stored"]) == (letter, True)
    assert station.receipts == []
    await phone.hang_up()


async def test_last_seen_neither_skips_nor_deletes(station: Station, node: Running) -> None:
    phone = await station.phone()
    letters = [await station.letter(phone) for _ in range(3)]

    await phone.log_in(node.url, last_seen=letters[-1])

    assert await hear_and_ack(phone, 3) == sorted(letters)
    await phone.hang_up()


async def test_a_hint_drains_at_once(station: Station, node: Running) -> None:
    phone = await (await station.phone()).log_in(node.url)
    letter = await station.letter(phone)

    await station.publisher.publish_to_node(node.queue, [wire.encode_drain([phone.device])])

    assert (await phone.hear(2))["id"] == letter
    await phone.hang_up()


async def test_a_broadcast_hint_reaches_whoever_is_here_and_nobody_is_reported_absent(
    station: Station, node: Running
) -> None:
    phone = await (await station.phone()).log_in(node.url)
    away = await station.phone()
    letter = await station.letter(phone)

    assert await station.publisher.publish_to_all_nodes(wire.encode_drain([away.device, phone.device]))

    assert (await phone.hear(2))["id"] == letter
    assert station.receipts == []
    await phone.hang_up()


async def test_without_any_hint_nobody_waits_longer_than_a_poll(station: Station, node: Running) -> None:
    """And what need not wake anybody comes in one frame."""
    waiting = await (await station.phone()).log_in(node.url)
    letter = await station.letter(waiting)
    phone = await station.phone()
    first = await station.letter(phone)
    await phone.log_in(node.url)
    assert await hear_and_ack(phone, 1) == [first]  # the mailbox was read: what comes now is not part of the login
    letters = [await station.letter(phone, wake=1) for _ in range(20)]

    alone, frame = await asyncio.gather(waiting.hear(25), phone.hear(25))

    assert alone["id"] == letter
    assert frame["type"] == "batch"
    assert [one["id"] for one in frame["notifications"]] == sorted(letters)
    await waiting.hang_up()
    await phone.hang_up()


async def test_a_napping_device_gets_wake_five_with_the_next_urgent_push(station: Station, node: Running) -> None:
    phone = await (await station.phone()).log_in(node.url, nap_s=600)
    places = await station.presence.where([phone.device])
    letter = await station.letter(phone, wake=5)
    await station.publisher.publish_to_node(node.queue, [wire.encode_drain([phone.device])])
    await asyncio.sleep(5.1)  # a device that woke within five seconds is not looked after again

    frame = a_frame(phone)
    await station.push(node, frame)

    assert places is not None
    assert places[phone.device].is_napping
    assert (await phone.hear())["id"] == id_of(frame)
    assert (await phone.hear())["id"] == letter
    await phone.hang_up()


async def test_withdrawn_pushes_are_named_and_a_device_that_is_gone_is_closed(station: Station, node: Running) -> None:
    phone = await (await station.phone()).log_in(node.url)
    frame = a_frame(phone)
    await station.push(node, frame)
    await phone.hear()
    withdrawal = wire.encode_withdraw([(phone.device, [UUID(id_of(frame))])])

    await station.publisher.publish_to_node(node.queue, [withdrawal, wire.encode_close([(phone.device, 4410)])])

    assert await phone.hear() == {"type": "withdraw", "ids": [id_of(frame)]}
    assert (await phone.closed())[0] == 4410


async def test_a_node_announces_its_devices_again_when_redis_has_forgotten_them(
    station: Station, node: Running, redis_url: str
) -> None:
    phone = await (await station.phone()).log_in(node.url)
    async with Redis.from_url(redis_url) as redis:
        await redis.flushdb()

    async def is_known() -> bool:
        return bool(await station.presence.where([phone.device]))

    async with asyncio.timeout(30):
        while not await is_known():
            await asyncio.sleep(0.1)
    await phone.hang_up()


async def test_without_redis_devices_log_in_and_get_what_is_stored(station: Station, amqp_url: str) -> None:
    away = Cache.open("redis://127.0.0.1:1/0")
    phone = await station.phone()
    letter = await station.letter(phone)

    async with a_node(station, amqp_url, cache=away) as node:
        await phone.log_in(node.url)
        assert await hear_and_ack(phone, 1) == [letter]
        await until(lambda: station.reported("delivered") == [letter])
        second = await station.letter(phone)
        assert await station.publisher.publish_to_all_nodes(wire.encode_drain([phone.device]))
        assert (await phone.hear(2))["id"] == second
        await phone.hang_up()
    await away.close()


async def test_a_forgotten_letter_does_not_come_again(station: Station, node: Running) -> None:
    phone = await station.phone()
    letter = await station.letter(phone)
    async with station.pool.acquire() as conn:
        assert await forget(conn, [UUID(letter)]) == 1
    kept = await station.letter(phone)

    await phone.log_in(node.url)

    assert (await phone.hear())["id"] == kept
    await phone.hang_up()


async def test_gateways_are_listed_with_those_of_the_home_region_first(station: Station, amqp_url: str) -> None:
    async with (
        a_node(station, amqp_url, name="n", region="north") as north,
        a_node(station, amqp_url, name="s", region="south") as south,
    ):
        phone = await station.phone()
        async with asyncio.timeout(30):
            while len((await phone.log_in(north.url, region="south")).greeting["gateways"]) < 2:
                await phone.hang_up()
                await asyncio.sleep(0.5)
        assert phone.greeting["gateways"][:2] == [south.url, north.url]
        await phone.hang_up()
