"""A peer's programs as a context: PostgreSQL and RabbitMQ of its own, the sink, its API and its worker."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ops.bench.orders import Orderly, an_orderly
from ops.bench.peers.environment import ROOT
from ops.bench.peers.wishes import CREATE
from ops.stack.choice import prepare
from ops.stack.database import connected
from ops.stack.parts import Part, Way
from ops.stack.ports import free_port
from ops.stack.probes import accepts
from ops.stack.programs import Program
from ops.stack.unit import Unit

_READY_S = 60.0
_STOP_S = 15.0


@dataclass(frozen=True, slots=True)
class Recipe:
    """One peer: how the table names it, its module, and its settings (decision 0022 says what was tried)."""

    name: str
    module: str
    settings: Mapping[str, str] = field(default_factory=dict)
    libraries: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Crew:
    """What runs."""

    api_url: str
    database_url: str
    sink: Orderly
    pids: Mapping[str, int]


@asynccontextmanager
async def a_crew(recipe: Recipe, python: Path, folder: Path) -> AsyncIterator[Crew]:
    """Everything of one peer, its data and logs in `folder`; ended at the end. NotStarted when a part does not come."""
    async with AsyncExitStack() as stack:
        postgres = await asyncio.to_thread(prepare, Part.POSTGRES, Way.PRIVATE, folder)
        rabbitmq = await asyncio.to_thread(prepare, Part.RABBITMQ, Way.PRIVATE, folder)
        for server in (postgres, rabbitmq):
            server.start()
            stack.push_async_callback(asyncio.to_thread, server.stop)
        for server in (postgres, rabbitmq):
            await asyncio.to_thread(server.await_ready, _READY_S)
        async with connected(postgres.url) as conn:
            await conn.execute(CREATE)
        sink = await stack.enter_async_context(an_orderly("ops.bench.peers.sink"))
        port = free_port()
        env = {
            "PEER_DATABASE_URL": postgres.url,
            "PEER_AMQP_URL": rabbitmq.url,
            "PEER_API_PORT": str(port),
            "PEER_SINK_PORT": str(sink.hello["port"]),
            "PYTHONPATH": str(ROOT),
            **recipe.settings,
        }
        programs = tuple(
            Program(role, (str(python), "-m", recipe.module, role), folder / f"{role}.log", env, cwd=ROOT)
            for role in ("api", "worker")
        )
        unit = Unit(recipe.name, programs, partial(accepts, port))
        unit.start()
        stack.push_async_callback(asyncio.to_thread, _end, unit)
        await asyncio.to_thread(unit.await_ready, _READY_S)
        pids = {**postgres.pids, **rabbitmq.pids, **unit.pids, "sink": sink.process.pid}
        yield Crew(f"http://127.0.0.1:{port}", postgres.url, sink, pids)


def _end(unit: Unit) -> None:
    """Ask, insist; then whatever children of theirs are left: both kinds of worker have some."""
    groups = list(unit.pids.values())
    unit.stop(_STOP_S)
    for group in groups:
        try:
            os.killpg(group, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue
