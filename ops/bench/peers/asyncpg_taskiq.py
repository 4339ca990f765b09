"""The second peer: FastAPI, asyncpg, taskiq-aio-pika. `python -m ops.bench.peers.asyncpg_taskiq api|worker`.

Written as the manuals of FastAPI, asyncpg and taskiq show it; decision 0022 says which settings were tried. A task is
acknowledged when it has run, so it may run twice and looks at its row before it delivers.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any
from uuid import UUID, uuid4

import asyncpg
from fastapi import Depends, FastAPI, Request
from taskiq import Context, TaskiqDepends, TaskiqEvents, TaskiqState
from taskiq_aio_pika import AioPikaBroker

from ops.bench.peers.programs import become, setting, uvicorn
from ops.bench.peers.wires import TaskSink
from ops.bench.peers.wishes import AMQP_URL, DATABASE_URL, Wish, Wishes

_PREFETCH = setting("PREFETCH", "100")
_ITSELF = "ops.bench.peers.asyncpg_taskiq"
_COLUMNS = ("id", "tenant_id", "user_id", "channel", "category", "priority", "payload", "status")
_ONE = """\
INSERT INTO notifications (id, tenant_id, user_id, channel, category, priority, payload, status)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"""
_MANY = """\
INSERT INTO notifications (id, tenant_id, user_id, channel, category, priority, payload, status)
SELECT * FROM unnest(
    $1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::jsonb[], $8::text[])"""
_READ = "SELECT payload, status FROM notifications WHERE id = $1"
_SENT = """\
UPDATE notifications SET status = 'sent', attempts = attempts + 1, sent_at = now(), updated_at = now()
WHERE id = $1"""

broker = AioPikaBroker(AMQP_URL, qos=int(_PREFETCH))


@asynccontextmanager
async def _open(app: FastAPI) -> AsyncIterator[None]:
    async with asyncpg.create_pool(DATABASE_URL, min_size=10, max_size=20) as pool:
        app.state.pool = pool
        if not broker.is_worker_process:
            await broker.startup()
        yield
        if not broker.is_worker_process:
            await broker.shutdown()


api = FastAPI(lifespan=_open)


def _pool(request: Request) -> Any:
    return request.app.state.pool


@api.post("/notifications", status_code=202)
async def send(wish: Wish, pool: Annotated[Any, Depends(_pool)]) -> dict[str, str]:
    """Keep one, and a task for it."""
    identifier = str(uuid4())
    await pool.execute(_ONE, *_values(wish, identifier))
    await deliver.kiq(identifier)
    return {"id": identifier, "status": "queued"}


@api.post("/notifications/bulk", status_code=202)
async def send_many(wishes: Wishes, pool: Annotated[Any, Depends(_pool)]) -> dict[str, list[str]]:
    """Keep all in one INSERT, and a task for each."""
    ids = [str(uuid4()) for _ in wishes.notifications]
    rows = [_values(wish, identifier) for wish, identifier in zip(wishes.notifications, ids, strict=True)]
    await pool.execute(_MANY, *zip(*rows, strict=True))
    await asyncio.gather(*(deliver.kiq(identifier) for identifier in ids))
    return {"ids": ids}


def _values(wish: Wish, identifier: str) -> tuple[Any, ...]:
    row = wish.row(identifier)
    row["payload"] = json.dumps(row["payload"])
    return tuple(row[name] for name in _COLUMNS)


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def _open_worker(state: TaskiqState) -> None:
    state.pool = await asyncpg.create_pool(DATABASE_URL, min_size=10, max_size=20)
    state.sink = await TaskSink().open()


@broker.on_event(TaskiqEvents.WORKER_SHUTDOWN)
async def _close_worker(state: TaskiqState) -> None:
    await state.pool.close()


@broker.task
async def deliver(identifier: str, context: Annotated[Context, TaskiqDepends()]) -> None:
    """Hand one to the sink, and note it."""
    pool, number = context.state.pool, UUID(identifier)
    row = await pool.fetchrow(_READ, number)
    if row is None or row["status"] == "sent":
        return
    await context.state.sink.deliver(identifier, row["payload"])
    await pool.execute(_SENT, number)


def main() -> None:
    """Become the API, or taskiq's worker."""
    if sys.argv[1] == "api":
        become(*uvicorn(f"{_ITSELF}:api"))
    work = ("--workers", setting("WORKERS", "2"), "--max-async-tasks", "100", "--max-prefetch", _PREFETCH)
    become("taskiq", "worker", f"{_ITSELF}:broker", *work, "--ack-type", "when_executed", "--log-level", "WARNING")


if __name__ == "__main__":
    main()
