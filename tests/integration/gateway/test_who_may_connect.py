"""Who may connect, and how often: numbers 40, 41, 44 and 46 of the list of bad input; the node lives on."""

import asyncio
import logging
from uuid import uuid4

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.integration.devices import a_device, an_app
from tests.integration.gateway.station import Phone, Running, Station, a_frame, id_of, until

PAGE = "https://app.example.com"


async def end_of(socket: ClientConnection) -> int:
    try:
        async with asyncio.timeout(30):
            while True:
                await socket.recv()
    except ConnectionClosed:
        return socket.close_code or 0


# ---- 40


async def test_40_who_does_not_say_hello_within_five_seconds_is_closed_with_4401(alive: Running) -> None:
    async with connect(alive.url, ping_interval=None) as socket:
        begun = asyncio.get_running_loop().time()

        assert await end_of(socket) == 4401
        assert 4.5 <= asyncio.get_running_loop().time() - begun <= 7.5


async def test_40_a_token_of_another_app_is_closed_with_4403(station: Station, alive: Running) -> None:
    other = await an_app(station.pool, station.tenant, f"com.other.{uuid4().hex[:8]}")
    token = uuid4().hex
    device = await a_device(station.pool, station.tenant, other, token=token)

    with pytest.raises(ConnectionClosed) as closed:
        await Phone(station.app_key, device, token).log_in(alive.url)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4403


# ---- 41


@pytest.fixture
async def with_page(station: Station, alive: Running) -> Running:
    """A page that the node lets connect."""
    await station.pool.execute("UPDATE apps SET web_origins = $2 WHERE id = $1", station.app, [PAGE])
    await until(lambda: alive.node.allow(PAGE), "the origin")
    return alive


@pytest.mark.parametrize(
    "origin", ["https://evil", "https://app.example.com.evil", "http://app.example.com", "null", f"{PAGE}:8443", ""]
)
async def test_41_a_page_of_another_origin_is_refused_in_the_handshake(with_page: Running, origin: str) -> None:
    headers = {"Origin": origin, "Cookie": "session=abc"}

    with pytest.raises(InvalidStatus) as refused:
        await connect(with_page.url, additional_headers=headers)

    assert refused.value.response.status_code == 403


async def test_41_the_apps_own_page_and_whoever_is_no_page_may_connect(station: Station, with_page: Running) -> None:
    phone = await station.phone()

    await phone.log_in(with_page.url, origin=PAGE)
    await phone.hang_up()
    await phone.log_in(with_page.url)
    await phone.hang_up()


async def test_41_the_page_of_one_app_may_not_speak_for_another(station: Station, with_page: Running) -> None:
    other = await an_app(station.pool, station.tenant, f"com.other.{uuid4().hex[:8]}")
    token = uuid4().hex
    device = await a_device(station.pool, station.tenant, other, token=token)

    with pytest.raises(ConnectionClosed) as closed:
        await Phone(f"cn_app_{other.hex}", device, token).log_in(with_page.url, origin=PAGE)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4403


# ---- 44


async def test_44_two_hundred_connections_with_one_token_leave_the_latest(station: Station, alive: Running) -> None:
    phone = await station.phone()
    logins = [Phone(phone.app_key, phone.device, phone.token) for _ in range(200)]

    for one in logins:
        await one.log_in(alive.url)
    codes = [(await one.closed())[0] for one in logins[:-1]]

    assert codes == [4409] * 199
    frame = a_frame(phone)
    await station.push(alive, frame)
    assert (await logins[-1].hear())["id"] == id_of(frame)
    await logins[-1].hang_up()


# ---- 46


async def test_46_a_token_in_the_url_is_refused_and_stands_in_no_log(
    station: Station, alive: Running, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    phone = await station.phone()

    with pytest.raises(InvalidStatus) as refused:
        await connect(f"{alive.url}?token={phone.token}")
    await phone.log_in(alive.url)
    await phone.say(type="hello", app_key=phone.app_key, token=phone.token)
    assert (await phone.closed())[0] == 4400

    assert refused.value.response.status_code == 400
    said = capfd.readouterr()
    served = [record for record in caplog.records if not record.name.startswith("websockets")]
    assert phone.token not in said.out + said.err + "".join(record.getMessage() for record in served)
