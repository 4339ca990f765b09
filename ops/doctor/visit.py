"""One visit: everything is looked at, one thing's failure keeps no other from being seen, and nothing is changed."""

import asyncio
from collections.abc import AsyncIterator, Callable

import aio_pika
import asyncpg
from aio_pika.abc import AbstractConnection
from redis.asyncio import Redis
from redis.exceptions import RedisError

from domain.errors import CarillonError
from migrations.state import schema_is_current
from ops.doctor import certificate, configuration, postgres, rabbitmq, redis, unsubscribe, work
from ops.doctor.findings import Finding, bad
from ops.doctor.patient import Patient
from plumbing.database import connect

WITHIN_S = 30.0
_CONNECT_S = 5.0


async def visit(patient: Patient) -> list[Finding]:
    """All findings: settings first, then PostgreSQL and the work in it, Redis, RabbitMQ, certificates."""
    findings = list(configuration.look(patient))
    for name, look in (("postgres", _postgres), ("redis", _redis), ("rabbitmq", _rabbitmq)):
        findings += await _in_time(name, look, patient)
    return findings + list(certificate.look(patient))


async def _in_time(name: str, look: Callable[[Patient], AsyncIterator[Finding]], patient: Patient) -> list[Finding]:
    """What was found, and where the looking failed that too."""
    found: list[Finding] = []
    try:
        async with asyncio.timeout(WITHIN_S):
            async for finding in look(patient):
                found.append(finding)  # noqa: PERF401  # what was found before a failure stays
    except (CarillonError, OSError, asyncpg.PostgresError, RedisError, aio_pika.exceptions.AMQPError) as error:
        words = " ".join(str(error).split())[:300] or type(error).__name__
        found.append(bad(f"{name}.reach", words, f"is it running, and is the setting CARILLON_{_URLS[name]} right?"))
    return found


_URLS = {"postgres": "DATABASE_URL", "redis": "REDIS_URL", "rabbitmq": "AMQP_URL"}


async def _postgres(patient: Patient) -> AsyncIterator[Finding]:
    url = patient.url("database_url")
    if url is None:
        return
    conn = await connect(url, application_name="carillon doctor")
    try:
        async for finding in postgres.look(patient, conn):
            yield finding
        if await schema_is_current(conn):
            async for finding in work.look(conn):
                yield finding
            async for finding in unsubscribe.look(patient, conn):
                yield finding
    finally:
        await conn.close(timeout=2)


async def _redis(patient: Patient) -> AsyncIterator[Finding]:
    url = patient.url("redis_url")
    if url is None:
        return
    async with Redis.from_url(url, socket_timeout=_CONNECT_S, socket_connect_timeout=_CONNECT_S) as client:
        async for finding in redis.look(patient, client):
            yield finding


async def _rabbitmq(patient: Patient) -> AsyncIterator[Finding]:
    url = patient.url("amqp_url")
    if url is None:
        return
    connection = await aio_pika.connect(url, timeout=_CONNECT_S, connection_class=_Connection)
    try:
        async for finding in rabbitmq.look(patient, connection):
            yield finding
    finally:
        await _close(connection)


class _Connection(aio_pika.Connection):
    def __del__(self) -> None:
        """What was never open need not be closed by a coroutine that nobody awaits."""


async def _close(connection: AbstractConnection) -> None:
    """A blocked broker answers no goodbye."""
    try:
        async with asyncio.timeout(2):
            await connection.close()
    except (TimeoutError, aio_pika.exceptions.AMQPError):
        return
