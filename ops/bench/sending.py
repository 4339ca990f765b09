"""The scenarios that send (`single`, `bulk`, `latency`): phases on one platform, each with noise, figures, account."""

import asyncio
import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from ops.bench.accounting import ORDER, per_notification_us, used_s
from ops.bench.calls import sampled
from ops.bench.filler import fill
from ops.bench.noise import Noise, listen
from ops.bench.peer import Peer, Wish
from ops.bench.platform_peer import PlatformPeer, a_platform_peer
from ops.bench.platform_side import NotMeasurable
from ops.bench.rounds import Round, one_round
from ops.stack.parts import StackChoice
from plumbing.settings import Settings

WARM = Wish(400, connections=16)
_IDLE_S = 3.0
_GRACE_S = 0.7
"""What gathers (receipts, acks, the to-do list) is over by then, and belongs to the phase."""


@dataclass(frozen=True, slots=True)
class SendPlan:
    """Which wishes, by the name of their phase, to how many connected devices; what is looked at beside the figures."""

    phases: dict[str, Wish]
    devices: int = 1000
    settle_s: float = 60.0
    stack: StackChoice = StackChoice.AUTO
    rows: int = 0
    """Notifications of the last 60 days that are there before anything is sent."""

    with_profile: bool = False
    call_tree_of: str | None = None


@dataclass(slots=True)
class Phase:
    """One phase: what was wanted, how quiet the machine was just before, and what it came to."""

    name: str
    noise: Noise
    wish: Wish
    round: Round
    cpu_us: dict[str, float] = field(default_factory=dict)
    """With a profile: per notification and role, and their `sum` without the load generator."""

    calls: str | None = None
    """With a call tree: the folded stacks of its role."""


@dataclass(slots=True)
class SendFigures:
    """A run of one scenario. `idle_ms` is what each role uses per second when nothing is sent."""

    versions: dict[str, str]
    phases: list[Phase] = field(default_factory=list)
    idle_ms: dict[str, float] = field(default_factory=dict)


async def measure_sending(settings: Settings, plan: SendPlan, folder: Path, say: Callable[[str], None]) -> SendFigures:
    """Start the platform, warm it up, go through the phases. NotMeasurable, NotAccepted or Disagreement end it."""
    trees = folder / "calls"
    if plan.call_tree_of:
        trees.mkdir()
        os.environ["CARILLON_CALL_TREE_PATH"] = str(trees)
    say(f"the platform, and {plan.devices:,} devices")
    async with a_platform_peer(settings, folder / "platform", stack=plan.stack) as peer:
        figures = SendFigures(await peer.versions())
        if plan.rows:
            await fill(peer.side.run.database_url, notifications=plan.rows, say=say)
        await peer.prepare(plan.devices)
        await one_round(peer, WARM, settle_s=plan.settle_s)
        if plan.with_profile:
            figures.idle_ms = await _idle(peer)
        for name, wish in plan.phases.items():
            say(f"{name}: {wish.count:,} notifications, at most {wish.within_s + plan.settle_s:.0f} s")
            figures.phases.append(await _phase(peer, plan, name, wish, trees))
    return figures


async def _phase(peer: PlatformPeer, plan: SendPlan, name: str, wish: Wish, trees: Path) -> Phase:
    noise = listen()
    role = plan.call_tree_of
    async with AsyncExitStack() as stack:
        if role is not None:
            if role not in peer.pids:
                raise NotMeasurable(f"no role {role!r} runs here: {', '.join(peer.pids)}")
            await stack.enter_async_context(sampled(peer.pids[role], trees / f"{role}.folded"))
        before = used_s(peer.pids)
        came_to = await one_round(peer, wish, settle_s=plan.settle_s)
        await asyncio.sleep(_GRACE_S)
        cpu_us = per_notification_us(before, used_s(peer.pids), came_to.accepted)
    phase = Phase(name, noise, wish, came_to, cpu_us if plan.with_profile else {})
    if role is not None:
        phase.calls = (trees / f"{role}.folded").read_text()
    return phase


async def _idle(peer: Peer) -> dict[str, float]:
    """Milliseconds per second and role with nothing to do: heartbeats, looks at the clock."""
    before = used_s(peer.pids)
    await asyncio.sleep(_IDLE_S)
    after = used_s(peer.pids)
    return {role: (after[role] - before[role]) * 1000 / _IDLE_S for role in ORDER}
