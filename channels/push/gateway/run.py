"""The gateway's process: opens what it needs, holds connections until SIGTERM, sends the devices elsewhere, ends."""

import gc
import os
import resource
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from channels.push.apps import Apps
from channels.push.gateway.admission import Admission
from channels.push.gateway.messages import Messages
from channels.push.gateway.node import Bounds, Node, Ways
from channels.push.gateway.server import BACKLOG, PATH, SEND_BUFFER_BYTES, Door
from channels.push.presence import NodeFacts, Presence
from channels.push.tokens import Tokens
from domain.errors import Misconfigured
from migrations.state import need_current_schema
from plumbing import metrics
from plumbing.broker.connection import connect
from plumbing.broker.consumer import Consumer
from plumbing.broker.publisher import Publisher
from plumbing.broker.topology import gateway_queue
from plumbing.database import borrow
from plumbing.health import Check
from plumbing.resources import Resources, open_resources
from plumbing.role import end_in_time, need_connection, stop_by_signal, tell_ready, watch
from plumbing.settings import Settings
from plumbing.side_door import open_door

OLD_OBJECTS = 50_000
"""Connections live long: the garbage collector looks less often than it would."""


async def run(settings: Settings) -> None:
    """Be a gateway node until SIGTERM. Raises Misconfigured or Unavailable when it cannot work."""
    stop = stop_by_signal()
    gc.set_threshold(OLD_OBJECTS, 20, 100)
    _raise_file_limit()
    async with AsyncExitStack() as stack:
        resources = await stack.enter_async_context(open_resources(settings))
        async with borrow(resources.hot_pool) as conn:
            await need_current_schema(conn)
        publisher = await stack.enter_async_context(_publishing(settings))
        connection = await connect(settings.need("amqp_url"), "carillon gateway consuming")
        stack.push_async_callback(connection.close)
        consumer = await Consumer.open(connection)
        stack.push_async_callback(consumer.close)
        checks = {
            "postgres": Check(partial(resources.hot_pool.fetchval, "SELECT 1")),
            "rabbitmq": Check(partial(need_connection, consumer)),
        }
        side_door = open_door(settings.metrics_port, checks, host=settings.metrics_host)
        metrics_url = await stack.enter_async_context(side_door)
        listening = bind(settings.gateway_host, settings.gateway_port)
        here = facts_of(settings, listening.getsockname()[1])
        node = Node(here, ways_of(resources, publisher), bounds_of(settings))
        stack.push_async_callback(node.close)
        await node.open()
        messages = Messages(consumer, gateway_queue(here.node, here.boot), node.inbox.take)
        stack.push_async_callback(messages.close)
        await messages.open()
        door = Door(node, handshakes_per_s=settings.gateway_handshakes_per_s)
        stack.callback(door.shut)
        await door.open(listening)
        tell_ready("gateway", f"{metrics_url}/metrics", url=here.url)

        def trouble() -> str | None:
            metrics.REDIS_IS_OPEN.set(not resources.cache.is_open)
            return node.trouble

        try:
            await watch(stop, trouble)
        finally:
            end_in_time()
        door.shut()
        await node.drain()


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens on `port` (0: a free one). Misconfigured when it is taken."""
    try:
        listening = socket.create_server((host, port), backlog=BACKLOG)
    except OSError as error:
        raise Misconfigured(f"CARILLON_GATEWAY_PORT {port} cannot be used: {error.strerror or error}") from error
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    return listening


def facts_of(settings: Settings, port: int) -> NodeFacts:
    """Who this node is, in this life."""
    node = settings.gateway_node or f"{socket.gethostname()}-{port}"
    url = settings.gateway_url or f"ws://{settings.gateway_host}:{port}{PATH}"
    return NodeFacts(node, os.urandom(6).hex(), settings.gateway_region, url)


def ways_of(resources: Resources, publisher: Publisher) -> Ways:
    """The node's ways out."""
    apps, tokens = Apps(resources.hot_pool), Tokens(resources.hot_pool, resources.cache)
    return Ways(
        pool=resources.hot_pool,
        presence=Presence(resources.cache),
        admission=Admission(apps.by_key, tokens, resources.seal.token_hash),
        tell=publisher.publish_to_node,
        publish_receipts=publisher.publish_receipts,
    )


def bounds_of(settings: Settings) -> Bounds:
    """What the node keeps to."""
    return Bounds(settings.gateway_heartbeat_s, settings.gateway_max_devices)


def _raise_file_limit() -> None:
    """As many open files as this process may have: a connection is one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@asynccontextmanager
async def _publishing(settings: Settings) -> AsyncIterator[Publisher]:
    """A publisher on a connection of its own."""
    async with AsyncExitStack() as stack:
        connection = await connect(settings.need("amqp_url"), "carillon gateway publishing")
        stack.push_async_callback(connection.close)
        publisher = await Publisher.open(connection)
        stack.push_async_callback(publisher.close)
        yield publisher
