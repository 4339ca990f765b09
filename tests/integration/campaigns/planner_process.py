"""Planners in processes of their own, forked one after the other from one that has imported everything already.

`python -m tests.integration.campaigns.planner_process` prints `ready`, then reads one order per line: {database_url,
redis_url, tenant, broadcast, dies_at}. Each becomes a child that plans until that broadcast runs no more, or until its
failpoint ends it; the answer is one JSON line: {planned} of who came to the end, {signal} of who did not.
"""

import asyncio
import json
import os
import sys
from typing import Any
from uuid import UUID

import structlog

from campaigns import broadcasts
from campaigns.broadcasts import BroadcastStatus
from campaigns.planner import Planner
from fanout.accept import Intake
from fanout.limits import Policy
from plumbing import failpoints
from plumbing.cache import Cache
from plumbing.database import open_hot_pool
from plumbing.limiter import Limiter
from plumbing.secrets import Seal
from preferences.categories import Categories
from templates.catalog import Catalog
from tests.builders import SECRET_KEY

GENEROUS = Policy(key_per_s=1, key_burst=1, user_per_hour=10_000, user_burst=1_000)


def main() -> None:
    """Carry out orders until the input ends."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # answers alone on standard output
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            failpoints._armed.update(failpoints.parse(order["dies_at"]))
            print(json.dumps({"planned": asyncio.run(_live(order))}), flush=True)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            print(json.dumps({"signal": os.WTERMSIG(status)}), flush=True)


async def _live(order: dict[str, Any]) -> int:
    pool = await open_hot_pool(order["database_url"], size=2)
    cache = Cache.open(order["redis_url"])
    planner = Planner(Intake(pool, cache, Limiter(cache), Seal(SECRET_KEY), Catalog([]), Categories(), GENEROUS))
    planned = 0
    while True:
        found = await broadcasts.get(pool, UUID(order["tenant"]), UUID(order["broadcast"]))
        if found is None or found.status is not BroadcastStatus.RUNNING:
            break
        planned += await planner.turn()
    await cache.close()
    await pool.close()
    return planned


if __name__ == "__main__":
    main()
