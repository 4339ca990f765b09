"""What was measured is a matter of versions: those of the servers that run, and of libraries that stand in the way."""

import platform
from importlib.metadata import version
from typing import Any

from redis.asyncio import Redis

from ops.stack.database import connected
from ops.stack.home import Run
from ops.stack.parts import Part, Way
from plumbing.broker.connection import connect


def libraries(*names: str) -> dict[str, str]:
    """Python and distributions of ours, by name."""
    return {"Python": platform.python_version(), **{name: version(name) for name in names}}


async def versions_of(run: Run) -> dict[str, str]:
    """The three servers as they tell it themselves, and Python."""
    async with connected(run.database_url) as conn:
        postgres = str(await conn.fetchval("SHOW server_version")).split()[0]
    return {
        "PostgreSQL": postgres,
        "Redis": "fakeredis" if _is_embedded(run, Part.REDIS) else await _redis(run.redis_url),
        "RabbitMQ": "our own broker" if _is_embedded(run, Part.RABBITMQ) else await _rabbitmq(run.amqp_url),
        **libraries(),
    }


def _is_embedded(run: Run, part: Part) -> bool:
    return run.stack[part.value] == Way.EMBEDDED.value


async def _redis(url: str) -> str:
    async with Redis.from_url(url) as client:
        told = await client.info("server")
    return str(told["redis_version"])


async def _rabbitmq(url: str) -> str:
    """From the first frame that a broker sends (connection.start)."""
    connection = await connect(url, "carillon bench")
    try:
        inner: Any = connection.transport.connection if connection.transport is not None else None
        told = inner.server_properties.get("version", "?")
    finally:
        await connection.close()
    return told.decode() if isinstance(told, bytes) else str(told)
