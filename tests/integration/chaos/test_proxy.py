"""Every fault of the proxy, on real sockets: what each side hears, and what arrives when it is over."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from ops.chaos.proxy import FaultProxy, fault_proxy

SOON_S = 5.0
SILENCE_S = 0.2

Talk = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Echo:
    """A server that says again what it hears; `heard` is all of it, `ends` how many connections ended."""

    def __init__(self) -> None:
        self.heard = b""
        self.ends = 0
        self.port = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Echo"]:
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        yield self
        server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while said := await reader.read(65536):
                self.heard += said
                writer.write(said)
                await writer.drain()
        except OSError:
            pass
        finally:
            self.ends += 1
            writer.close()


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    async with Echo().open() as echo:
        yield echo


@pytest.fixture
async def proxy(echo: Echo) -> AsyncIterator[FaultProxy]:
    async with fault_proxy("127.0.0.1", echo.port) as proxy:
        yield proxy


@pytest.fixture
async def talk(proxy: FaultProxy) -> AsyncIterator[Talk]:
    """A connection through the proxy over which something was said and heard already."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    assert await says((reader, writer), b"good morning") == b"good morning"
    yield reader, writer
    writer.transport.abort()


async def says(talk: Talk, words: bytes) -> bytes:
    """What is heard after `words` were said."""
    talk[1].write(words)
    async with asyncio.timeout(SOON_S):
        return await talk[0].readexactly(len(words))


async def is_silent(talk: Talk) -> bool:
    """Whether nothing comes for a while, no goodbye either."""
    try:
        async with asyncio.timeout(SILENCE_S):
            await talk[0].read(1)
    except TimeoutError:
        return True
    return False


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON_S):
        while not is_so():
            await asyncio.sleep(0.005)


async def is_reset(talk: Talk) -> bool:
    async with asyncio.timeout(SOON_S):
        try:
            await talk[0].read(1)
        except ConnectionResetError:
            return True
    return False


async def test_a_goodbye_goes_through_in_both_directions(echo: Echo, proxy: FaultProxy, talk: Talk) -> None:
    words = bytes(range(256)) * 4000

    assert await says(talk, words) == words
    talk[1].write_eof()

    assert await talk[0].read() == b""
    await until(lambda: echo.ends == 1 and proxy.connections == 0)


async def test_answers_are_late_by_the_delay_and_no_longer_when_it_is_over(proxy: FaultProxy, talk: Talk) -> None:
    proxy.delay(0.2)
    begun_s = time.monotonic()
    await says(talk, b"slowly")
    late_s = time.monotonic() - begun_s
    proxy.pass_()
    begun_s = time.monotonic()
    await says(talk, b"quickly")

    assert late_s >= 0.2 > time.monotonic() - begun_s


async def test_who_is_refused_cannot_connect_until_it_is_over(echo: Echo, proxy: FaultProxy, talk: Talk) -> None:
    proxy.refuse()

    assert await is_reset(talk)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", proxy.port)
    proxy.pass_()
    again = await asyncio.open_connection("127.0.0.1", proxy.port)
    assert await says(again, b"here again") == b"here again"
    again[1].close()


async def test_nothing_comes_out_of_a_black_hole_until_it_is_over(echo: Echo, proxy: FaultProxy, talk: Talk) -> None:
    heard = echo.heard
    proxy.black_hole()
    talk[1].write(b"hello?")
    late = await asyncio.open_connection("127.0.0.1", proxy.port)
    late[1].write(b"anybody?")

    assert [await is_silent(one) for one in (talk, late)] == [True, True]
    assert echo.heard == heard
    proxy.pass_()
    assert await talk[0].readexactly(6) == b"hello?"
    assert await late[0].readexactly(8) == b"anybody?"
    late[1].close()


async def test_a_goodbye_is_not_heard_out_of_a_black_hole(echo: Echo, proxy: FaultProxy, talk: Talk) -> None:
    proxy.black_hole()
    talk[1].close()

    await asyncio.sleep(SILENCE_S)
    assert (echo.ends, proxy.connections) == (0, 1)
    proxy.pass_()
    await until(lambda: (echo.ends, proxy.connections) == (1, 0))


async def test_half_open_the_server_hears_and_is_not_heard(echo: Echo, proxy: FaultProxy, talk: Talk) -> None:
    proxy.half_open()
    talk[1].write(b"do you hear me")

    await until(lambda: echo.heard.endswith(b"do you hear me"))
    assert await is_silent(talk)
    proxy.pass_()
    assert await talk[0].readexactly(14) == b"do you hear me"


async def test_a_reset_ends_what_is_connected_and_nothing_else(echo: Echo, proxy: FaultProxy, talk: Talk) -> None:
    proxy.reset()

    assert await is_reset(talk)
    await until(lambda: echo.ends == 1)
    again = await asyncio.open_connection("127.0.0.1", proxy.port)
    assert await says(again, b"as ever") == b"as ever"
    again[1].close()


async def test_a_connection_is_cut_when_the_server_has_so_many_bytes_more(
    echo: Echo, proxy: FaultProxy, talk: Talk
) -> None:
    before = len(echo.heard)
    proxy.cut_after(10)
    assert await says(talk, b"1234") == b"1234"
    talk[1].write(b"5678901234")

    assert await is_reset(talk)
    await until(lambda: echo.ends == 1)
    assert echo.heard[before:] == b"1234567890"


async def test_it_may_lead_elsewhere_and_back(echo: Echo, proxy: FaultProxy, talk: Talk) -> None:
    async with Echo().open() as other:
        before = proxy.lead_to(("127.0.0.1", other.port))

        assert await is_reset(talk)
        again = await asyncio.open_connection("127.0.0.1", proxy.port)
        assert await says(again, b"who are you") == b"who are you"
        assert (other.heard, before) == (b"who are you", ("127.0.0.1", echo.port))
        again[1].close()


Order = Callable[[FaultProxy], None]


@pytest.mark.parametrize("order", [FaultProxy.black_hole, FaultProxy.half_open, FaultProxy.refuse])
async def test_it_closes_whatever_is_wrong(echo: Echo, order: Order) -> None:
    async with fault_proxy("127.0.0.1", echo.port) as proxy:
        talk = await asyncio.open_connection("127.0.0.1", proxy.port)
        assert await says(talk, b"short") == b"short"
        order(proxy)
        talk[1].write(b"lost")

    assert proxy.connections == 0
    assert await is_reset(talk)


async def test_without_a_server_behind_it_a_client_is_reset() -> None:
    async with fault_proxy("127.0.0.1", 1) as proxy:
        assert await is_reset(await asyncio.open_connection("127.0.0.1", proxy.port))
