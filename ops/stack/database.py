"""The platform's database: creating it, bringing it to the newest schema, and saying when it is not."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from domain.errors import Misconfigured

_CONNECT_TIMEOUT_S = 5.0


def sibling_url(url: str, name: str) -> str:
    """The URL of database `name` on the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


@asynccontextmanager
async def connected(url: str) -> "AsyncIterator[asyncpg.Connection]":
    """One connection for set-up work; Misconfigured says in one line what is wrong with the URL or the server."""
    where = _shown(url)
    try:
        conn = await asyncpg.connect(url, timeout=_CONNECT_TIMEOUT_S)
    except (OSError, TimeoutError) as error:
        raise Misconfigured(
            f"PostgreSQL does not answer at {where} ({error or 'no answer in time'}): "
            "is it running, and is CARILLON_DATABASE_URL right?"
        ) from error
    except (asyncpg.PostgresError, ValueError) as error:
        raise Misconfigured(f"PostgreSQL at {where} refuses: {error}: check CARILLON_DATABASE_URL") from error
    try:
        yield conn
    finally:
        await conn.close()


async def create_database(url: str, name: str) -> None:
    """Create database `name` if it is not there; `url` may name any database of that server."""
    async with connected(url) as conn:
        try:
            await conn.execute(f'CREATE DATABASE "{name}"')
        except asyncpg.DuplicateDatabaseError:
            return


async def drop_database(url: str, name: str) -> None:
    """Drop database `name`, throwing out whoever is still connected."""
    async with connected(url) as conn:
        await conn.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


async def migrate(url: str) -> None:
    """Bring the database to the newest schema; twice does no harm. Misconfigured says what is wrong in one line."""
    async with connected(url):
        pass
    from migrations.run import upgrade  # lazy: alembic and SQLAlchemy take half a second

    await upgrade(url)


def _shown(url: str) -> str:
    """`url` without its password, for people."""
    parts = urlsplit(url)
    return f"{parts.hostname or '?'}:{parts.port or 5432}{parts.path or ''}"
