"""The scenes in which PostgreSQL is frozen, or slow."""

import asyncio
import time

from ops.chaos.asked import Asked
from ops.chaos.degrading import PER_S, a_setting
from ops.chaos.hands import Hands
from ops.chaos.stage import Wire
from ops.chaos.verdict import Verdict

_REFUSED_WITHIN_MS = 2000.0
_FROZEN_S = 20.0
_BACK_WITHIN_S = 10.0
_GIVEN_UP_AFTER_S = 60.0
_SLOW_S = 0.2
_BUSY_PER_S = 300.0
_ANSWERED_WITHIN_MS = 5000.0


async def play_frozen(asked: Asked) -> Verdict:
    """SIGSTOP of PostgreSQL and all its children for 20 s: who asks is told to come again, soon."""
    verdict = Verdict("postgres", asked.seed)
    async with a_setting(asked, verdict) as setting:
        before = await setting.flow(10.0)
        freezing = asyncio.create_task(Hands(setting.stage).freeze("postgres", _FROZEN_S))
        await asyncio.sleep(0.5)
        flow = await setting.flow(_FROZEN_S - 5.0, per_s=PER_S / 4)
        await freezing
        begun_s = time.monotonic()
        while (await setting.flow(1.0)).failures and time.monotonic() < begun_s + _GIVEN_UP_AFTER_S:
            pass
        recovered_s = round(time.monotonic() - begun_s - 1.0, 1)
        after = await setting.flow(10.0)
        verdict.figures |= {
            "p99_before_ms": before.at(0.99),
            "p99_frozen_ms": flow.at(0.99),
            "worst_frozen_ms": flow.at(1.0),
            "p99_after_ms": after.at(0.99),
            "refused_503": flow.failures["503"],
            "recovered_after_s": recovered_s,
        }
        others = flow.failures.total() - flow.failures["503"]
        verdict.expect("who is refused is told 503", others == 0 and flow.failures["503"] > 0, others)
        is_soon = flow.at(0.99) <= before.allows(_REFUSED_WITHIN_MS)
        verdict.expect(f"within {_REFUSED_WITHIN_MS / 1000:g} s", is_soon, flow.at(0.99))
        is_back = recovered_s <= _BACK_WITHIN_S
        verdict.expect(f"as before {_BACK_WITHIN_S:g} s after its return", is_back, recovered_s)
    return verdict


async def play_slow(asked: Asked) -> Verdict:
    """Each answer of PostgreSQL comes 200 ms late, under three times the load: it sheds, and does not fall."""
    verdict, for_s = Verdict("slow", asked.seed), 60.0 if asked.is_long else 15.0
    async with a_setting(asked, verdict) as setting:
        pids = setting.stage.pids
        wire = setting.stage.wires[Wire.POSTGRES]
        wire.delay(_SLOW_S)
        flow = await setting.flow(for_s, per_s=_BUSY_PER_S)
        wire.pass_()
        after = await setting.flow(10.0)
        verdict.figures |= {
            "p50_slow_ms": flow.at(0.5),
            "p99_slow_ms": flow.at(0.99),
            "refused_503": flow.failures["503"],
            "p99_after_ms": after.at(0.99),
        }
        others = flow.failures.total() - flow.failures["503"]
        verdict.expect("every answer is 202 or 503", others == 0, others)
        is_soon = flow.at(0.99) <= _ANSWERED_WITHIN_MS
        verdict.expect(f"99 % within {_ANSWERED_WITHIN_MS / 1000:g} s", is_soon, flow.at(0.99))
        verdict.expect("nobody is refused afterwards", not after.failures, after.failures.total())
        verdict.expect("no process was restarted", setting.stage.pids == pids)
    return verdict
