"""The client of the benchmark counts every request once, whatever the server does to its connections."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ops.bench.posts import NO_ANSWER, NOT_ASKED, Post, post_all


class Server:
    """Answers 202, but every tenth request says `close` and every 25th is hung up on."""

    def __init__(self) -> None:
        self.asked = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
                self.asked += 1
                if self.asked % 25 == 0:
                    return
                closes = self.asked % 10 == 0
                writer.write(b"HTTP/1.1 202 Accepted\r\n" + b"Connection: close\r\n" * closes)
                writer.write(b"Content-Length: 2\r\n\r\n{}")
                if closes:
                    return
        except asyncio.IncompleteReadError:
            return
        finally:
            writer.close()


@asynccontextmanager
async def a_server() -> AsyncIterator[tuple[Server, str]]:
    answering = Server()
    server = await asyncio.start_server(answering, "127.0.0.1", 0)
    async with server:
        yield answering, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_every_request_has_one_answer_or_none() -> None:
    async with a_server() as (server, url):
        answers = await post_all(url, [Post("/", b"{}")] * 500, connections=8)

    assert server.asked == 500
    assert Counter(answer.status for answer in answers) == {202: 480, NO_ANSWER: 20}
    assert {answer.body for answer in answers if answer.status == 202} == {b"{}"}


async def test_requests_keep_their_pace() -> None:
    async with a_server() as (_, url):
        began = time.monotonic()
        answers = await post_all(url, [Post("/", b"{}")] * 50, per_s=200, connections=4)

    turns = [answer.at_s - began for answer in answers]
    assert all(turn >= number / 200 for number, turn in enumerate(turns))


async def test_a_deadline_leaves_the_rest_unasked() -> None:
    async with a_server() as (server, url):
        answers = await post_all(url, [Post("/", b"{}")] * 1000, per_s=100, within_s=0.1)

    assert 0 < server.asked < 500
    assert Counter(answer.status for answer in answers)[NOT_ASKED] == 1000 - server.asked


async def test_a_server_that_is_not_there_is_not_waited_for_beyond_the_deadline() -> None:
    answers = await post_all("http://127.0.0.1:1", [Post("/", b"{}")] * 3, within_s=0.1)

    assert [answer.status for answer in answers] == [NOT_ASKED] * 3
