"""The small door of a role without an API, for `/metrics` and `/health`; on loopback unless it is told otherwise."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import msgspec

from domain.errors import Misconfigured
from plumbing import metrics
from plumbing.health import Check, ask_all, is_ready

LOOPBACK = "127.0.0.1"
REQUEST_TIMEOUT_S = 5.0
MAX_REQUEST_BYTES = 8192

_Answer = tuple[int, str, bytes]
_JSON = "application/json"


@contextlib.asynccontextmanager
async def open_door(port: int, checks: Mapping[str, Check], *, host: str = LOOPBACK) -> AsyncIterator[str]:
    """Serve on `port` (0: a free one) as long as the context lasts; its URL. Misconfigured when the port is taken."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _serve(reader, writer, lambda path: _route(path, checks))

    try:
        server = await asyncio.start_server(answer, host, port, limit=MAX_REQUEST_BYTES)
    except OSError as error:
        place = f"CARILLON_METRICS_PORT {port} of {host}"
        raise Misconfigured(f"{place} cannot be used: {error.strerror or error}") from error
    async with server:
        yield f"http://{f'[{host}]' if ':' in host else host}:{server.sockets[0].getsockname()[1]}"


async def _route(path: str, checks: Mapping[str, Check]) -> _Answer:
    if path == "/metrics":
        return 200, metrics.CONTENT_TYPE, metrics.render()
    if path == "/health/live":
        return 200, _JSON, b'{"status":"up"}'
    if path in ("/health", "/health/ready"):
        answers = await ask_all(checks)
        ready = is_ready(answers)
        body = {"status": "up" if ready else "down", "dependencies": {one.name: one.is_up for one in answers}}
        return 200 if ready else 503, _JSON, msgspec.json.encode(body)
    return 404, _JSON, b'{"status":"not found"}'


async def _serve(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, route: Callable[[str], Awaitable[_Answer]]
) -> None:
    """Answer one request and close: nobody here needs more than one."""
    with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        async with asyncio.timeout(REQUEST_TIMEOUT_S):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            method, path, *_ = [*head.split(" ", 2), "", ""]
            status, content_type, body = (
                await route(path.split("?", 1)[0]) if method == "GET" else (405, _JSON, b'{"status":"only GET"}')
            )
            words = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}[status]
            writer.write(
                f"HTTP/1.1 {status} {words}\r\nContent-Type: {content_type}\r\n"
                f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
                + body
            )
            await writer.drain()
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
