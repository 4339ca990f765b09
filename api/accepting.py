"""What accepts: the batcher with everything under it, opened once per process that has a door."""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

from fanout.accept import Intake
from fanout.admission import Admission
from fanout.batch import INLINE, Batcher
from fanout.intake import intake_of
from fanout.publish import publish_now
from plumbing.broker.connection import connect
from plumbing.broker.publisher import Publisher
from plumbing.resources import Resources


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
    connection = await connect(resources.settings.need("amqp_url"), name)
    stack.push_async_callback(connection.close)
    publisher = await Publisher.open(connection)
    stack.push_async_callback(publisher.close)
    intake = intake_of(resources)
    open_lanes = partial(Admission(publisher).open_lanes, INLINE)
    batcher = Batcher(intake, partial(publish_now, publisher), open_lanes=open_lanes)
    batcher.open()
    stack.push_async_callback(batcher.close)
    return Accepting(batcher, intake, publisher)
