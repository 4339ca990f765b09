"""The scene of a long ordinary time: steady load, a fault every twenty seconds, and nobody's memory may grow.

Servers are killed, everybody is frozen, wires are troubled. Roles are not killed: who dies young cannot grow.
"""

import asyncio
import contextlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from ops.bench.sides import resident_bytes
from ops.chaos.asked import Asked
from ops.chaos.blows import ROLES, SERVERS, Blow, Harm, Hitch, Snag, Strike, Victim
from ops.chaos.degrading import Setting, a_setting
from ops.chaos.hands import Hands
from ops.chaos.stage import Wire
from ops.chaos.verdict import Verdict

GROWS_AT_MOST = 0.10
_LONG_S, _SHORT_S = 1200.0, 120.0
_HIT_EVERY_S = 20.0
_LOOK_EVERY_S = 5.0
_MIB = 2**20

Sizes = list[tuple[float, int]]
"""Moments in s, with the resident bytes of one life."""


@dataclass(slots=True)
class Memory:
    """Resident bytes of each role over time. A role that ends and comes back begins anew: its longest life counts."""

    lives: dict[tuple[str, int], Sizes] = field(default_factory=dict)

    def look(self, pids: Mapping[str, int], now_s: float) -> None:
        """Note how large each role is; one that has just ended is left out."""
        for name in ROLES:
            if name in pids:
                with contextlib.suppress(OSError):
                    self.lives.setdefault((name, pids[name]), []).append((now_s, resident_bytes(pids[name])))

    def longest(self) -> dict[str, Sizes]:
        """Of each role the life with the most looks."""
        found: dict[str, Sizes] = {}
        for (name, _), sizes in self.lives.items():
            if len(sizes) > len(found.get(name, ())):
                found[name] = sizes
        return found


def growth(sizes: Sequence[tuple[float, int]]) -> tuple[float, float]:
    """(at the beginning, at the end) in bytes: medians of the second tenth of a life, when it is warm, and its last."""
    tenth = max(1, len(sizes) // 10)
    return (
        median(size for _, size in sizes[tenth : 2 * tenth] or sizes[:1]),
        median(size for _, size in sizes[-tenth:]),
    )


async def play(asked: Asked) -> Verdict:
    """Two minutes, or twenty with `--long`, at a hundred requests a second."""
    verdict, for_s = Verdict("soak", asked.seed), _LONG_S if asked.is_long else _SHORT_S
    memory = Memory()
    async with a_setting(asked, verdict) as setting:
        hands = Hands(setting.stage)
        looking = asyncio.create_task(_keep_looking(setting, memory))
        hitting = asyncio.create_task(hands.carry_out(blows_for(asked.seed, for_s), every_s=_HIT_EVERY_S))
        try:
            flow = await setting.flow(for_s)
            await hitting
        finally:
            for task in (looking, hitting):
                task.cancel()
            await asyncio.gather(looking, hitting, return_exceptions=True)
        verdict.figures |= {
            "blows": hands.done.total(),
            "p99_ms": flow.at(0.99),
            "requests_repeated": flow.failures.total(),
        }
    _judge(verdict, memory, is_warm=asked.is_long)
    return verdict


def _judge(verdict: Verdict, memory: Memory, *, is_warm: bool) -> None:
    """In two minutes a role does not even get warm: how it grows is shown then, and is no goal."""
    for name, sizes in sorted(memory.longest().items()):
        first, last = growth(sizes)
        role = name.removesuffix("-1")
        verdict.figures |= {
            f"{role}_watched_s": round(sizes[-1][0] - sizes[0][0]),
            f"{role}_first_mib": round(first / _MIB, 1),
            f"{role}_last_mib": round(last / _MIB, 1),
        }
        if is_warm:
            grown = last / first - 1
            verdict.expect(f"{role} grows by less than a tenth", grown < GROWS_AT_MOST, f"{grown:+.1%}")


def blows_for(seed: int, for_s: float) -> list[Blow]:
    """As many as the time holds, drawn by the seed; each kind comes before any of them comes again."""
    rng = random.Random(seed)
    kinds: list[Blow] = [Strike(victim, Harm.KILL) for victim in SERVERS]
    kinds += [Strike(victim, Harm.FREEZE) for victim in Victim]
    kinds += [Hitch(wire.name, snag) for wire in Wire for snag in (Snag.DELAY, Snag.RESET, Snag.BLACK_HOLE)]
    count = int(for_s / _HIT_EVERY_S)
    drawn: list[Blow] = []
    while len(drawn) < count:
        drawn += rng.sample(kinds, len(kinds))
    return drawn[:count]


async def _keep_looking(setting: Setting, memory: Memory) -> None:
    loop = asyncio.get_running_loop()
    while True:
        memory.look(setting.stage.pids, loop.time())
        await asyncio.sleep(_LOOK_EVERY_S)
