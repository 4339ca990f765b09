"""How the web client comes to a connection, and back to one: registers, greets, waits, goes elsewhere, gives up."""

import asyncio
from itertools import pairwise

import pytest

from tests.integration.webclient.pages import TOKEN, AppPage
from tests.integration.webclient.scripted import ScriptedGateway, until

FINAL = (4400, 4401, 4403, 4409, 4410, 4413, 4499)


async def test_a_device_registers_once_and_says_hello_with_its_token(app: AppPage, gateway: ScriptedGateway) -> None:
    await app.connect(gateway.url, napS=30, region="eu")
    await app.reaches("open")
    [asked] = app.registrations

    assert asked["headers"]["authorization"] == "Bearer cn_app_key"
    assert asked["body"] == {"app_bundle_id": "com.example.app", "platform": "web"}
    assert gateway.frames("hello") == [
        {"type": "hello", "app_key": "cn_app_key", "token": TOKEN, "last_seen": None, "nap_s": 30, "region": "eu"}
    ]
    assert gateway.paths == ["/v1/connect"]


async def test_a_reload_keeps_the_device(app: AppPage, gateway: ScriptedGateway) -> None:
    await app.connect(gateway.url)
    await app.reaches("open")
    await app.open()
    await app.connect(gateway.url)
    await app.reaches("open")

    assert len(app.registrations) == 1
    assert [hello["token"] for hello in gateway.frames("hello")] == [TOKEN, TOKEN]


async def test_a_device_that_is_forgotten_registers_anew(app: AppPage, gateway: ScriptedGateway) -> None:
    await app.connect(gateway.url)
    await app.reaches("open")
    await app.page.evaluate("device.forget()")
    kept = await app.page.evaluate("Object.keys(localStorage)")
    await app.page.evaluate("device.connect()")
    await app.reaches("open")

    assert kept == []
    assert [asked["body"].get("token") for asked in app.registrations] == [None, None]


async def test_registering_again_brings_the_token_along(app: AppPage, gateway: ScriptedGateway) -> None:
    await app.make(gateway.url)
    await app.page.evaluate("device.register({ device_info: { model: 'x' } })")
    app.answer = {"device_id": "d-1", "token": None, "gateways": []}
    await app.page.evaluate("device.register()")
    await app.page.evaluate("device.connect()")
    await app.reaches("open")

    assert [asked["body"].get("token") for asked in app.registrations] == [None, TOKEN]
    assert app.registrations[0]["body"]["device_info"] == {"model": "x"}
    assert gateway.frames("hello")[0]["token"] == TOKEN


async def test_connecting_twice_at_once_registers_and_connects_once(app: AppPage, gateway: ScriptedGateway) -> None:
    await app.make(gateway.url)
    await app.page.evaluate("Promise.all([device.connect(), device.connect(), device.connect()])")
    await app.reaches("open")
    await app.page.evaluate("device.connect()")

    assert (len(app.registrations), len(gateway.opened_at)) == (1, 1)


async def test_a_registration_that_is_refused_says_why(app: AppPage, gateway: ScriptedGateway) -> None:
    app.registrar_status, app.answer = 403, {"reason": "wrong_app", "detail": "of its own app only"}
    await app.make(gateway.url)

    told = await app.page.evaluate(
        "device.connect().catch(({ name, status, reason, message }) => [name, status, reason, message])"
    )

    assert told == ["NotRegistered", 403, "wrong_app", "of its own app only"]
    assert gateway.opened_at == []


async def test_the_api_tells_where_the_gateways_are(app: AppPage, gateway: ScriptedGateway) -> None:
    app.answer["gateways"] = [gateway.url]

    await app.connect()

    assert (await app.reaches("open"))["gateway"] == gateway.url


async def test_an_api_that_knows_no_gateway_yet_is_asked_again(app: AppPage, gateway: ScriptedGateway) -> None:
    await app.connect()
    told = await app.reaches("waiting")
    app.answer = {"device_id": "d-1", "token": None, "gateways": [gateway.url]}
    await app.reaches("open")

    assert told["reason"] == "no gateway is up"
    assert [asked["body"].get("token") for asked in app.registrations] == [None, TOKEN]


async def test_a_pause_is_random_between_one_second_and_sixty(app: AppPage) -> None:
    bounds = await app.page.evaluate(
        """() => [0, 1, 2, 3, 4, 5, 50].map((failures) => {
             const pauses = Array.from({ length: 5000 }, () => pauseS(failures));
             return [Math.min(...pauses), Math.max(...pauses)];
           })"""
    )

    longest = [4, 8, 16, 32, 60, 60, 60]
    assert all(1 <= low < 1 + 0.05 * most for (low, _), most in zip(bounds, longest, strict=True))
    assert all(0.95 * most < high <= most for (_, high), most in zip(bounds, longest, strict=True))


async def test_pauses_grow_while_nobody_answers_and_begin_anew_after_a_hello(
    app: AppPage, gateway: ScriptedGateway
) -> None:
    await app.page.clock.install()
    await gateway.stop()
    await app.make(gateway.url)
    await app.page.evaluate("(gateway) => make({ gateways: [gateway], random: () => 1 })", gateway.url)
    await app.page.evaluate("device.connect()")
    pauses = [(await app.reaches("waiting"))["pauseS"]]
    while len(pauses) < 6:
        before = await app.page.evaluate("states.length")
        await app.page.clock.fast_forward(round(pauses[-1] * 1000))
        await app.page.wait_for_function("(before) => states.length === before + 2", arg=before)
        pauses.append((await app.reaches("waiting"))["pauseS"])
    await gateway.start()
    await app.page.clock.fast_forward(60_000)
    await app.reaches("open")
    await gateway.hang_up(1011)

    assert pauses == [4, 8, 16, 32, 60, 60]
    assert (await app.reaches("waiting"))["pauseS"] == 4


