"""A process of its own that accepts: `python -m tests.integration.fanout.sender_process` with orders on standard input.

The order is one JSON line: {database_url, redis_url, tenant, requests: [{key, body, dedupe_key, to}, …], bulk_key},
with a bulk key all of them are one bulk request. It prints
`ready`, waits for an empty line, submits all at once, and prints the answers as one JSON line.
"""

import asyncio
import json
import sys
from typing import Any
from uuid import UUID

import msgspec
import structlog

from domain.errors import RequestRefused
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
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # answers alone on standard output
    order = json.loads(sys.stdin.readline())
    pool = await open_hot_pool(order["database_url"], size=4)
    cache = Cache.open(order["redis_url"])
    intake = Intake(pool, cache, Limiter(cache), Seal(SECRET_KEY), Catalog.shipped(), Categories(), GENEROUS)
    batcher = Batcher(intake, Published())
    batcher.open()
    items = [_item(UUID(order["tenant"]), wish) for wish in order["requests"]]
    print("ready", flush=True)
    sys.stdin.readline()
    if order["bulk_key"] is not None:
        answers = await _submit_bulk(batcher, items, order["bulk_key"])
    else:
        answers = list(await asyncio.gather(*(_submit(batcher, item) for item in items)))
    print(json.dumps(answers), flush=True)
    await batcher.close()
    await cache.close()
    await pool.close()


def _item(tenant: UUID, wish: dict[str, Any]) -> Item:
    key = a_key(wish["key"], wish.get("body", "same")) if "key" in wish else None
    to = wish.get("to", "someone@example.com")
    recipient = Recipient(**to) if isinstance(to, dict) else to
    others = {name: wish.get(name) for name in ("dedupe_key", "collapse_id")}
    return an_item(a_sender(tenant), key, to=recipient, **others)


async def _submit(batcher: Batcher, item: Item) -> dict[str, Any]:
    try:
        accepted: Accepted = await batcher.submit(item)
    except Exception as error:  # the test looks at the name of whatever came
        return {"error": getattr(error, "reason", type(error).__name__)}
    return {"replayed": accepted.replayed, **msgspec.to_builtins(accepted.answer())}


async def _submit_bulk(batcher: Batcher, items: list[Item], key: str) -> list[dict[str, Any]]:
    bulk = await batcher.submit_bulk(items[0].sender, [item.request for item in items], a_key(key))
    return [
        {"error": result.reason} if isinstance(result, RequestRefused) else {"replayed": bulk.replayed}
        for result in bulk.results
    ]


if __name__ == "__main__":
    asyncio.run(main())
