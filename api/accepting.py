"""What accepts: the batcher with everything under it, opened once per process that has a door."""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

from fanout.accept import Intake
from fanout.admission import Admission
from fanout.batch import Batcher
from fanout.limits import Policy
from fanout.publish import publish_now
from plumbing.broker.connection import connect
from plumbing.broker.publisher import Publisher
from plumbing.limiter import Limiter
from plumbing.resources import Resources
from preferences.categories import Categories
from templates.catalog import SHIPPED, Catalog


@dataclass(frozen=True, slots=True)
class Accepting:
    """The open batcher, and the parts of it that doors use for themselves."""

    batcher: Batcher
    intake: Intake
    publisher: Publisher


async def open_accepting(resources: Resources, stack: AsyncExitStack, name: str) -> Accepting:
    """Open it all; `stack` closes it, the batcher first. `name` is what RabbitMQ shows of the connection.

    Raises Unavailable, Misconfigured.
    """
    settings = resources.settings
    connection = await connect(settings.need("amqp_url"), name)
    stack.push_async_callback(connection.close)
    publisher = await Publisher.open(connection)
    stack.push_async_callback(publisher.close)
    policy = Policy(
        key_per_s=settings.key_limit_per_s,
        key_burst=settings.key_limit_burst,
        user_per_hour=settings.user_limit_per_hour,
        user_burst=settings.user_limit_burst,
    )
    intake = Intake(
        resources.hot_pool,
        resources.cache,
        Limiter(resources.cache),
        resources.seal,
        Catalog([SHIPPED, *([settings.template_path] if settings.template_path else [])]),
        Categories(),
        policy,
    )
    batcher = Batcher(intake, partial(publish_now, publisher), open_lanes=Admission(publisher).open_lanes)
    batcher.open()
    stack.push_async_callback(batcher.close)
    return Accepting(batcher, intake, publisher)
