"""The scenes in which a provider is out of order for a while, or takes what it is given and hangs up."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import pairwise
from uuid import UUID

from channels.breaker import FIRST_OPEN_S, LONGEST_OPEN_S
from channels.scripts import Scene, Script
from domain.delivery import DeliveryStatus
from domain.ids import notification_of
from domain.lanes import Channel
from ops.chaos.asked import Asked
from ops.chaos.audience import HELD
from ops.chaos.degrading import Setting, a_setting
from ops.chaos.stage import Stage, Wire
from ops.chaos.verdict import Verdict
from ops.simulated.ledger import Ledger, LedgerOutcome, LedgerReader
from ops.simulated.sms import SimulatedSms
from ops.stack.database import connected

_LIMIT_PER_S = 30.0
_ABOVE_LIMIT = 1.2
_SLOTS = 32
_FEW_PER_S = 30.0
_HANGS_UP_EVERY = 20
_BACK_WITHIN_S = 400.0
"""The longest step of an SMS's ladder is five minutes."""

_HELD = """
SELECT d.status FROM unnest($1::uuid[], $2::uuid[]) k(id, notification_id)
JOIN deliveries d ON d.id = k.id JOIN notifications n ON n.id = k.notification_id WHERE n.category = $3
"""


async def play_down(asked: Asked) -> Verdict:
    """The SMS provider answers 503 for 40 s, or for 10 minutes, and is back; mail goes on meanwhile."""
    verdict, for_s = Verdict("provider", asked.seed), 600.0 if asked.is_long else 40.0
    async with a_setting(asked, verdict, told={"CARILLON_SMS_MAX_PER_S": str(_LIMIT_PER_S)}) as setting:
        began_at = await _now(setting.stage)
        await setting.flow(15.0, per_s=_FEW_PER_S)
        asked_s: list[float] = []

        def out_of_order(_: str) -> Scene:
            asked_s.append(time.monotonic())
            return Scene(Script.DOWN)

        down_at = await _now(setting.stage)
        async with _in_place_of_sms(setting.stage, out_of_order):
            await setting.flow(for_s, per_s=_FEW_PER_S)
        back_at = await _now(setting.stage)
        await setting.flow(5.0, per_s=_FEW_PER_S)
        await _until_taken(setting)
        trials = sum(later - one > FIRST_OPEN_S / 2 for one, later in pairwise(asked_s))
        verdict.figures |= {"asked_while_down": len(asked_s), "trials": trials}
        verdict.expect("one trial each time the breaker opens", trials <= _openings(asked_s[-1] - asked_s[0]), trials)
        first = len(asked_s) - trials  # before it opened
        verdict.expect("the first failures are no more than its slots", first <= _SLOTS, first)
        await _judge_mail(setting, verdict, began_at, down_at, back_at)
        busiest = _busiest_second(setting.stage, back_at)
        verdict.expect(
            "never above 1.2 times its limit afterwards", busiest <= _ABOVE_LIMIT * _LIMIT_PER_S + 1, busiest
        )
        dead = await _count(setting.stage, "SELECT count(*) FROM dead_letters")
        verdict.expect("no dead letters", dead == 0, dead)
    return verdict


async def play_ambiguous(asked: Asked) -> Verdict:
    """One SMS in twenty is taken, and the connection reset instead of an answer; the broker's connections are, too."""
    verdict, for_s = Verdict("ambiguous", asked.seed), 60.0 if asked.is_long else 20.0
    calls: Counter[str] = Counter()

    def hang_up_now_and_then(_: str) -> Scene:
        calls["all"] += 1
        return Scene(Script.RESET if calls["all"] % _HANGS_UP_EVERY == 0 else Script.OK)

    async with a_setting(asked, verdict) as setting:
        async with _in_place_of_sms(setting.stage, hang_up_now_and_then):
            flowing = asyncio.create_task(setting.flow(for_s))
            while not flowing.done():
                await asyncio.sleep(4.0)
                setting.stage.wires[Wire.RABBITMQ].reset()
            await flowing
            await _until_taken(setting)
        await _judge_held(setting, verdict)
    return verdict


