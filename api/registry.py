"""One write to the registry of devices, from BEGIN until nobody remembers what was before.

Devices are written by `channels`, users' versions by `preferences`, and neither room knows the other: this brings them
into one transaction, and clears both caches once it has committed.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg

from api.dependencies import House
from channels.push import hints
from channels.push.devices import Touched
from domain.errors import Unavailable
from plumbing.database import borrow, is_conflict
from preferences import owners

Answer = TypeVar("Answer")
HINT_WITHIN_S = 1.0
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
    if touched.dismissed:
        await _dismiss(house, touched)
    return answer


async def _dismiss(house: House, touched: Touched) -> None:
    """A hint that is lost costs nothing but time: workers send nothing to a device that is gone or suspended."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(HINT_WITHIN_S):
            await hints.dismiss(house.nodes, house.presence, touched.dismissed)


async def _once(
    house: House, work: Callable[[asyncpg.Connection], Awaitable[tuple[Answer, Touched]]]
) -> tuple[Answer, Touched, list[str]]:
    async with borrow(house.hot_pool) as conn, conn.transaction():
        answer, touched = await work(conn)
        stale_keys = await owners.raise_versions(conn, touched.user_ids)
    return answer, touched, stale_keys
