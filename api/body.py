"""Reading a request's body: bounded in bytes and in time before anything is made of it."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from starlette.types import Receive, Scope

from api.strict_json import Document, read, read_clean
from api.wire import has_arrived
from domain.errors import RequestRefused

KIB = 1024


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """How much of a body is taken, and how long its sender may need for the whole of it."""

    size_bytes: int = 256 * KIB
    bulk_size_bytes: int = 4096 * KIB
    timeout_s: float = 30.0


class Asked(Protocol):
    """What reading needs of a request: Starlette's has it, and the hot routes' own."""

    @property
    def scope(self) -> Scope:
        """ASGI's."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """By name in lower case; of equal ones the first."""
        ...

    @property
    def receive(self) -> Receive:
        """ASGI's."""
        ...


async def read_body(request: Asked, size_bytes: int, *, timeout_s: float) -> bytes:
    """The whole body. RequestRefused: 413 as soon as it is known to be too large, 408 when it takes too long."""
    announced = request.headers.get("content-length")
    if announced is not None and announced.isdecimal() and int(announced) > size_bytes:
        raise _too_large(size_bytes)
    try:
        if has_arrived(request.scope):
            return await _gather(request.receive, size_bytes)
        async with asyncio.timeout(timeout_s):
            return await _gather(request.receive, size_bytes)
    except TimeoutError:
        detail = f"the body did not arrive within {timeout_s:g} s"
        raise RequestRefused("body_too_slow", detail, 408) from None


async def _gather(receive: Receive, size_bytes: int) -> bytes:
    parts: list[bytes] = []
    length = 0
    is_whole = False
    while not is_whole:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RequestRefused("body_incomplete", "the connection ended before the body did", 400)
        parts.append(message.get("body", b""))
        length += len(parts[-1])
        if length > size_bytes:
            raise _too_large(size_bytes)
        is_whole = not message.get("more_body", False)
    return b"".join(parts)


async def read_document(request: Asked, size_bytes: int, *, timeout_s: float) -> Document:
    """A JSON body with what is wrong inside it. RequestRefused: 415, 413, 408, 400."""
    refuse_other_media(request)
    return read(await read_body(request, size_bytes, timeout_s=timeout_s))


async def read_json(request: Asked, size_bytes: int, *, timeout_s: float) -> Any:
    """A JSON body with nothing wrong inside it. RequestRefused: 415, 413, 408, 400, 422."""
    refuse_other_media(request)
    return read_clean(await read_body(request, size_bytes, timeout_s=timeout_s))


def refuse_other_media(request: Asked) -> None:
    """RequestRefused(415) unless the body is plain JSON in UTF-8, not compressed."""
    media_type, _, parameters = request.headers.get("content-type", "").partition(";")
    if media_type.strip().lower() != "application/json":
        raise RequestRefused("unsupported_media_type", "send Content-Type: application/json", 415)
    charset = parameters.strip().lower().removeprefix("charset=").strip('"')
    if charset not in {"", "utf-8", "utf8"}:
        raise RequestRefused("unsupported_media_type", "JSON is always UTF-8 here", 415)
    if request.headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}:
        raise RequestRefused("unsupported_media_type", "compressed bodies are not taken", 415)


def _too_large(size_bytes: int) -> RequestRefused:
    return RequestRefused("body_too_large", f"a body here has at most {size_bytes // KIB} KiB", 413)
