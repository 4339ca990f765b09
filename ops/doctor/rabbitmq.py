"""RabbitMQ: version, alarms, queues with the right arguments and somebody who works on them; by AMQP alone.

What AMQP does not tell (the limit of free disk, the clock) is asked of the management plugin, where its URL is given.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import aio_pika
import httpx2
from aio_pika.abc import AbstractConnection

from ops.doctor.clocks import judge_clock
from ops.doctor.findings import Finding, bad, ok, warn
from ops.doctor.patient import Patient
from plumbing.broker.topology import QUEUES, Standing, inspect

OLDEST = (3, 10)
WAIT_S = 3.0
LEAST_FREE_BYTES = 1_000_000_000
_TIMEOUT_S = 5.0


async def look(patient: Patient, connection: AbstractConnection) -> AsyncIterator[Finding]:
    """Every finding about the broker that `connection` speaks to. It declares nothing that is not there."""
    wire: Any = connection.transport.connection if connection.transport is not None else None
    told = dict(wire.server_properties) if wire is not None else {}
    version = str(told.get("version", "0"))
    if told.get("product") != "RabbitMQ":
        yield ok("rabbitmq.version", "the embedded broker, for one machine")
    elif tuple(map(int, version.split(".")[:2])) < OLDEST:
        yield bad("rabbitmq.version", f"{version} is too old", "upgrade to 3.13 or 4.x")
    else:
        yield ok("rabbitmq.version", version)
    async for finding in _queues(connection):
        yield finding
    yield await _alarm(connection)
    if patient.management_url is not None:
        async for finding in _management(patient, patient.management_url):
            yield finding
    else:
        yield ok("rabbitmq.disk", "not looked at, nor its clock: give --management http://user:password@host:15672")


async def _alarm(connection: AbstractConnection) -> Finding:
    """A broker with an alarm reads no more of a connection that has published: so a few are published, to nobody."""
    nobody = f"carillon.doctor.{uuid4().hex}"
    try:
        async with asyncio.timeout(WAIT_S):
            amqp_channel = await connection.channel()
            for _ in range(3):
                await amqp_channel.default_exchange.publish(aio_pika.Message(b""), nobody, mandatory=False)
            await amqp_channel.close()
    except TimeoutError:
        advice = "free memory or disk of the broker: ops/runbooks/broker-blocked.md"
        return bad("rabbitmq.alarm", "an alarm is in force: nothing can be published", advice)
    return ok("rabbitmq.alarm", "none")


async def _queues(connection: AbstractConnection) -> AsyncIterator[Finding]:
    missing, other, idle = [], [], []
    for queue in QUEUES:
        standing, consumers = await inspect(await connection.channel(), queue)
        if standing is Standing.MISSING:
            missing.append(queue.name)
        elif standing is Standing.DIFFERENT:
            other.append(queue.name)
        elif queue.name.startswith("work.") and not consumers:
            idle.append(queue.name)
    if other:
        advice = "drain it, delete it, and restart a role, which declares it anew: docs/operations.md"
        yield bad("rabbitmq.queues", f"{_some(other)} have other arguments than this program declares", advice)
    elif missing:
        yield warn("rabbitmq.queues", f"{_some(missing)} are not declared", "any role declares them when it starts")
    else:
        yield ok("rabbitmq.queues", f"{len(QUEUES)}, as this program declares them")
    if idle:
        advice = "start a worker for them (`carillon worker`): what is accepted waits"
        yield bad("rabbitmq.consumers", f"nobody works on {_some(idle)}", advice)
    elif not missing:
        yield ok("rabbitmq.consumers", "every lane has a worker")


async def _management(patient: Patient, url: str) -> AsyncIterator[Finding]:
    parts = urlsplit(url)
    plain = urlunsplit(parts._replace(netloc=f"{parts.hostname}:{parts.port or 15672}"))
    auth = (parts.username or "", parts.password or "")
    async with httpx2.AsyncClient(base_url=plain, auth=auth, timeout=_TIMEOUT_S, trust_env=False) as client:
        try:
            answer = await client.get("/api/nodes")
            answer.raise_for_status()
            nodes = answer.json()
        except (httpx2.HTTPError, ValueError) as error:
            words = f"the management plugin does not answer: {type(error).__name__}"
            yield bad(
                "rabbitmq.management", words, "is rabbitmq_management enabled, and has the user the tag monitoring?"
            )
            return
        for node in nodes:
            yield _node(node)

        async def ask() -> Any:
            date = (await client.get("/api/overview")).headers["date"]
            return parsedate_to_datetime(date).astimezone(UTC)

        yield await judge_clock("rabbitmq.clock", patient.clock, ask, within_s=1.0)


def _node(node: dict[str, Any]) -> Finding:
    limit, free = int(node.get("disk_free_limit") or 0), int(node.get("disk_free") or 0)
    words = f"{node.get('name')}: {free // 1_000_000} MB free, limit {limit // 1_000_000} MB"
    if node.get("mem_alarm") or node.get("disk_free_alarm"):
        which = "memory" if node.get("mem_alarm") else "disk"
        return bad("rabbitmq.disk", f"{words}: the {which} alarm is in force", "ops/runbooks/broker-blocked.md")
    if limit < LEAST_FREE_BYTES:
        return warn(
            "rabbitmq.disk", words, "set disk_free_limit.absolute = 2GB: a broker with a full disk does not start"
        )
    return ok("rabbitmq.disk", words)


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
