"""The scenes in which nobody dies unasked: every process is replaced in turn, and a leader falls asleep."""

import asyncio
import os
import signal
import time
from dataclasses import dataclass, field

from ops.chaos.asked import Asked
from ops.chaos.degrading import Flow, Setting, a_setting
from ops.chaos.verdict import Verdict
from ops.stack.database import connected

_PER_S = 150.0
_ROLES = ("api", "worker", "gateway", "scheduler")
_EXITS_WITHIN_S = 30.0
_BACK_WITHIN_S = 60.0
_ASLEEP_S, _ASLEEP_LONG_S = 25.0, 60.0
_SUCCEEDED_WITHIN_S = 20.0
_LOOK_S = 0.1
_LED_BY = "SELECT owner FROM leader WHERE name = 'scheduler' AND until > now()"


@dataclass(slots=True)
class _Stretch:
    """Load that goes on until something else is over."""

    setting: Setting
    flows: list[Flow] = field(default_factory=list)

    async def until(self, other: "asyncio.Task[None]") -> None:
        while not other.done():
            self.flows.append(await self.setting.flow(2.0, per_s=_PER_S))
        await other

    def failures(self) -> dict[str, int]:
        """How often a request had to be repeated, by what the client met."""
        found: dict[str, int] = {}
        for flow in self.flows:
            for why, count in flow.failures.items():
                found[why] = found.get(why, 0) + count
        return found


async def play_deploy(asked: Asked) -> Verdict:
    """Two of each role, SIGTERM to one after the other at 150 requests per second, the next when this one is back."""
    verdict = Verdict("deploy", asked.seed)
    async with a_setting(asked, verdict) as setting:
        seconds = [await setting.stage.platform.double(role) for role in _ROLES]
        names = [*(f"{role}-1" for role in _ROLES), "door-1", *seconds]  # on a shared port the other one says: ready
        exits: dict[str, float] = {}
        stretch = _Stretch(setting)
        await stretch.until(asyncio.create_task(_replace_all(setting, names, exits)))
        failures = stretch.failures()
        refused = {why: count for why, count in failures.items() if why.isdigit()}
        verdict.figures |= {f"{name}_exit_s": round(took_s, 1) for name, took_s in exits.items()}
        verdict.figures["p99_ms"] = max(flow.at(0.99) for flow in stretch.flows)
        verdict.figures["connections_closed"] = sum(failures.values()) - sum(refused.values())
        verdict.expect("no answer of 500 or more", not refused, str(refused or None))
        slowest_s = max(exits.values())
        verdict.expect(f"each is gone within {_EXITS_WITHIN_S:.0f} s", slowest_s <= _EXITS_WITHIN_S, slowest_s)
    more = verdict.figures["duplicates"]
    verdict.expect("no provider took anything twice", more == 0, more)
    return verdict


async def play_leader(asked: Asked) -> Verdict:
    """SIGSTOP of the leading scheduler for 25 s, or 60; another leads soon, and goes on when the old one wakes up."""
    verdict, for_s = Verdict("leader", asked.seed), _ASLEEP_LONG_S if asked.is_long else _ASLEEP_S
    async with a_setting(asked, verdict) as setting:
        await setting.stage.platform.double("scheduler")
        old = await _another_leads(setting, than=None)
        os.kill(old, signal.SIGSTOP)
        begun_s = time.monotonic()
        try:
            flowing = asyncio.create_task(setting.flow(for_s, per_s=_PER_S / 2))
            new = await _another_leads(setting, than=old)
            took_s = round(time.monotonic() - begun_s, 1)
            await flowing
            await asyncio.sleep(begun_s + for_s - time.monotonic())
        finally:
            os.kill(old, signal.SIGCONT)
        after = await setting.flow(10.0, per_s=_PER_S / 2)
        leads = await _another_leads(setting, than=None)
        verdict.figures["p99_after_ms"] = after.at(0.99)
        verdict.expect(f"another leads within {_SUCCEEDED_WITHIN_S:.0f} s", took_s <= _SUCCEEDED_WITHIN_S, took_s)
        verdict.expect("who woke up does not lead", leads == new, None)
    return verdict


async def _replace_all(setting: Setting, names: list[str], exits: dict[str, float]) -> None:
    for name in names:
        exits[name] = await _replace(setting, name)


async def _replace(setting: Setting, name: str) -> float:
    """SIGTERM, and wait for the next life; seconds until it was gone."""
    supervisor = setting.stage.platform.supervisor
    pid = supervisor.pids[name]
    begun_s = time.monotonic()
    os.kill(pid, signal.SIGTERM)
    async with asyncio.timeout(_BACK_WITHIN_S):
        while supervisor.pids.get(name) == pid:  # noqa: ASYNC110  # processes tell nobody
            await asyncio.sleep(_LOOK_S)
        took_s = time.monotonic() - begun_s
        while not supervisor.is_ready(name):  # noqa: ASYNC110  # nor do they say that they are ready
            await asyncio.sleep(_LOOK_S)
    return took_s


async def _another_leads(setting: Setting, *, than: int | None) -> int:
    """The pid of who leads, when it is another one; it stands in the owner's name."""
    async with asyncio.timeout(_BACK_WITHIN_S), connected(setting.stage.run.database_url) as conn:
        while True:
            owner = await conn.fetchval(_LED_BY)
            pid = int(str(owner).split(":")[1]) if owner is not None else than
            if pid is not None and pid != than:
                return pid
            await asyncio.sleep(_LOOK_S)
