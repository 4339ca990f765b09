"""Live pushes through a real node: handed over, acknowledged, seen, reported absent; hellos and their refusals."""

import asyncio

from websockets.exceptions import ConnectionClosed

from tests.integration.devices import a_device, an_app
from tests.integration.gateway.station import Phone, Running, Station, a_frame, id_of, until


async def test_a_push_reaches_its_device_and_its_acknowledgement_the_platform(station: Station, node: Running) -> None:
    phone = await (await station.phone()).log_in(node.url)
    frame = a_frame(phone)

    await station.push(node, frame)
    heard = await phone.hear()
    await phone.ack(heard["id"])

    assert heard["type"] == "notification"
    assert heard["id"] == id_of(frame)
    assert heard["payload"] == {"aps": {"alert": "live"}}
    assert heard["stored"] is False
    await until(lambda: station.reported("delivered") == [id_of(frame)])
    assert station.receipts[0]["device_id"] == str(phone.device)
    assert station.receipts[0]["provider"] == "gateway"
    await phone.hang_up()


async def test_hello_is_answered_with_what_a_client_needs(station: Station, node: Running) -> None:
    phone = await (await station.phone()).log_in(node.url)

    assert phone.greeting["device_id"] == str(phone.device)
    assert phone.greeting["heartbeat_s"] == 15
    assert node.url in phone.greeting["gateways"]
    places = await station.presence.where([phone.device])
    assert places is not None
    await phone.hang_up()


async def test_a_device_that_is_not_here_is_reported_absent_at_once(station: Station, node: Running) -> None:
    phone = await station.phone()
    frame = a_frame(phone)

    await station.push(node, frame)

    await until(lambda: station.reported("absent") == [id_of(frame)])


async def test_what_was_not_acknowledged_is_reported_absent_when_the_connection_ends(
    station: Station, node: Running
) -> None:
    phone = await (await station.phone()).log_in(node.url)
    first, second = a_frame(phone), a_frame(phone)
    await station.push(node, first, second)
    await phone.hear()
    await phone.ack(id_of(first))

    await phone.hang_up()

    await until(lambda: station.reported("absent") == [id_of(second)])
    assert station.reported("delivered") == [id_of(first)]


async def test_what_a_device_could_not_show_and_what_was_seen_is_told(station: Station, node: Running) -> None:
    phone = await (await station.phone()).log_in(node.url)
    bad, dull, good = a_frame(phone), a_frame(phone), a_frame(phone)
    await station.push(node, bad, dull, good)
    for _ in range(3):
        await phone.hear()

    await phone.ack(id_of(bad), code=101)
    await phone.ack(id_of(dull), code=102)
    await phone.ack(id_of(good))
    await phone.say(type="seen", ids=[id_of(good)])

    await until(lambda: len(station.receipts) == 4)
    reasons = {one["delivery_id"]: one["reason"] for one in station.receipts if one["kind"] == "failed"}
    assert reasons == {id_of(bad): "not_decodable", id_of(dull): "not_shown"}
    assert station.reported("seen") == [id_of(good)]
    await phone.hang_up()


async def test_a_newer_login_ghosts_the_older_one_on_the_same_node(station: Station, node: Running) -> None:
    phone = await (await station.phone()).log_in(node.url)
    again = Phone(phone.app_key, phone.device, phone.token)

    await again.log_in(node.url)

    assert (await phone.closed())[0] == 4409
    await until(lambda: node.node.connections.devices == 1)
    frame = a_frame(again)
    await station.push(node, frame)
    assert (await again.hear())["id"] == id_of(frame)
    await again.hang_up()


async def test_tokens_and_keys_that_do_not_fit_are_refused_by_code(station: Station, node: Running) -> None:
    gone = await station.phone(is_gone=True)
    other_app = await an_app(station.pool, station.tenant, f"com.example.other-{station.app.hex[:6]}")
    await a_device(station.pool, station.tenant, other_app, token="of-another-app")
    cases = {
        Phone(station.app_key, gone.device, gone.token): 4410,
        Phone(station.app_key, gone.device, "nobody-has-it"): 4401,
        Phone("cn_app_unknown", gone.device, gone.token): 4401,
        Phone(station.app_key, gone.device, "of-another-app"): 4403,
    }

    async def refused(phone: Phone) -> int:
        try:
            await phone.log_in(node.url)
        except ConnectionClosed:
            return (await phone.closed())[0]
        return 0

    assert await asyncio.gather(*map(refused, cases)) == list(cases.values())
