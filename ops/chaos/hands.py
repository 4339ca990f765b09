"""Does what a plan says: signals to the next life of each process, faults on wires, failpoints; and keeps count."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from ops.chaos.blows import FREEZE_S, SNAG_S, Arming, Blow, Fall, Harm, Hitch, Snag, Strike, Victim
from ops.chaos.stage import Stage, Wire
from ops.stack.guardian import descendants
from plumbing.failpoints import arm

_LIVES_WITHIN_S = 60.0
_LOOK_S = 0.05
_DOWN_AT_ONCE = 3
_DELAY_S = 0.3
_CUT_BYTES = 20_000


@dataclass(slots=True)
class Hands:
    """Remembers who was hit already, so that each blow meets a new life."""

    stage: Stage
    done: Counter[str] = field(default_factory=Counter)
    last_s: float = 0.0
    """When the last blow fell, on the loop's clock."""
    _hit: dict[str, int] = field(default_factory=dict)

    async def carry_out(self, blows: Sequence[Blow], *, every_s: float) -> None:
        """One after the other, `every_s` seconds apart; on a slow machine later, when no more than three are down."""
        loop = asyncio.get_running_loop()
        under_way: set[asyncio.Task[None]] = set()
        for blow in blows:
            due_s = loop.time() + every_s
            task = asyncio.create_task(self.do(blow))
            under_way.add(task)
            await asyncio.sleep(due_s - loop.time())
            while len(self.down) > _DOWN_AT_ONCE:  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(_LOOK_S)
        for task in under_way:
            await task

    @property
    def down(self) -> list[str]:
        """Who was killed and is not ready again."""
        return [name for name in self._hit if not self.stage.platform.supervisor.is_ready(name)]

    async def do(self, blow: Blow) -> None:
        """One blow; a frozen process and a troubled wire are well again when this returns.

        A victim that does not come back in time is spared, and its blow is missing in the count.
        """
        with suppress(TimeoutError):
            await self._do(blow)

    async def _do(self, blow: Blow) -> None:
        match blow:
            case Strike(victim, Harm.KILL):
                await self.kill(victim)
            case Strike(victim, Harm.FREEZE):
                await self.freeze(victim, FREEZE_S)
            case Fall(victims):
                for victim in victims:
                    await self.next_life(victim)
                for victim in victims:
                    await self.kill(victim)
                self._note(str(blow))
            case Hitch(wire, snag):
                await self.snag(Wire[wire], snag, SNAG_S)
            case Arming(failpoint):
                arm(self.stage.failpoints, failpoint)
                self._note(str(blow))

    async def kill(self, name: str) -> None:
        """`kill -9` of the next life of `name`, its children first; one that ends by itself before does not count."""
        while True:
            pid = await self.next_life(name)
            self._hit[name] = pid
            children = descendants(pid)
            for each in (*children, pid):
                _send(each, signal.SIGCONT)
            if _send(pid, signal.SIGKILL):
                for child in children:
                    _send(child, signal.SIGKILL)
                self._note(f"{Harm.KILL} of {name}")
                return

    async def freeze(self, name: str, for_s: float) -> None:
        """SIGSTOP of `name` and its children, and SIGCONT after `for_s` seconds."""
        pid = await self.next_life(name)
        family = (pid, *descendants(pid))
        for each in family:
            _send(each, signal.SIGSTOP)
        self._note(f"{Harm.FREEZE} of {name}")
        try:
            await asyncio.sleep(for_s)
        finally:
            for each in family:
                _send(each, signal.SIGCONT)
            self.last_s = asyncio.get_running_loop().time()

    async def snag(self, wire: Wire, snag: Snag, for_s: float) -> None:
        """Trouble a wire for a while."""
        proxy = self.stage.wires[wire]
        match snag:
            case Snag.DELAY:
                proxy.delay(_DELAY_S)
            case Snag.REFUSE:
                proxy.refuse()
            case Snag.BLACK_HOLE:
                proxy.black_hole()
            case Snag.HALF_OPEN:
                proxy.half_open()
            case Snag.RESET:
                proxy.reset()
            case Snag.CUT:
                proxy.cut_after(_CUT_BYTES)
        self._note(f"{snag} of {wire.name.lower()}")
        try:
            await asyncio.sleep(for_s)
        finally:
            proxy.pass_()
            self.last_s = asyncio.get_running_loop().time()

    async def next_life(self, name: str) -> int:
        """Wait until `name` lives in another life than the one that was killed; its pid. TimeoutError."""
        async with asyncio.timeout(_LIVES_WITHIN_S):
            while (pid := self.stage.pids.get(name)) in (None, self._hit.get(name)):  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(_LOOK_S)
        return int(pid or 0)

    def count(self, harm: Harm) -> int:
        """How many blows of that kind fell."""
        return sum(self.done[f"{harm} of {victim}"] for victim in Victim)

    def _note(self, words: str) -> None:
        self.done[words] += 1
        self.last_s = asyncio.get_running_loop().time()


def _send(pid: int, number: signal.Signals) -> bool:
    """Whether there was somebody to send it to."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
