"""Hostile frames at the gateway: numbers 42, 43 and 47 of the list of bad input; the node lives on."""

import asyncio
import contextlib
import json
import os
import struct
from uuid import uuid4

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from plumbing.push_metrics import STRAY_ACKS
from tests.integration.gateway.station import Running, Station, a_frame, id_of, until


async def end_of(socket: ClientConnection) -> int:
    try:
        async with asyncio.timeout(30):
            while True:
                await socket.recv()
    except ConnectionClosed:
        return socket.close_code or 0


async def raw_open(node: Running) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A WebSocket whose frames the test makes itself."""
    host, _, rest = node.url.removeprefix("ws://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(rest.partition("/")[0]))
    writer.write(
        b"GET /v1/connect HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    await reader.readuntil(b"\r\n\r\n")
    return reader, writer


def raw_frame(payload: bytes, first_byte: int, *, mask: bytes = b"\0\0\0\0", is_masked: bool = True) -> bytes:
    size, bit = len(payload), 0x80 if is_masked else 0
    if size < 126:
        head = struct.pack("!BB", first_byte, bit | size)
    elif size < 65536:
        head = struct.pack("!BBH", first_byte, bit | 126, size)
    else:
        head = struct.pack("!BBQ", first_byte, bit | 127, size)
    return head + (mask if is_masked else b"") + payload


async def raw_end(reader: asyncio.StreamReader) -> int:
    """The close code of a raw connection; 1006 when it was cut without one."""
    async with asyncio.timeout(30):
        while True:
            try:
                head = await reader.readexactly(2)
                payload = await reader.readexactly(head[1] & 0x7F)
            except (asyncio.IncompleteReadError, ConnectionError):
                return 1006
            if head[0] & 0x0F == 8:
                return int.from_bytes(payload[:2], "big")


# ---- 42


async def test_42_a_message_of_a_mebibyte_is_too_big(alive: Running) -> None:
    async with connect(alive.url) as socket:
        await socket.send("x" * (1 << 20))

        assert await end_of(socket) == 1009


async def test_42_ten_thousand_fragments_are_too_many(alive: Running) -> None:
    reader, writer = await raw_open(alive)
    writer.write(raw_frame(b"x", 0x01) + raw_frame(b"x", 0x00) * 9999)

    assert await raw_end(reader) == 1009
    writer.close()


async def test_42_many_fragments_cannot_pile_up_more_than_one_message(alive: Running) -> None:
    reader, writer = await raw_open(alive)
    writer.write(raw_frame(b"x" * 60_000, 0x01) + raw_frame(b"x" * 60_000, 0x00))

    assert await raw_end(reader) == 1009
    writer.close()


async def test_42_compressed_frames_are_refused_for_nobody_agreed_on_them(alive: Running) -> None:
    async with connect(alive.url, compression="deflate") as socket:
        assert socket.response is not None
        assert "Sec-WebSocket-Extensions" not in socket.response.headers
    reader, writer = await raw_open(alive)
    writer.write(raw_frame(os.urandom(1000), 0xC1))

    assert await raw_end(reader) == 1002
    writer.close()


async def test_42_binary_frames_and_bad_utf8_have_their_codes(alive: Running) -> None:
    async with connect(alive.url) as socket:
        await socket.send(b"\x00\x01")
        assert await end_of(socket) == 1003
    async with connect(alive.url) as socket:
        await socket.send(b'{"type":"\xff\xfe"}', text=True)
        assert await end_of(socket) == 1007


@pytest.mark.parametrize(
    "frame",
    [
        raw_frame(b"{}", 0x81, is_masked=False),
        raw_frame(b"", 0x83),
        raw_frame(b"x" * 126, 0x89),
        raw_frame(b"{}", 0x80),
        raw_frame(b"\x03", 0x88),
        struct.pack("!BBQ", 0x81, 0xFF, 1 << 63),
    ],
    ids=["unmasked", "unknown opcode", "long ping", "stray continuation", "short close", "impossible size"],
)
async def test_42_broken_frames_end_their_own_connection_only(alive: Running, frame: bytes) -> None:
    reader, writer = await raw_open(alive)
    writer.write(frame)

    assert await raw_end(reader) in (1002, 1006)
    writer.close()


async def test_42_noise_after_the_handshake_ends_the_connection(alive: Running) -> None:
    for _ in range(20):
        reader, writer = await raw_open(alive)
        writer.write(os.urandom(5000))
        writer.write_eof()
        assert await raw_end(reader) in (1002, 1003, 1006, 1007, 1009, 4400, 4401, 1000)
        writer.close()


# ---- 43


async def test_43_acks_of_other_devices_unknown_ids_and_repeated_ones_are_ignored_and_counted(
    station: Station, alive: Running
) -> None:
    mine, theirs = await station.phone(), await station.phone()
    await mine.log_in(alive.url)
    await theirs.log_in(alive.url)
    frame = a_frame(theirs)
    await station.push(alive, frame)
    await theirs.hear()
    before = STRAY_ACKS._value.get()

    await mine.ack(id_of(frame), str(uuid4()))
    await theirs.ack(id_of(frame))
    await theirs.ack(id_of(frame))

    await until(lambda: STRAY_ACKS._value.get() - before == 3, "three strays")
    assert station.receipts[0]["device_id"] == str(theirs.device)
    assert station.reported("delivered") == [id_of(frame)]
    await mine.hang_up()
    await theirs.hang_up()


# ---- 47


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ('{"type":"__class__"}', 1008),
        ("[" * 10_000, 1008),
        ('{"a":' * 10_000 + "1" + "}" * 10_000, 1008),
        (json.dumps({f"k{number}": 1 for number in range(5000)}), 1008),
        (json.dumps({f"k{number}": 1 for number in range(1_000_000)}), 1009),
        ('{"type":"ack","ids":"all"}', 4400),
        ("not JSON", 4400),
    ],
    ids=["unknown type", "10,000 brackets", "10,000 objects", "5,000 keys", "1,000,000 keys", "wrong ids", "no JSON"],
)
async def test_47_frames_that_are_none_are_closed_by_code(
    station: Station, alive: Running, message: str, code: int
) -> None:
    phone = await (await station.phone()).log_in(alive.url)
    assert phone.socket is not None

    with contextlib.suppress(ConnectionClosed):  # the server need not hear it out
        await phone.socket.send(message)

    assert (await phone.closed())[0] == code


async def test_paths_methods_and_handshakes_that_do_not_fit_are_answered_in_http(alive: Running) -> None:
    async def answer(request: bytes) -> int:
        host, _, rest = alive.url.removeprefix("ws://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(rest.partition("/")[0]))
        writer.write(request)
        status = int((await reader.readline()).split()[1])
        writer.close()
        return status

    assert await answer(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n") == 404
    assert await answer(b"GET /v1/connect HTTP/1.1\r\nHost: x\r\n\r\n") == 400
    assert await answer(b"POST /v1/connect HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}") == 400
    assert await answer(b"GET ../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n") == 404
