"""The scenario `lanes`: urgent emails while thousands of low ones wait, in lanes of their own and all in one lane.

The provider takes 20 ms for each, so slots are what is scarce. The same work is done twice on one platform: with its
priorities, and as one naive pool, where everything has the priority that may use every slot.
"""

import asyncio
import math
import os
import time
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from domain.errors import CarillonError
from domain.ids import moment_of
from domain.lanes import Priority
from ops.bench.mails import a_mail_platform, deliveries_of, mail_posts
from ops.bench.noise import Noise, listen
from ops.bench.orders import Orderly, an_orderly
from ops.bench.posts import post_all
from ops.bench.quantiles import quantile
from ops.stack.home import Run
from plumbing.settings import Settings

_CONNECTIONS = 4
_TOP_UPS = 5
_LOOK_EVERY_S = 0.1
_STILL_S = 30.0
_DRAIN_S = 600.0


class NotDrained(CarillonError):
    """What was accepted did not all come: a figure of such a run is worth nothing."""


@dataclass(frozen=True, slots=True)
class LanesPlan:
    """How much waits, what comes meanwhile and for how long; few slots, so that they are scarce and not the cores."""

    waiting: int = 10_000
    per_s: float = 20.0
    for_s: float = 8.0
    provider_s: float = 0.02
    slots: int = 8

    @property
    def capacity_per_s(self) -> float:
        """What the slots allow at most."""
        return self.slots / self.provider_s


@dataclass(frozen=True, slots=True)
class Way:
    """What was measured one way. Waits are milliseconds from acceptance to the provider's RCPT."""

    waiting: int
    """Low ones that waited when the first urgent one came."""

    urgent: int
    p50_ms: float
    p99_ms: float
    worst_ms: float
    low_per_s: float
    """Taken by the provider while urgent ones came."""


@dataclass(frozen=True, slots=True)
class LanesFigures:
    """Both ways of one run, and the goals."""

    plan: LanesPlan
    noise: Noise
    lanes: Way
    pool: Way

    @property
    def share(self) -> float:
        """Of the capacity, for the low ones."""
        return self.lanes.low_per_s / self.plan.capacity_per_s

    @property
    def kept(self) -> float:
        """The low ones' rate, by that in the naive pool."""
        return self.lanes.low_per_s / self.pool.low_per_s if self.pool.low_per_s else math.nan

    def goals(self) -> dict[str, bool]:
        """What issue and documents promise, by name."""
        return {
            "critical p99 below 100 ms": self.lanes.p99_ms < 100,
            "low keeps a quarter of capacity": self.share >= 0.25,
            "low keeps half of its rate in one pool": self.kept >= 0.5,
        }

    def document(self) -> dict[str, Any]:
        """For `--json`."""
        return {**asdict(self), "share": self.share, "kept": self.kept, "goals": self.goals()}

    def __str__(self) -> str:
        lines = [
            f"{words}: with {way.waiting:,} low ones waiting, {way.urgent:,} urgent ones waited {way.p50_ms:.1f} ms "
            f"(p50), {way.p99_ms:.1f} ms (p99), {way.worst_ms:.1f} ms at worst; low ones {way.low_per_s:.0f}/s"
            for words, way in (("lanes", self.lanes), ("one naive pool", self.pool))
        ]
        lines.append(
            f"low ones keep {self.share:.0%} of the capacity of {self.plan.capacity_per_s:.0f}/s, "
            f"and {self.kept:.0%} of their rate in one pool"
        )
        lines += [f"{'reached' if is_reached else 'MISSED'}: {name}" for name, is_reached in self.goals().items()]
        return "\n".join([*lines, str(self.noise)])


@asynccontextmanager
async def a_scarce_platform(settings: Settings, folder: Path, plan: LanesPlan) -> AsyncIterator[tuple[Run, Orderly]]:
    """The platform with so many slots, and the mail server that it sends to."""
    os.environ.update({"CARILLON_WORKER_SLOTS": str(plan.slots), "CARILLON_SMTP_CONNECTIONS": str(plan.slots)})
    async with an_orderly("ops.bench.smtp_sink") as sink:
        url = f"smtp://127.0.0.1:{sink.hello['port']}"
        async with a_mail_platform(settings, folder, smtp_url=url) as run:
            yield run, sink


