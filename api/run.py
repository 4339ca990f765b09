"""The `api` role: open what it needs, serve until SIGTERM, close in the order that loses nothing."""

import json
import os
from contextlib import AsyncExitStack
from functools import partial

from api.app import create_app
from api.auth import Keys, finder
from api.dependencies import House
from api.limits import KeyLimits
from api.server import listen, serve
from domain.errors import Unavailable
from fanout.accept import Intake, peek
from fanout.admission import Admission
from fanout.batch import Batcher
from fanout.limits import Policy
from fanout.publish import publish_now
from migrations.state import need_current_schema
from plumbing.broker.connection import connect
from plumbing.broker.publisher import Publisher
from plumbing.cache import Cache
from plumbing.database import borrow
from plumbing.health import Check
from plumbing.limiter import Limiter
from plumbing.resources import Resources, open_resources
from plumbing.role import stop_by_signal
from plumbing.settings import Settings
from preferences.categories import Categories
from templates.catalog import SHIPPED, Catalog


async def run(settings: Settings) -> None:
    """Be the API until SIGTERM or SIGINT. Raises Misconfigured or Unavailable, in one line, when it cannot work."""
    stop = stop_by_signal()
    async with AsyncExitStack() as stack:
        listener = listen(settings.api_host, settings.api_port)
        stack.callback(listener.close)
        resources = await stack.enter_async_context(open_resources(settings))
        async with borrow(resources.hot_pool) as conn:
            await need_current_schema(conn)
        house = await open_house(resources, stack)
        host, port = listener.getsockname()[:2]
        url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        tell_ready(url)
        await serve(create_app(house), listener, stop)


def tell_ready(url: str) -> None:
    """Say on standard output, in one line of JSON, that the role works now; the socket listens already."""
    ready = {"ready": "api", "url": url, "metrics_url": f"{url}/metrics", "pid": os.getpid()}
    print(json.dumps(ready), flush=True)


async def open_house(resources: Resources, stack: AsyncExitStack) -> House:
    """Everything that routes need; `stack` closes it, the batcher first. Raises Unavailable, Misconfigured."""
    settings, pool, cache = resources.settings, resources.hot_pool, resources.cache
    connection = await connect(settings.need("amqp_url"), "carillon api publishing")
    stack.push_async_callback(connection.close)
    publisher = await Publisher.open(connection)
    stack.push_async_callback(publisher.close)
    limiter, categories = Limiter(cache), Categories()
    catalog = Catalog([SHIPPED, *([settings.template_path] if settings.template_path else [])])
    policy = Policy(
        key_per_s=settings.key_limit_per_s,
        key_burst=settings.key_limit_burst,
        user_per_hour=settings.user_limit_per_hour,
        user_burst=settings.user_limit_burst,
    )
    intake = Intake(pool, cache, limiter, resources.seal, catalog, categories, policy)
    batcher = Batcher(intake, partial(publish_now, publisher), open_lanes=Admission(publisher).open_lanes)
    batcher.open()
    stack.push_async_callback(batcher.close)
    return House(
        settings=settings,
        keys=Keys(finder(pool)),
        batcher=batcher,
        peek=partial(peek, intake),
        limiter=KeyLimits(limiter, settings),
        seal=resources.seal,
        hot_pool=pool,
        engine=resources.engine,
        cache=cache,
        categories=categories,
        catalog=catalog,
        publish_receipts=publisher.publish_receipts,
        checks={
            "postgres": Check(partial(pool.fetchval, "SELECT 1")),
            "redis": Check(partial(_need_redis, cache), is_required=False),
            "rabbitmq": Check(partial(_need_rabbitmq, publisher), is_required=False),
        },
    )


async def _need_redis(cache: Cache) -> None:
    if not await cache.ping():
        raise Unavailable("Redis")


async def _need_rabbitmq(publisher: Publisher) -> None:
    if not publisher.is_connected:
        raise Unavailable("RabbitMQ", "the connection is lost")
