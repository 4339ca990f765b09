"""What scenes of one server's trouble have in common: a flow of requests before, meanwhile and after; then the books.

The trouble is the scene's own. What was promised meanwhile must be kept as ever.
"""

import math
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import islice

from ops.chaos.asked import Asked
from ops.chaos.audience import gather_audience
from ops.chaos.checker import check, duplicates
from ops.chaos.load import Load, Wish, usual_wishes
from ops.chaos.reading import read_history, settle
from ops.chaos.stage import Stage, a_stage
from ops.chaos.verdict import Verdict
from ops.rest import Rest, open_rest

PER_S = 100.0
_ENDED_WITHIN_S = 120.0
_FETCHED_WITHIN_S = 30.0
_WARM_UP_S = 5.0
_BUSY = 1.5


@dataclass(slots=True)
class Flow:
    """A stretch of the load: how long each answer took, and which requests had to be repeated for what reason."""

    answer_ms: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)

    def at(self, share: float) -> float:
        """The time in ms within which so many of the answers came; 0 when there was none."""
        ordered = sorted(self.answer_ms)
        return round(ordered[math.ceil(share * len(ordered)) - 1], 1) if ordered else 0.0

    def allows(self, limit_ms: float) -> float:
        """What 99 % of the answers may take after this one: so long, or half as long again as on this busy machine."""
        return max(limit_ms, _BUSY * self.at(0.99))


@dataclass(slots=True)
class Setting:
    """Where a scene plays: the stage, a client of the API, and the load that goes on."""

    stage: Stage
    rest: Rest
    load: Load
    wishes: Iterator[Wish]

    async def flow(self, seconds: float, *, per_s: float = PER_S) -> Flow:
        """Send for so long; returns when each request was answered."""
        seen, failed = len(self.load.answer_ms), self.load.failures.copy()
        await self.load.send_all(islice(self.wishes, round(seconds * per_s)), per_s=per_s)
        return Flow(self.load.answer_ms[seen:], self.load.failures - failed)


@asynccontextmanager
async def a_setting(asked: Asked, verdict: Verdict, *, told: Mapping[str, str] | None = None) -> AsyncIterator[Setting]:
    """A warm platform and its people. At the end everybody fetches what waits, and all books must agree."""
    async with (
        a_stage(asked.settings, stack=asked.stack, told=told) as stage,
        open_rest(stage.run.api_url, stage.run.api_key) as rest,
    ):
        audience = await gather_audience(rest, stage.run)
        await audience.come()
        load = Load(stage.run.api_url, stage.run.api_key)
        wishes = usual_wishes(audience, run=f"{verdict.scene}{asked.seed}", with_door=False)
        setting = Setting(stage, rest, load, wishes)
        try:
            await setting.flow(_WARM_UP_S, per_s=PER_S / 2)
            yield setting
            is_over, _ = await settle(stage.run.database_url, within_s=_ENDED_WITHIN_S)
            verdict.expect(f"everything had ended {_ENDED_WITHIN_S:.0f} s later", is_over)
            await audience.come_again()
            await settle(stage.run.database_url, within_s=_FETCHED_WITHIN_S, is_home=True)
        finally:
            await audience.leave()
        history = await read_history(
            stage.run.database_url, ledger=stage.ledger, promises=load.log, devices=audience.by_id
        )
        for kind, examples in check(history).items():
            verdict.note(kind, examples)
        verdict.figures |= {"requests": len(load.log), "duplicates": duplicates(history)[0]}
        if not verdict.is_good:
            asked.say(stage.last_words())
