"""Erases a user: what is there now in one transaction, then as much of the past as a request has time for.

Devices are written by `channels`, users by `preferences`, the past by `tracking`. What is left over is the scheduler's.
"""

import time
from functools import partial
from uuid import UUID

import asyncpg
import structlog

from api import registry
from api.auth import Key
from api.dependencies import House
from channels.push.changes import Left, leave_user
from channels.push.devices import Touched
from domain.errors import Unavailable
from plumbing.database import borrow
from preferences import erasures, owners
from preferences.erasures import Begun

BATCH = 100
WITHIN_S = 1.0

log = structlog.get_logger(__name__)


async def erase(house: House, key: Key, user: str) -> bool:
    """Erase the tenant's user; whether there was one. Unavailable, and then nothing is erased."""
    begun = await registry.write(house, partial(_begin, house=house, key=key, user=user))
    if begun is None:
        return False
    await house.cache.delete(begun.stale_keys)
    log.info("user.erased", tenant_id=key.tenant_id, erasure_id=begun.id, key=key.prefix)
    await _empty_past(house, begun.id)
    return True


async def _begin(conn: asyncpg.Connection, *, house: House, key: Key, user: str) -> tuple[Begun | None, Touched]:
    """Devices before users, as everybody locks them."""
    found = await owners.find(conn, key.tenant_id, user)
    left = await leave_user(conn, key.tenant_id, found, actor=key.prefix) if found is not None else Left()
    begun = await erasures.begin(
        conn, house.seal, key.tenant_id, user, actor=key.prefix, now=house.clock(), counts=left.counts
    )
    return begun, left.touched


async def _empty_past(house: House, erasure: UUID) -> None:
    """Batch by batch, until nothing is left or the request has lasted long enough."""
    deadline_s = time.monotonic() + WITHIN_S
    has_more = True
    try:
        while has_more and time.monotonic() < deadline_s:
            async with borrow(house.hot_pool) as conn, conn.transaction():
                has_more = await erasures.go_on(conn, now=house.clock(), limit=BATCH, erasure=erasure)
    except Unavailable as error:
        log.info("erasure.left_to_scheduler", erasure_id=erasure, error=str(error))