async def measure_lanes(run: Run, sink: Orderly, plan: LanesPlan) -> LanesFigures:
    """Both ways, one after the other, each beginning with nothing waiting. NotDrained when something was lost."""
    noise = listen()
    lanes = await _one_way(run, sink, plan, low=Priority.LOW, urgent=Priority.CRITICAL)
    pool = await _one_way(run, sink, plan, low=Priority.HIGH, urgent=Priority.HIGH)
    return LanesFigures(plan, noise, lanes, pool)


async def _one_way(run: Run, sink: Orderly, plan: LanesPlan, *, low: Priority, urgent: Priority) -> Way:
    await sink.ask("forget")
    await sink.ask("delay", seconds=plan.provider_s)
    many = await _pile_up(run, sink, plan, low)
    await _await_any(sink)
    waiting = len(many) - (await sink.ask("count"))["count"]
    posts = mail_posts(run, int(plan.per_s * plan.for_s), priority=urgent, per_request=1)
    began = time.time()
    few = deliveries_of(await post_all(run.api_url, posts, per_s=plan.per_s))
    ended = time.time()
    await _await_all(sink, few.keys())
    await sink.ask("delay", seconds=0)
    came = await _await_all(sink, many.keys() | few.keys())
    return way_of(came, few=set(few), waiting=waiting, began=began, ended=ended)


async def _pile_up(run: Run, sink: Orderly, plan: LanesPlan, low: Priority) -> dict[str, float]:
    """Send until so many wait: some are taken while the others are still accepted."""
    many: dict[str, float] = {}
    for _ in range(_TOP_UPS):
        missing = plan.waiting - len(many) + (await sink.ask("count"))["count"]
        if missing <= 0:
            break
        posts = mail_posts(run, missing, priority=low)
        many |= deliveries_of(await post_all(run.api_url, posts, connections=_CONNECTIONS))
    return many


async def _await_any(sink: Orderly) -> None:
    """Wait until what is low is under way: relay and worker took up the first. NotDrained when nothing comes."""
    began = time.monotonic()
    while not (await sink.ask("count"))["count"]:
        if time.monotonic() - began > _STILL_S:
            raise NotDrained(f"of the accepted emails none has come after {_STILL_S:g} s")
        await asyncio.sleep(_LOOK_EVERY_S)


async def _await_all(sink: Orderly, wanted: Collection[str]) -> Sequence[tuple[str, float, float]]:
    """What came, once all of these did. NotDrained when nothing comes any more, or it takes too long."""
    began = moved_at = time.monotonic()
    seen = 0
    while True:
        count = (await sink.ask("count"))["count"]
        if count >= len(wanted):
            came: Sequence[tuple[str, float, float]] = (await sink.ask("tell"))["came"]
            if not set(wanted) - {name for name, _, _ in came}:
                return came
        now = time.monotonic()
        if count > seen:
            seen, moved_at = count, now
        if now - moved_at > _STILL_S or now - began > _DRAIN_S:
            raise NotDrained(f"of {len(wanted):,} accepted emails {count:,} have come after {now - began:.0f} s")
        await asyncio.sleep(_LOOK_EVERY_S)


def way_of(came: Sequence[tuple[str, float, float]], *, few: set[str], waiting: int, began: float, ended: float) -> Way:
    """The figures of one way. `came`: name, when its RCPT came and when it was answered, epoch seconds."""
    waits_ms = sorted((at - moment_of(UUID(name)).timestamp()) * 1000 for name, at, _ in came if name in few)
    low = sum(began <= done < ended for name, _, done in came if name not in few)
    return Way(
        waiting=waiting,
        urgent=len(waits_ms),
        p50_ms=quantile(waits_ms, 0.5),
        p99_ms=quantile(waits_ms, 0.99),
        worst_ms=waits_ms[-1] if waits_ms else math.nan,
        low_per_s=low / (ended - began),
    )
