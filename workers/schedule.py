"""The scheduler's process: the relay in every instance, the leader's duties in one of them."""

import asyncio
import contextlib
import os
import socket
import time
from functools import partial

from fanout.relay import Relay
from migrations.state import need_current_schema
from plumbing import metrics
from plumbing.broker.connection import connect
from plumbing.broker.publisher import Publisher
from plumbing.database import borrow
from plumbing.health import Check
from plumbing.resources import Resources, open_resources
from plumbing.settings import Settings
from preferences.categories import Categories
from workers.door import open_door
from workers.duties import Duties, Leader
from workers.policies import Policies
from workers.role import STALE_S, end_in_time, need_connection, stop_by_signal, tell_ready, watch


async def run(settings: Settings) -> None:
    """Be a scheduler until SIGTERM. Misconfigured or Unavailable when it cannot work, RoleStuck when it hangs."""
    stop = stop_by_signal()
    async with contextlib.AsyncExitStack() as stack:
        resources = await stack.enter_async_context(open_resources(settings))
        async with borrow(resources.hot_pool) as conn:
            await need_current_schema(conn)
        connection = await connect(settings.need("amqp_url"), "carillon scheduler")
        stack.push_async_callback(connection.close)
        publisher = await Publisher.open(connection)
        stack.push_async_callback(publisher.close)
        relay = Relay(resources.hot_pool, publisher)
        leader = _leader(resources, publisher)
        checks = {
            "postgres": Check(lambda: resources.hot_pool.fetchval("SELECT 1")),
            "rabbitmq": Check(partial(need_connection, publisher)),
        }
        url = await stack.enter_async_context(open_door(settings.metrics_port, checks))
        tasks = [asyncio.create_task(relay.run(), name="relay"), asyncio.create_task(leader.run(), name="leader")]
        stack.push_async_callback(_end, tasks)
        tell_ready("scheduler", f"{url}/metrics")

        def trouble() -> str | None:
            metrics.REDIS_IS_OPEN.set(resources.cache.is_open)
            for task in tasks:
                if task.done():
                    task.result()
            if not publisher.is_connected:
                return "RabbitMQ has been away"
            oldest_s = min(relay.turned_s, leader.turned_s)
            return "a loop has not moved" if time.monotonic() - oldest_s > STALE_S else None

        try:
            await watch(stop, trouble)
        finally:
            end_in_time()


def _leader(resources: Resources, publisher: Publisher) -> Leader:
    duties = Duties(publisher, Policies(resources.hot_pool, Categories()).of, resources.settings.retention_months)
    owner = f"{socket.gethostname()}:{os.getpid()}:{time.monotonic_ns()}"
    return Leader(resources.settings.need("database_url"), duties, owner=owner)


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
