"""The scheduler's process: relay and planner in every instance, the leaders' duties in one of them."""

import asyncio
import contextlib
import os
import socket
import time
from datetime import timedelta
from functools import partial

from campaigns.planner import Planner
from channels.push.tokens import Tokens
from channels.push.validity import Brake
from fanout.intake import intake_of
from fanout.relay import Relay
from migrations.state import need_current_schema
from plumbing import metrics
from plumbing.beats import Beats
from plumbing.broker.connection import connect
from plumbing.broker.publisher import Publisher
from plumbing.database import borrow
from plumbing.health import Check
from plumbing.resources import Resources, open_resources
from plumbing.role import STALE_S, end_in_time, need_connection, settle, stop_by_signal, tell_ready, watch
from plumbing.settings import Settings
from plumbing.side_door import open_door
from preferences.categories import Categories
from workers.device_duties import DeviceDuties
from workers.duties import Duties
from workers.leader import Leader, Turn
from workers.people_duties import PeopleDuties
from workers.policies import Policies
from workers.replays import Replays
from workers.watching import Watching


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
        relay, planner = Relay(resources.hot_pool, publisher), Planner(intake_of(resources))
        watching = Watching(publisher)
        leader, counter = _leaders(resources, publisher, watching)
        loops = (relay, planner, leader, counter)
        checks = {
            "postgres": Check(lambda: resources.hot_pool.fetchval("SELECT 1")),
            "rabbitmq": Check(partial(need_connection, publisher)),
        }
        url = await stack.enter_async_context(open_door(settings.metrics_port, checks, host=settings.metrics_host))
        tasks = [asyncio.create_task(one.run(), name=type(one).__name__) for one in loops]
        stack.push_async_callback(_end, tasks)
        life = Beats(resources.hot_pool, "scheduler", lambda: {"is_leading": leader.is_leading})
        life.open()
        stack.push_async_callback(life.close)
        settle()
        tell_ready("scheduler", f"{url}/metrics")

        def trouble() -> str | None:
            metrics.REDIS_IS_OPEN.set(not resources.cache.is_open)
            metrics.IS_LEADER.set(leader.is_leading)
            if not leader.is_leading:
                watching.forget()
            for task in tasks:
                if task.done():
                    task.result()
            if not publisher.is_connected:
                return "RabbitMQ has been away"
            oldest_s = min(one.turned_s for one in loops)
            return "a loop has not moved" if time.monotonic() - oldest_s > STALE_S else None

        try:
            await watch(stop, trouble)
        finally:
            end_in_time()


def _leaders(resources: Resources, publisher: Publisher, watching: Watching) -> tuple[Leader, Leader]:
    """Who sweeps, and who counts."""
    categories = Categories()
    duties = Duties(publisher, Policies(resources.hot_pool, categories).of, resources.settings.retention_months)
    urgent = [*duties.urgent(), Replays(publisher, categories).turn(), *watching.turns()]
    owner = f"{socket.gethostname()}:{os.getpid()}:{time.monotonic_ns()}"
    url = resources.settings.need("database_url")
    return (
        Leader(url, urgent, name="scheduler", owner=owner),
        Leader(url, _unhurried(resources, duties), name="counting", owner=owner),
    )


def _unhurried(resources: Resources, duties: Duties) -> list[Turn]:
    return [*duties.counting(), *_device_duties(resources).turns(), *PeopleDuties().turns()]


def _device_duties(resources: Resources) -> DeviceDuties:
    settings = resources.settings
    return DeviceDuties(
        Tokens(resources.hot_pool, resources.cache),
        resources.cache,
        Brake(settings.brake_percent, settings.brake_window_s),
        timedelta(days=settings.device_grace_days),
        settings.retention_months,
    )


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
