"""Do the URLs that were given lead anywhere? Asked once by `up`, so that a wrong one is one line and no riddle."""

import asyncio
from urllib.parse import urlsplit

from domain.errors import Misconfigured
from ops.stack.database import connected
from ops.stack.parts import Part

_TIMEOUT_S = 5.0


async def check_url(part: Part, url: str) -> None:
    """Log in once. Misconfigured names the part, the place (never the password) and the variable."""
    parts = urlsplit(url)
    try:
        where = f"{parts.hostname}:{parts.port}" if parts.port else f"{parts.hostname}"
    except ValueError as error:
        raise Misconfigured(f"{part.variable} is no URL: {error}") from error
    if part is Part.POSTGRES:
        async with connected(url):
            return
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            await (_ping_redis(url) if part is Part.REDIS else _open_amqp(url))
    except TimeoutError as error:
        raise Misconfigured(_line(part, where, f"no answer in {_TIMEOUT_S:.0f} s")) from error
    except Exception as error:  # any of the client's own errors: what matters is that it does not work
        raise Misconfigured(_line(part, where, str(error) or type(error).__name__)) from error


async def _ping_redis(url: str) -> None:
    from redis.asyncio import Redis  # lazy: only given URLs need it

    async with Redis.from_url(url) as client:
        await client.ping()


async def _open_amqp(url: str) -> None:
    import aio_pika  # lazy: only given URLs need it

    async with await aio_pika.connect(url):
        return


def _line(part: Part, where: str, why: str) -> str:
    return f"{part.label} cannot be used at {where} ({why}): is it running, and is {part.variable} right?"
