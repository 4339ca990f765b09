"""The worker's process: opens what it needs, works until SIGTERM, drains, ends within 30 s."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

from channels.push.channel import PushChannel
from channels.push.hints import announce
from channels.push.letters import Letter
from channels.push.presence import Presence
from channels.registry import Channels, open_channels
from domain.clock import utc_now
from domain.lanes import OPEN_CHANNELS, Channel, Priority
from migrations.state import need_current_schema
from plumbing import metrics
from plumbing.beats import Beats
from plumbing.broker.connection import connect
from plumbing.broker.consumer import Consumer
from plumbing.broker.publisher import Publisher
from plumbing.database import borrow
from plumbing.health import Check
from plumbing.limiter import Limiter
from plumbing.outside import Outside
from plumbing.resources import Resources, open_resources
from plumbing.role import end_in_time, need_connection, settle, stop_by_signal, tell_ready, watch
from plumbing.secrets import Box
from plumbing.settings import Settings
from plumbing.side_door import open_door
from preferences.categories import Categories
from templates.catalog import SHIPPED, Catalog
from workers.crew import Crew
from workers.held import Holds
from workers.judging import Judge
from workers.policies import Policies
from workers.suppressing import Suppressor
from workers.webhooks.courier import Courier
from workers.words import Composer
from workers.worker import Worker

PUSH_SLOTS = 512


async def run(
    settings: Settings,
    *,
    channels: Sequence[Channel] | None = None,
    priorities: Sequence[Priority] | None = None,
    slots: int | None = None,
) -> None:
    """Be a worker of these lanes (all, when not said) until SIGTERM, with `slots` provider calls per channel.

    Raises Misconfigured or Unavailable when it cannot work, RoleStuck when it hangs.
    """
    stop = stop_by_signal()
    async with AsyncExitStack() as stack:
        resources = await stack.enter_async_context(open_resources(settings))
        async with borrow(resources.hot_pool) as conn:
            await need_current_schema(conn)
        crew, providers = await stack.enter_async_context(open_crew(resources))
        connection = await connect(settings.need("amqp_url"), "carillon worker consuming")
        stack.push_async_callback(connection.close)
        consumer = await Consumer.open(connection)
        stack.push_async_callback(consumer.close)
        checks = {
            "postgres": Check(partial(resources.hot_pool.fetchval, "SELECT 1")),
            "rabbitmq": Check(partial(need_connection, consumer)),
        }
        url = await stack.enter_async_context(open_door(settings.metrics_port, checks, host=settings.metrics_host))
        worker = Worker(
            crew,
            consumer,
            slots=slots_of(settings, channels or OPEN_CHANNELS, slots),
            priorities=tuple(priorities or Priority),
        )
        stack.push_async_callback(worker.stop)
        outside = await stack.enter_async_context(Outside(settings.webhook_hosts))
        courier = Courier(resources.hot_pool, outside, Box(settings.need("secret_key")))
        telling = asyncio.create_task(courier.run(), name="courier")
        stack.push_async_callback(_end, telling)
        await worker.start()
        life = Beats(resources.hot_pool, "worker", partial(_facts, worker, crew, providers))
        life.open()
        stack.push_async_callback(life.close)
        settle()
        tell_ready("worker", f"{url}/metrics")

        def trouble() -> str | None:
            show(resources, providers)
            if telling.done():
                telling.result()
            return worker.trouble() or courier.trouble()

        try:
            await watch(stop, trouble)
        finally:
            end_in_time()


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def open_crew(resources: Resources) -> AsyncIterator[tuple[Crew, Channels]]:
    """What delivering needs, with a connection of its own to publish on."""
    settings, presence = resources.settings, Presence(resources.cache)
    connection = await connect(settings.need("amqp_url"), "carillon worker publishing")
    try:
        publisher = await Publisher.open(connection)
        try:
            push = PushChannel(publisher, presence, Limiter(resources.cache))
            providers = await open_channels(settings, push=push)
            try:
                yield crew_of(resources, publisher, presence, providers), providers
            finally:
                await providers.close()
        finally:
            await publisher.close()
    finally:
        with contextlib.suppress(Exception):  # nothing hangs on a goodbye
            await connection.close()


def crew_of(resources: Resources, publisher: Publisher, presence: Presence, providers: Channels) -> Crew:
    """The rooms' answers, put together. Raises Misconfigured when a message cannot be read."""
    settings, pool, categories = resources.settings, resources.hot_pool, Categories()
    composer = Composer(
        pool,
        catalog=Catalog([SHIPPED, *([settings.template_path] if settings.template_path else [])]),
        categories=categories,
        seal=resources.seal,
        public_url=settings.public_url,
    )

    async def tell_gateways(letters: Sequence[Letter]) -> None:
        await announce(publisher, presence, letters, now=utc_now())

    holds = Holds(pool)
    holds.heed.append(providers.heed)
    return Crew(
        pool=pool,
        publisher=publisher,
        sending=providers,
        compose=composer,
        rejudge=Judge(pool, categories),
        may_repeat=Policies(pool, categories).may_repeat,
        suppress=Suppressor(pool, resources.cache),
        announce=tell_gateways,
        holds=holds,
    )


def _facts(worker: Worker, crew: Crew, providers: Channels) -> dict[str, Any]:
    """What a worker tells of itself with each sign of life."""
    return {
        "lanes": worker.lanes,
        "waiting": worker.waiting,
        "trouble": worker.trouble(),
        "per_minute": crew.tempo.per_minute(),
        "breakers": providers.told(),
    }


def slots_of(settings: Settings, channels: Sequence[Channel], slots: int | None) -> Mapping[Channel, int]:
    """Slots per channel that is open. Email never has more than connections: who waits for one begins too late.

    Those of push cost nothing while they wait: a slice of them is one call.
    """
    wanted = slots or settings.worker_slots
    of = {Channel.EMAIL: min(wanted, settings.smtp_connections), Channel.PUSH: slots or PUSH_SLOTS}
    return {channel: of.get(channel, wanted) for channel in OPEN_CHANNELS if channel in channels}


def show(resources: Resources, providers: Channels) -> None:
    """Bring the gauges up to date that nobody counts."""
    metrics.REDIS_IS_OPEN.set(not resources.cache.is_open)
    for channel, now in providers.states().items():
        for state in metrics.BreakerState:
            metrics.BREAKER_STATE.labels(channel=channel, state=state).set(state.value == now.value)
