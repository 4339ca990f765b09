"""The `api` role: open what it needs, serve until SIGTERM, close in the order that loses nothing."""

from contextlib import AsyncExitStack
from functools import partial

import asyncpg
import structlog

from api.accepting import open_accepting
from api.app import create_app
from api.auth import Keys, app_finder, finder
from api.dependencies import House
from api.limits import KeyLimits
from api.server import listen, serve
from channels.push.apps import Apps
from channels.push.origins import Origins
from channels.push.presence import Presence
from channels.push.tokens import Tokens
from fanout.accept import peek
from migrations.state import need_current_schema
from plumbing.database import borrow, open_engine, open_read_pool
from plumbing.health import Check
from plumbing.outside import Outside
from plumbing.reading import is_walled
from plumbing.resources import Resources, open_resources
from plumbing.role import need_connection, need_redis, settle, stop_by_signal, tell_ready
from plumbing.secrets import Box
from plumbing.settings import Settings

log = structlog.get_logger(__name__)


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
        app = create_app(house)
        settle()
        tell_ready("api", f"{url}/metrics", url=url)
        await serve(app, listener, stop)


async def open_house(resources: Resources, stack: AsyncExitStack) -> House:
    """Everything that routes need; `stack` closes it, the batcher first. Raises Unavailable, Misconfigured."""
    accepting = await open_accepting(resources, stack, "carillon api publishing")
    settings, pool, cache, intake = resources.settings, resources.hot_pool, resources.cache, accepting.intake
    apps = Apps(pool)
    outside = await stack.enter_async_context(Outside(settings.webhook_hosts))
    url, readers = settings.need("database_url"), settings.read_pool_size
    engine = open_engine(url, size=readers)
    stack.push_async_callback(engine.dispose)
    read_pool = await open_read_pool(url, size=readers)
    stack.push_async_callback(read_pool.close)
    return House(
        settings=settings,
        keys=Keys(finder(pool), find_app_key=app_finder(apps)),
        batcher=accepting.batcher,
        peek=partial(peek, intake),
        limiter=KeyLimits(intake.limiter, settings),
        seal=resources.seal,
        hot_pool=pool,
        read_pool=read_pool,
        engine=engine,
        is_walled=await _look_at_wall(pool),
        cache=cache,
        categories=intake.categories,
        catalog=intake.catalog,
        apps=apps,
        origins=Origins(pool),
        tokens=Tokens(pool, cache),
        presence=Presence(cache),
        box=Box(settings.need("secret_key")),
        publish_receipts=accepting.publisher.publish_receipts,
        nodes=accepting.publisher,
        queue_depth=accepting.publisher.queue_depth,
        outside=outside,
        checks={
            "postgres": Check(partial(pool.fetchval, "SELECT 1")),
            "redis": Check(partial(need_redis, cache), is_required=False),
            "rabbitmq": Check(partial(need_connection, accepting.publisher), is_required=False),
        },
    )


async def _look_at_wall(pool: asyncpg.Pool) -> bool:
    async with borrow(pool) as conn:
        stands = await is_walled(conn)
    if not stands:
        log.warning("reading.unwalled", see="carillon doctor")
    return stands
