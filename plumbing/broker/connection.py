"""Connections to RabbitMQ that come back by themselves, and one name for all that can go wrong on them.

A process keeps two, one to publish and one to consume: under an alarm the broker blocks connections that
publish, and consumers must run on.
"""

import asyncio
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import aio_pika
from aio_pika.abc import AbstractRobustChannel
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, InvalidFrameError, ProbableAuthenticationError
from yarl import URL

from domain.errors import Misconfigured, Unavailable
from plumbing.broker.tap import Tap

SERVICE = "RabbitMQ"
CALL_TIMEOUT_S = 5.0
HEARTBEAT_S = 10
RECONNECT_INTERVAL_S = 1


class Connection(aio_pika.RobustConnection):
    """A robust connection of aio-pika's with a tap on its wire, whichever socket it has at the moment."""

    def __init__(self, url: URL, **kwargs: Any) -> None:
        super().__init__(url, **kwargs)
        self.tap = Tap()
        """Where the hot frames are."""
        self.kwargs["transport_factory"] = self.tap

    def __del__(self) -> None:
        """Whoever opened it closes it. The library would close it here, by a coroutine that nobody awaits when the loop
        is not running at that moment."""


async def connect(url: str, name: str) -> Connection:
    """Connect within 5 s; `name` is what the broker's console shows.

    Once it stands it reconnects by itself, one second after each loss. Raises Unavailable with host and port
    (never with the password) when the first attempt fails, Misconfigured when the URL is none.
    """
    where = _address(url)
    logging.getLogger("aiormq.connection").addFilter(_is_news)  # again is nothing new: it is kept once
    with broker_trouble(f"no connection to {where}"):
        async with asyncio.timeout(CALL_TIMEOUT_S):
            return await aio_pika.connect_robust(
                url,
                timeout=CALL_TIMEOUT_S,
                heartbeat=HEARTBEAT_S,
                reconnect_interval=RECONNECT_INTERVAL_S,
                client_properties={"connection_name": name},
                connection_class=Connection,
            )


@contextmanager
def broker_trouble(doing: str) -> Iterator[None]:
    """Turn what goes wrong on the way to the broker into Unavailable; `doing` says what was tried."""
    try:
        yield
    except BaseException as error:
        if not is_broker_trouble(error):
            raise
        raise Unavailable(SERVICE, f"{doing}: {_in_words(error)}"[:300]) from error


async def close_channels(amqp_channels: Iterable[AbstractRobustChannel]) -> None:
    """Close them all at once, within 5 s: a broker that fell silent must not keep a role from ending."""

    async def close(amqp_channel: AbstractRobustChannel) -> None:
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                await amqp_channel.close()
        except BaseException as error:
            if not is_broker_trouble(error):
                raise

    await asyncio.gather(*(close(amqp_channel) for amqp_channel in amqp_channels))


def is_broker_trouble(error: BaseException) -> bool:
    """Whether the broker, or the way to it, is to blame for what a call of aio-pika raised."""
    if isinstance(error, asyncio.CancelledError):
        # aiormq hands its own cancellation, when a connection dies, to everyone who waits for an answer on it
        task = asyncio.current_task()
        return task is not None and task.cancelling() == 0
    # … or a bare Exception when the connection closed without a reason
    return isinstance(error, (*CONNECTION_EXCEPTIONS, TimeoutError)) or type(error) is Exception


def _in_words(error: BaseException) -> str:
    if isinstance(error, ProbableAuthenticationError):
        return "user or password was refused"
    if isinstance(error, TimeoutError):
        return f"no answer within {CALL_TIMEOUT_S:g} s"
    if isinstance(error, InvalidFrameError) and "Connection.OpenOk" in str(error):
        return "the virtual host does not exist or is closed to this user"
    return str(error) or "the connection was lost"


def _is_news(record: logging.LogRecord) -> bool:
    """Whether aiormq tells something that neither our exception nor aio-pika's own warning says better."""
    return not str(record.msg).startswith(("error when creating transport", "Cancelling cause reader exited"))


def _address(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or not url.startswith(("amqp://", "amqps://")):
        raise Misconfigured("CARILLON_AMQP_URL must look like amqp://user:password@host:port/vhost")
    return f"{host}:{port or (5671 if url.startswith('amqps') else 5672)}"
