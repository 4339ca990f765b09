"""The scenario `gateway`: many devices on one server; memory, speed, a storm, and the way from request to device."""

import asyncio
import math
import secrets
from dataclasses import asdict, dataclass, field
from typing import Any

from ops.bench.agreement import insist
from ops.bench.crowd import Crowd, a_crowd
from ops.bench.noise import Noise, listen
from ops.bench.peer import Heard, Sent
from ops.bench.posts import post_all
from ops.bench.quantiles import quantile
from ops.bench.sides import Side, cpu_s, resident_bytes

Times = dict[str, float]
"""Of notifications by their ids: monotonic seconds."""

AT_ONCE = 200
_SETTLE_S = 1.0
_BLAST_WITHIN_S = 40.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is done. The storm's messages begin with it and go on for `live_s`."""

    devices: int = 10_000
    frames: int = 200_000
    idle_s: float = 5.0
    per_s: float = 300.0
    sends_s: float = 10.0
    live_per_s: float = 100.0
    live_s: float = 8.0


@dataclass(slots=True)
class Figures:
    """What was measured on one side."""

    side: str
    noise: Noise
    devices: int = 0
    connected_in_s: float = 0.0
    hello_cpu_us: float = 0.0
    idle_bytes: float = 0.0
    idle_cpu_us: float = 0.0
    """Per connection and second: the heartbeat."""
    sent: int = 0
    arrived: int = 0
    latency_p50_ms: float = math.nan
    latency_p99_ms: float = math.nan
    storm_s: float = 0.0
    storm_back: int = 0
    storm_sent: int = 0
    storm_arrived: int = 0
    twice: int = 0
    asked_frames: int = 0
    frames: int = 0
    frames_per_s: float = 0.0
    frame_cpu_us: float = 0.0
    codes: dict[str, int] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """For `--json`; a figure that is missing is null."""
        return {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in asdict(self).items()
        }


async def measure(side: Side, plan: Plan) -> Figures:
    """All phases on one side, with devices of its own, in the order: connect, idle, sends, storm, frames."""
    figures, run = Figures(side.name, listen()), secrets.token_hex(4)
    async with a_crowd() as crowd:
        await _fill(side, crowd, plan, run, figures)
        await _agree(side, await _send(side, crowd, plan, run, figures), twice=figures.twice)
        await _agree(side, await _storm(side, crowd, plan, run, figures))
        await _blast(side, crowd, plan, run, figures)
    return figures


async def _fill(side: Side, crowd: Crowd, plan: Plan, run: str, figures: Figures) -> None:
    await side.register(run, plan.devices)
    before, cpu_before_s = resident_bytes(side.pid), cpu_s(side.pid)
    there = await _connect(side, crowd, plan, run, at_once=AT_ONCE)
    count = max(1, there["connected"])
    figures.devices, figures.connected_in_s = there["connected"], there["took_s"]
    await asyncio.sleep(_SETTLE_S)
    cpu_there_s = cpu_s(side.pid)
    figures.hello_cpu_us = (cpu_there_s - cpu_before_s) * 1e6 / count
    figures.idle_bytes = (resident_bytes(side.pid) - before) / count
    await asyncio.sleep(plan.idle_s)
    figures.idle_cpu_us = (cpu_s(side.pid) - cpu_there_s) * 1e6 / count / plan.idle_s


async def _agree(side: Side, told: tuple[Times, Times], *, twice: int = 0) -> None:
    """Disagreement when a side with a database has lost one. In a storm one may come twice: its ack was lost."""
    asked, heard_at = told
    kept = await side.kept(asked)
    if kept is not None:
        insist(side.name, Sent(asked), kept, Heard({name: heard_at[name] for name in heard_at if name in asked}, twice))


async def _send(side: Side, crowd: Crowd, plan: Plan, run: str, figures: Figures) -> tuple[Times, Times]:
    await crowd.listen()
    asked = await _post(side, plan, run, per_s=plan.per_s, for_s=plan.sends_s)
    heard = await crowd.heard(len(asked), side.patience_s)
    took_ms = sorted(
        (heard["heard_at"][name] - at_s) * 1000 for name, at_s in asked.items() if name in heard["heard_at"]
    )
    figures.sent, figures.arrived, figures.twice = len(asked), len(took_ms), heard["twice"]
    figures.latency_p50_ms, figures.latency_p99_ms = quantile(took_ms, 0.5), quantile(took_ms, 0.99)
    return asked, heard["heard_at"]


async def _storm(side: Side, crowd: Crowd, plan: Plan, run: str, figures: Figures) -> tuple[Times, Times]:
    await crowd.listen()
    await crowd.drop()
    async with asyncio.TaskGroup() as group:
        back = group.create_task(_connect(side, crowd, plan, run, at_once=plan.devices))
        posting = group.create_task(_post(side, plan, run, per_s=plan.live_per_s, for_s=plan.live_s))
    asked = posting.result()
    heard = await crowd.heard(len(asked), side.patience_s)
    figures.storm_s, figures.storm_back = back.result()["took_s"], back.result()["connected"]
    figures.codes = back.result()["codes"]
    figures.storm_sent, figures.storm_arrived = len(asked), len(asked.keys() & heard["heard_at"].keys())
    figures.twice += heard["twice"]
    return asked, heard["heard_at"]


async def _blast(side: Side, crowd: Crowd, plan: Plan, run: str, figures: Figures) -> None:
    await crowd.listen(count_only=True)
    cpu_before_s = cpu_s(side.pid)
    async with asyncio.TaskGroup() as group:
        group.create_task(side.blast(run, plan.devices, plan.frames))
        hearing = group.create_task(crowd.heard(plan.frames, _BLAST_WITHIN_S))
    heard = hearing.result()
    figures.asked_frames, figures.frames = plan.frames, heard["frames"]
    figures.frame_cpu_us = (cpu_s(side.pid) - cpu_before_s) * 1e6 / max(1, heard["frames"])
    figures.frames_per_s = heard["frames"] / heard["took_s"] if heard["took_s"] else 0.0


async def _connect(side: Side, crowd: Crowd, plan: Plan, run: str, *, at_once: int) -> dict[str, Any]:
    return await crowd.connect(
        side.url, count=plan.devices, at_once=at_once, run=run, app_key=side.app_key, offer=side.offers
    )


async def _post(side: Side, plan: Plan, run: str, *, per_s: float, for_s: float) -> dict[str, float]:
    """Send to devices in turn; when each was asked for, by the id under which its device sees it."""
    posts = [side.post(run, number * 7919 % plan.devices) for number in range(int(per_s * for_s))]
    answers = await post_all(side.api_url, posts, per_s=per_s)
    ids = ((side.sent_id(post, posted), posted) for post, posted in zip(posts, answers, strict=True))
    return {name: posted.at_s for name, posted in ids if name is not None}