async def test_a_gateway_that_is_busy_is_left_alone_for_as_long_as_it_asks(
    app: AppPage, gateway: ScriptedGateway
) -> None:
    gateway.refusals += [(4503, '{"retry_after_s": 2.5}'), (4503, "no JSON"), (4503, '{"retry_after_s": "soon"}')]
    await app.connect(gateway.url)
    await until(lambda: len(gateway.opened_at) == 4, "four connections")
    await app.reaches("open")

    pauses = [later - earlier for earlier, later in pairwise(gateway.opened_at)]
    assert 2.5 <= pauses[0] < 8
    assert all(1 <= pause < 5 for pause in pauses[1:])  # ours, without jitter, where it asks for none


@pytest.mark.parametrize("code", FINAL)
async def test_a_final_close_code_ends_it_and_is_told(app: AppPage, gateway: ScriptedGateway, code: int) -> None:
    await app.page.clock.install()
    gateway.refusals.append((code, "for good"))
    await app.connect(gateway.url)
    state = await app.reaches("stopped")
    await app.page.clock.fast_forward("02:00:00")
    still = await app.page.evaluate("device.state.name")

    assert state == {"name": "stopped", "code": code, "reason": "for good"}
    assert (still, len(gateway.opened_at)) == ("stopped", 1)
    await app.page.evaluate("device.connect()")  # a person may want it back
    await app.reaches("open")


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1011, 1012, 4408, 4500, 4508])
async def test_every_other_close_code_is_followed_by_a_new_connection(
    app: AppPage, gateway: ScriptedGateway, code: int
) -> None:
    await app.connect(gateway.url)
    await app.reaches("open")
    await gateway.hang_up(code)
    await until(lambda: len(gateway.frames("hello")) == 2, "a second hello")

    assert 1 <= gateway.opened_at[1] - gateway.opened_at[0] < 10


async def test_a_gateway_that_leaves_sends_the_device_to_the_next(
    app: AppPage, gateway: ScriptedGateway, second: ScriptedGateway
) -> None:
    await app.connect(gateway.url, second.url)
    await app.reaches("open")
    await gateway.hang_up(4500)
    await until(lambda: len(second.frames("hello")) == 1, "hello at the second")

    assert len(gateway.opened_at) == 1


async def test_a_gateway_that_is_down_is_passed_over_and_comes_first_again_later(
    app: AppPage, gateway: ScriptedGateway, second: ScriptedGateway
) -> None:
    await gateway.stop()
    await app.connect(gateway.url, second.url)
    await until(lambda: len(second.frames("hello")) == 1, "hello at the second")
    await app.reaches("open")
    await gateway.start()
    await second.hang_up(1011)
    await until(lambda: len(gateway.frames("hello")) == 1, "hello at the first")

    assert len(second.opened_at) == 1


async def test_gateways_that_are_told_come_before_those_of_the_app_also_after_a_reload(
    app: AppPage, gateway: ScriptedGateway, second: ScriptedGateway
) -> None:
    gateway.gateways = [second.url, gateway.url]
    await app.connect(gateway.url)
    await app.reaches("open")
    await app.open()
    await app.connect(gateway.url)
    await app.reaches("open")

    assert (len(gateway.frames("hello")), len(second.frames("hello"))) == (1, 1)


async def test_both_sides_speak_at_least_once_in_a_heartbeat(app: AppPage, gateway: ScriptedGateway) -> None:
    gateway.heartbeat_s = 1
    await app.connect(gateway.url)
    await app.reaches("open")
    for _ in range(8):
        await gateway.say({})
        await asyncio.sleep(0.5)  # the gateway's own rhythm

    pings = [told.at for told in gateway.told if told.frame == {}]
    assert len(gateway.opened_at) == 1
    assert len(pings) >= 2
    assert all(0.5 <= later - earlier <= 4 for earlier, later in pairwise(pings))


async def test_a_gateway_that_fell_silent_is_left_though_its_socket_is_open(
    app: AppPage, gateway: ScriptedGateway
) -> None:
    gateway.heartbeat_s = 1
    await app.connect(gateway.url)
    await app.reaches("open")
    await until(lambda: len(gateway.opened_at) == 2, "another connection")

    silent_s = gateway.opened_at[1] - gateway.opened_at[0] - 1  # a pause of one second stands between
    assert 2 <= silent_s <= 8
    assert "stopped" not in await app.states()


async def test_a_socket_that_never_answers_hello_is_given_up(app: AppPage) -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    await app.page.clock.install()
    await app.connect(f"ws://127.0.0.1:{port}/v1/connect")
    await app.page.clock.fast_forward(15_000)

    assert (await app.reaches("waiting"))["reason"] == "no hello"
    server.close()
    await server.wait_closed()


async def test_closing_is_for_good_until_somebody_connects_again(app: AppPage, gateway: ScriptedGateway) -> None:
    await app.page.clock.install()
    await app.connect(gateway.url)
    await app.reaches("open")
    await app.page.evaluate("device.close()")
    await until(lambda: gateway.closed == [1000], "a normal close")
    await app.page.clock.fast_forward("01:00:00")

    assert await app.page.evaluate("device.state.name") == "idle"
    assert len(gateway.opened_at) == 1
