"""A process of its own that accepts: `python -m tests.integration.fanout.sender_process` with orders on standard input.

The order is one JSON line: {database_url, redis_url, tenant, requests: [{key, body, dedupe_key, to}, …]}. It prints
`ready`, waits for an empty line, submits all at once, and prints the answers as one JSON line.
"""

import asyncio
import json
import sys
from typing import Any
from uuid import UUID

from domain.notification import Recipient
from fanout.accept import Intake
from fanout.batch import Batcher
from fanout.cases import Accepted, Item
from plumbing.cache import Cache
from plumbing.database import open_hot_pool
from plumbing.limiter import Limiter
from plumbing.secrets import Seal
from preferences.categories import Categories
from templates.catalog import Catalog
from tests.builders import SECRET_KEY, a_key, a_sender, an_item
from tests.integration.fanout.conftest import GENEROUS, Published


async def main() -> None:
    """Carry the order out."""
    order = json.loads(sys.stdin.readline())
    pool = await open_hot_pool(order["database_url"], size=4)
    cache = Cache.open(order["redis_url"])
    intake = Intake(pool, cache, Limiter(cache), Seal(SECRET_KEY), Catalog.shipped(), Categories(), GENEROUS)
    batcher = Batcher(intake, Published())
    batcher.open()
    items = [_item(UUID(order["tenant"]), wish) for wish in order["requests"]]
    print("ready", flush=True)
    sys.stdin.readline()
    answers = await asyncio.gather(*(_submit(batcher, item) for item in items))
    print(json.dumps(answers), flush=True)
    await batcher.close()
    await cache.close()
    await pool.close()


def _item(tenant: UUID, wish: dict[str, Any]) -> Item:
    key = a_key(wish["key"], wish.get("body", "same")) if "key" in wish else None
    to = wish.get("to", "someone@example.com")
    recipient = Recipient(**to) if isinstance(to, dict) else to
    return an_item(a_sender(tenant), key, to=recipient, dedupe_key=wish.get("dedupe_key"))


async def _submit(batcher: Batcher, item: Item) -> dict[str, Any]:
    try:
        accepted: Accepted = await batcher.submit(item)
    except Exception as error:  # the test looks at the name of whatever came
        return {"error": getattr(error, "reason", type(error).__name__)}
    return {"replayed": accepted.replayed, **accepted.answer()}


if __name__ == "__main__":
    asyncio.run(main())