@asynccontextmanager
async def _in_place_of_sms(stage: Stage, scene: Callable[[str], Scene]) -> AsyncIterator[SimulatedSms]:
    """Another provider at the end of the wire, which writes into the same ledger."""
    book = Ledger(stage.ledger)
    other = await SimulatedSms(book).start()
    other.scene = scene
    wire = stage.wires[Wire.SMS]
    usual = wire.lead_to(("127.0.0.1", other.port))
    try:
        yield other
    finally:
        wire.lead_to(usual)
        await other.close()
        await book.close()


def _openings(for_s: float) -> int:
    """How often a breaker can have opened and looked again in that time."""
    count, spent_s, open_s = 0, FIRST_OPEN_S, FIRST_OPEN_S
    while spent_s <= for_s:
        count, open_s = count + 1, min(open_s * 2, LONGEST_OPEN_S)
        spent_s += open_s
    return count


async def _until_taken(setting: Setting) -> None:
    """Wait until no SMS waits any more."""
    waits = "SELECT count(*) FROM deliveries WHERE channel = $1 AND status = ANY($2::smallint[])"
    codes = [status.code for status in (DeliveryStatus.QUEUED, DeliveryStatus.SENDING, DeliveryStatus.RESTING)]
    deadline_s = time.monotonic() + _BACK_WITHIN_S
    while await _count(setting.stage, waits, Channel.SMS.code, codes):  # a table tells nobody
        if time.monotonic() > deadline_s:
            return
        await asyncio.sleep(0.5)


async def _judge_mail(
    setting: Setting, verdict: Verdict, began_at: datetime, down_at: datetime, back_at: datetime
) -> None:
    """Mail from its acceptance to its end, before and while the other provider was down."""
    took = (
        "SELECT percentile_cont(0.99) WITHIN GROUP (ORDER BY extract(epoch FROM updated_at - created_at)) * 1000"
        " FROM deliveries WHERE channel = $1 AND status = $2 AND attempt = 1 AND created_at BETWEEN $3 AND $4"
    )
    of = Channel.EMAIL.code, DeliveryStatus.SENT.code
    before_ms = await _count(setting.stage, took, *of, began_at, down_at)
    meanwhile_ms = await _count(setting.stage, took, *of, down_at, back_at)
    verdict.figures |= {"mail_p99_before_ms": before_ms, "mail_p99_meanwhile_ms": meanwhile_ms}


async def _judge_held(setting: Setting, verdict: Verdict) -> None:
    """What was taken without an answer and must not go twice is there as `ambiguous`, all of it."""
    resets = {
        entry.delivery_id
        for entry in LedgerReader.read(setting.stage.ledger).entries
        if entry.outcome is LedgerOutcome.RESET
    }
    ids = sorted(map(UUID, resets))
    async with connected(setting.stage.run.database_url) as conn:
        rows = await conn.fetch(_HELD, ids, [notification_of(one) for one in ids], HELD)
    visible = sum(row["status"] == DeliveryStatus.AMBIGUOUS.code for row in rows)
    verdict.figures |= {"taken_without_an_answer": len(resets), "of_them_held": len(rows)}
    verdict.expect("each that is held is visible as ambiguous", visible == len(rows) > 0, visible)


async def _count(stage: Stage, query: str, *values: object) -> float:
    async with connected(stage.run.database_url) as conn:
        return round(float(await conn.fetchval(query, *values) or 0), 1)


async def _now(stage: Stage) -> datetime:
    async with connected(stage.run.database_url) as conn:
        now: datetime = await conn.fetchval("SELECT now()")
    return now


def _busiest_second(stage: Stage, since: datetime) -> int:
    """The most SMS that were taken in any one second."""
    taken = [
        datetime.fromisoformat(entry.time).timestamp()
        for entry in LedgerReader.read(stage.ledger).entries
        if entry.provider == "sms" and entry.outcome.is_taken
    ]
    late = sorted(one for one in taken if one >= since.timestamp())
    return max((sum(begin <= one < begin + 1 for one in late) for begin in late), default=0)
