"""The database that verbs of administration work on: the one that was set, else that of the `up` that runs here."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from ops.cli.door import fail, settings

if TYPE_CHECKING:
    import asyncpg


def with_database(act: "Callable[[asyncpg.Connection], Awaitable[None]]") -> None:
    """Run `act` with a connection of its own, to the end."""
    from ops.stack.database import connected  # lazy: asyncpg
    from ops.stack.home import Home

    chosen = settings()
    if chosen.database_url is not None:
        url = chosen.need("database_url")
    else:
        run = Home(chosen.data_path.absolute()).read_run()
        if run is None:
            fail("no database: CARILLON_DATABASE_URL is not set and no `carillon up` runs here")
        url = run.database_url

    async def work() -> None:
        async with connected(url) as conn:
            await act(conn)

    asyncio.run(work())
