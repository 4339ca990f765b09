"""Which way each part of the stack is had, and preparing the three servers accordingly."""

import secrets
from collections.abc import Mapping
from pathlib import Path

from domain.errors import Misconfigured
from ops.stack.accounts import data_folder
from ops.stack.parts import NotStarted, Part, StackChoice, Way
from ops.stack.postgres import find_postgres, postgres_server
from ops.stack.rabbitmq import find_rabbitmq, rabbitmq_server
from ops.stack.redis_server import find_redis, redis_server
from ops.stack.server import Server

_FINDERS = {Part.POSTGRES: find_postgres, Part.REDIS: find_redis, Part.RABBITMQ: find_rabbitmq}


def find_real(part: Part) -> Path | None:
    """Where the real server lies on this machine, or None."""
    return _FINDERS[part]()


def choose(choice: StackChoice, urls: Mapping[Part, str | None]) -> dict[Part, Way]:
    """The way of every part. Misconfigured when `--stack url` misses a URL, or `private` a server."""
    ways = {part: _way(choice, part, urls.get(part)) for part in Part}
    missing = [part for part, way in ways.items() if way is None]
    if missing and choice is StackChoice.URL:
        names = ", ".join(part.variable for part in missing)
        raise Misconfigured(f"--stack url needs {names}: looked in the environment and in .env; set them or use auto")
    if missing:
        names = ", ".join(part.label for part in missing)
        raise NotStarted(
            f"--stack private: {names} not found on this machine (looked in PATH, /usr/lib/postgresql, "
            "/usr/lib/rabbitmq); install it or use --stack auto"
        )
    return {part: way for part, way in ways.items() if way is not None}


def prepare(
    part: Part, way: Way, folder: Path, *, url: str | None = None, password: str | None = None, durable: bool = True
) -> Server:
    """Everything before the start, blocking (initdb takes a second). Data goes under `folder`, logs to folder/logs.

    A `password` must be the same each time for the same folder; tests, whose folders are new, leave it out.
    """
    if way is Way.URL:
        if not url:
            raise Misconfigured(f"{part.variable} is not set")
        return Server(part.label, part=part, way=way, url=url, about=part.label)
    folder = data_folder(folder)
    password = password or secrets.token_urlsafe(18)
    log = folder / "logs" / f"{part}.log"
    if part is Part.POSTGRES:
        return postgres_server(way, folder, password=password, log=log, durable=durable)
    if part is Part.REDIS:
        return redis_server(way, folder, password=password, log=log)
    return rabbitmq_server(way, folder, password=password, log=log)


def _way(choice: StackChoice, part: Part, url: str | None) -> Way | None:
    if choice is StackChoice.EMBEDDED:
        return Way.EMBEDDED
    if choice is StackChoice.URL:
        return Way.URL if url else None
    if choice is StackChoice.AUTO and url:
        return Way.URL
    if find_real(part) is not None:
        return Way.PRIVATE
    return Way.EMBEDDED if choice is StackChoice.AUTO else None
