"""The scenario `backlog`: what a million deliveries cost that nobody works off, and how quickly they go when one does.

They wait in PostgreSQL; the broker is given only as many as a lane may hold. So its memory, and that of the roles, has
to stay as it was, and the relay has to find the next ones as quickly as the first.
"""

import asyncio
import math
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from rich.console import Console

from domain.lanes import Channel, Lane, Priority
from fanout.admission import LANE_LIMIT
from fanout.relay import MAX_ROWS
from ops.bench.crowd import Crowd, a_crowd
from ops.bench.noise import Noise, listen
from ops.bench.platform_side import NotMeasurable, PlatformSide
from ops.bench.posts import post_all
from ops.bench.sides import resident_bytes
from ops.bench.tables import new_table
from ops.bench.waiting import fill_waiting
from ops.stack.database import connected
from tracking import outbox

WORKER = "worker-1"
_ROLES = ("api-1", "worker-1", "gateway-1", "scheduler-1", "door-1", "rabbitmq")
_LANE = Lane(Channel.PUSH, Priority.HIGH)
_AT_ONCE = 200
_LOOKS = 5
_LOOK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class BacklogPlan:
    """How many deliveries wait, by so many in an envelope (1: sent one by one), for so many devices; how long
    they are watched while no worker runs, and how long one may then work on them."""

    waiting: int = 1_000_000
    per_envelope: int = 500
    devices: int = 1000
    watch_s: float = 5.0
    work_s: float = 10.0


@dataclass(slots=True)
class BacklogFigures:
    """Memory in bytes by process: before, with the backlog and no worker, and the most while it is worked off."""

    noise: Noise
    filled_in_s: float = 0.0
    before: dict[str, int] = field(default_factory=dict)
    waiting: dict[str, int] = field(default_factory=dict)
    working: dict[str, int] = field(default_factory=dict)
    admitted: int = 0
    """Deliveries that the relay had given to the broker while no worker ran."""

    look_ms: float = 0.0
    """How long the relay's question for the next ones took, at best of several."""

    heard: int = 0
    twice: int = 0
    per_s: float = 0.0
    """Deliveries that devices had, from the first to the last one heard."""


async def measure_backlog(side: PlatformSide, plan: BacklogPlan, say: Callable[[str], None]) -> BacklogFigures:
    """On a platform that nobody else uses. NotMeasurable when it does not take part."""
    figures, name = BacklogFigures(listen()), secrets.token_hex(4)
    async with a_crowd() as crowd:
        originals = await _originals(side, crowd, plan, name)
        await side.supervisor.rest(WORKER)
        figures.before = _resident(side.run.pids)
        figures.filled_in_s = await fill_waiting(
            side.run.database_url, originals=originals, count=plan.waiting, per_envelope=plan.per_envelope, say=say
        )
        for _ in range(math.ceil(plan.watch_s / _LOOK_EVERY_S)):
            await asyncio.sleep(_LOOK_EVERY_S)
            figures.waiting = _most(figures.waiting, _resident(side.run.pids))
        figures.admitted, figures.look_ms = await _look(side, plan)
        await _work_off(side, crowd, plan, figures)
    return figures


async def _originals(side: PlatformSide, crowd: Crowd, plan: BacklogPlan, name: str) -> list[UUID]:
    """One delivery to each device, accepted and delivered as all are."""
    await side.register(name, plan.devices)
    there = await crowd.connect(
        side.url, count=plan.devices, at_once=_AT_ONCE, run=name, app_key=side.app_key, offer=side.offers
    )
    await crowd.listen()
    posts = [side.post(name, number) for number in range(plan.devices)]
    answers = await post_all(side.api_url, posts)
    ids = [side.sent_id(post, answer) for post, answer in zip(posts, answers, strict=True)]
    heard = await crowd.heard(plan.devices, side.patience_s)
    if there["connected"] < plan.devices or None in ids or heard["frames"] < plan.devices:
        raise NotMeasurable("some devices did not get the first message: there is nothing to copy")
    return [UUID(one) for one in ids if one is not None]


async def _look(side: PlatformSide, plan: BacklogPlan) -> tuple[int, float]:
    """How many deliveries are with the broker, and what the relay's question costs now."""
    async with connected(side.run.database_url) as conn:
        waiting = await outbox.waiting(conn, _LANE, at_most=plan.waiting)
        took_ms = []
        for _ in range(_LOOKS):
            async with conn.transaction():
                began = time.monotonic()
                await outbox.due(conn, {_LANE: min(MAX_ROWS, LANE_LIMIT // plan.per_envelope)})
                took_ms.append((time.monotonic() - began) * 1000)
    return plan.waiting - waiting, min(took_ms)


async def _work_off(side: PlatformSide, crowd: Crowd, plan: BacklogPlan, figures: BacklogFigures) -> None:
    await crowd.listen()
    await side.supervisor.wake(WORKER)
    looking = asyncio.create_task(_watch(side, figures))
    try:
        heard = await crowd.heard(plan.waiting, plan.work_s)
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
    figures.working = _most(figures.working, _resident(side.run.pids))
    times = sorted(heard["heard_at"].values())
    figures.heard, figures.twice = len(times), heard["twice"]
    if len(times) > 1:
        figures.per_s = (len(times) - 1) / max(times[-1] - times[0], 1e-9)


async def _watch(side: PlatformSide, figures: BacklogFigures) -> None:
    while True:
        figures.working = _most(figures.working, _resident(side.run.pids))
        await asyncio.sleep(_LOOK_EVERY_S)


def _resident(pids: Mapping[str, int]) -> dict[str, int]:
    return {name: resident_bytes(pids[name]) for name in _ROLES if name in pids}


def _most(known: Mapping[str, int], seen: Mapping[str, int]) -> dict[str, int]:
    return {name: max(known.get(name, 0), seen.get(name, 0)) for name in {**known, **seen}}


def show_backlog(console: Console, plan: BacklogPlan, figures: BacklogFigures) -> None:
    """Print memory by process, and how it was worked off."""
    table = new_table("memory", ["before", "while they wait", "while they are worked off"])
    for name in _ROLES:
        parts = (figures.before, figures.waiting, figures.working)
        table.add_row(name, *(f"{part[name] / 2**20:,.0f} MiB" if name in part else "" for part in parts))
    console.print(table)
    console.print(
        f"\n{plan.waiting:,} deliveries, {plan.per_envelope} to an envelope, made in {figures.filled_in_s:.0f} s; "
        f"{figures.admitted:,} of them with the broker; the relay's question takes {figures.look_ms:.1f} ms\n"
        f"worked off: {figures.heard:,} at {figures.per_s:,.0f}/s, {figures.twice} twice; machine, best / middle / "
        f"worst: {figures.noise.best_ms:.1f} / {figures.noise.median_ms:.1f} / {figures.noise.worst_ms:.1f} ms"
    )
