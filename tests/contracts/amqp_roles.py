"""For the AMQP contracts: publishers and consumers as the roles open them, and what they exchange."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import aio_pika
import pytest

from domain.lanes import Channel, Lane, Priority
from plumbing.broker import topology
from plumbing.broker.connection import Connection, connect
from plumbing.broker.consumer import Consumer, Incoming
from plumbing.broker.envelope import Envelope
from plumbing.broker.publisher import Publisher
from tests.contracts.amqp import DEADLINE_S

LANE = Lane(Channel.SMS, Priority.HIGH)
QUEUE = topology.work_queue(LANE)


def envelope(lane: Lane = LANE) -> Envelope:
    return Envelope(uuid4(), uuid4(), lane, (uuid4(), uuid4()))


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    connection = await connect(url, "test")
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def publisher_at(url: str) -> AsyncIterator[Publisher]:
    async with connected(url) as connection:
        publisher = await Publisher.open(connection)
        yield publisher
        await publisher.close()


@asynccontextmanager
async def consumer_at(url: str) -> AsyncIterator[Consumer]:
    async with connected(url) as connection:
        consumer = await Consumer.open(connection)
        yield consumer
        await consumer.close()


@pytest.fixture
async def publisher(broker_url: str) -> AsyncIterator[Publisher]:
    """A publisher on a broker whose queues are empty."""
    async with publisher_at(broker_url) as publisher:
        connection = await aio_pika.connect(broker_url)
        amqp_channel = await connection.channel()
        for queue in topology.QUEUES:
            await (await amqp_channel.get_queue(queue.name, ensure=False)).purge()
        await connection.close()
        yield publisher


async def next_of(buffer: "asyncio.Queue[Incoming]") -> Incoming:
    async with asyncio.timeout(DEADLINE_S):
        return await buffer.get()
