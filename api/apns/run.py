"""The `door` role: pushes from providers, in Apple's protocol, until SIGTERM; what was answered 200 is kept."""

import asyncio
from contextlib import AsyncExitStack
from functools import partial

from api.accepting import open_accepting
from api.apns.door import ProviderDoor
from api.apns.provider_tokens import ProviderTokens
from api.apns.push import Pushing
from api.apns.server import need_certificate, open_server
from api.apns.signing_keys import SigningKeys, finder
from api.server import listen
from channels.push.tokens import Tokens
from domain.errors import Unavailable
from migrations.state import need_current_schema
from plumbing.database import borrow
from plumbing.health import Check
from plumbing.resources import Resources, open_resources
from plumbing.role import end_in_time, need_connection, need_redis, settle, stop_by_signal, tell_ready
from plumbing.settings import Settings
from plumbing.side_door import open_door

DRAIN_S = 20.0
"""Requests under way have so long to be answered when the role stops."""


async def run(settings: Settings) -> None:
    """Be a provider door until SIGTERM or SIGINT.

    Raises Misconfigured or Unavailable, in one line, when it cannot work.
    """
    stop = stop_by_signal()
    certificate, private_key = need_certificate(settings.door_certificate, settings.door_private_key)
    async with AsyncExitStack() as stack:
        listener = listen(settings.door_host, settings.door_port, settings="CARILLON_DOOR_HOST, CARILLON_DOOR_PORT")
        stack.callback(listener.close)
        resources = await stack.enter_async_context(open_resources(settings))
        async with borrow(resources.hot_pool) as conn:
            await need_current_schema(conn)
        pushing, checks = await _open_pushing(resources, stack)
        side_door = open_door(settings.metrics_port, checks, host=settings.metrics_host)
        metrics_url = await stack.enter_async_context(side_door)
        door = ProviderDoor(pushing)
        serving = await stack.enter_async_context(
            open_server(listener, door, certificate=certificate, private_key=private_key)
        )
        host, port = listener.getsockname()[:2]
        url = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
        settle()
        tell_ready("door", f"{metrics_url}/metrics", url=url)
        try:
            await _serve(serving, stop)
        finally:
            end_in_time()
            await door.close(DRAIN_S)


async def _open_pushing(resources: Resources, stack: AsyncExitStack) -> tuple[Pushing, dict[str, Check]]:
    """What taking pushes needs, and how its parts are asked for their health. Raises Unavailable, Misconfigured."""
    accepting = await open_accepting(resources, stack, "carillon door publishing")
    pool, cache = resources.hot_pool, resources.cache
    pushing = Pushing(
        verify=ProviderTokens(SigningKeys(finder(pool))).verify,
        devices=Tokens(pool, cache),
        token_hash=resources.seal.token_hash,
        batcher=accepting.batcher,
    )
    checks = {
        "postgres": Check(partial(pool.fetchval, "SELECT 1")),
        "redis": Check(partial(need_redis, cache), is_required=False),
        "rabbitmq": Check(partial(need_connection, accepting.publisher), is_required=False),
    }
    return pushing, checks


async def _serve(serving: asyncio.Task[None], stop: asyncio.Event) -> None:
    """Return when `stop` is set. Raises Unavailable when the server ended by itself."""
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
    if not stop.is_set():
        stopping.cancel()
        raise Unavailable("the server of the provider door", "it ended by itself")
