"""One write to the registry of devices, from BEGIN until nobody remembers what was before.

Devices are written by `channels`, users' versions by `preferences`, and neither room knows the other: this brings them
into one transaction, and clears both caches once it has committed.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg

from api.dependencies import House
from channels.push.devices import Touched
from domain.errors import Unavailable
from plumbing.database import borrow, is_conflict
from preferences import owners

Answer = TypeVar("Answer")
_TRIES = 3


async def write(house: House, work: Callable[[asyncpg.Connection], Awaitable[tuple[Answer, Touched]]]) -> Answer:
    """Do `work` in a transaction; its answer, once every reader gets to know. Raises what it raises, and Unavailable.

    Work that met another transaction (a deadlock, a lock held too long) is done again.
    """
    for tries_left in reversed(range(_TRIES)):
        try:
            answer, touched, stale_keys = await _once(house, work)
        except Unavailable as error:
            if not tries_left or not is_conflict(error):
                raise
        else:
            break
    if touched.token_hashes:
        await house.tokens.forget(sorted(touched.token_hashes))
    await house.cache.delete(stale_keys)
    return answer


async def _once(
    house: House, work: Callable[[asyncpg.Connection], Awaitable[tuple[Answer, Touched]]]
) -> tuple[Answer, Touched, list[str]]:
    async with borrow(house.hot_pool) as conn, conn.transaction():
        answer, touched = await work(conn)
        stale_keys = await owners.raise_versions(conn, touched.user_ids)
    return answer, touched, stale_keys
