"""The scene that kills everything: load on all channels, every role and server hit, and the histories compared."""

import asyncio
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import MappingProxyType

from ops.chaos.asked import Asked
from ops.chaos.audience import Audience, gather_audience
from ops.chaos.blows import ROLES, Harm, Hitch, Snag, Victim, plan
from ops.chaos.checker import Finding, check, duplicates
from ops.chaos.hands import Hands
from ops.chaos.history import History
from ops.chaos.load import Load, Wish, usual_wishes
from ops.chaos.reading import differences, read_history, settle
from ops.chaos.side_work import MESSAGES, SideWork, an_endpoint
from ops.chaos.stage import Stage, a_stage
from ops.chaos.verdict import Verdict
from ops.demo.provider import a_provider
from ops.rest import Rest, open_rest
from plumbing.failpoints import Failpoint, hits

ENDED_WITHIN_S = 120.0
SLOTS = 64
"""Provider calls of one worker that a kill may leave without an outcome: 32 for email, 32 for SMS."""

_PATIENCE_S = 300.0
"""What ends too late misses its goal, and is not called open for that."""

_DYING_EVERY = 200
_TELL_EVERY_S = 15.0
_QUIET_S = 12.0
_HIT_WITHIN_S = 60.0
"""The end of the load meets a platform that nobody hits any more: what was armed last is reached in it."""

_HITCHES = (
    Hitch("POSTGRES", Snag.BLACK_HOLE),
    Hitch("RABBITMQ", Snag.HALF_OPEN),
    Hitch("REDIS", Snag.BLACK_HOLE),
    Hitch("SMTP", Snag.DELAY),
    Hitch("POSTGRES", Snag.RESET),
    Hitch("RABBITMQ", Snag.CUT),
    Hitch("REDIS", Snag.REFUSE),
    Hitch("SMS", Snag.DELAY),
)
_FEW = MappingProxyType(
    {
        **dict.fromkeys(ROLES, 3),
        Victim.RABBITMQ: 1,
        Victim.REDIS: 1,
        Victim.POSTGRES: 1,
    }
)
_MANY = MappingProxyType(
    {
        **dict.fromkeys((*ROLES, Victim.RABBITMQ, Victim.REDIS), 20),
        Victim.WORKER: 40,
        Victim.POSTGRES: 10,
    }
)
_ONCE = MappingProxyType(dict.fromkeys(Victim, 1))


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything. The load goes on until so many were sent and each blow has fallen."""

    at_least: int
    per_s: float
    every_s: float
    kills: Mapping[Victim, int]
    freezes: Mapping[Victim, int]


SHORT = Size(3_000, 75.0, 1.4, _FEW, _ONCE)
LONG = Size(75_000, 150.0, 2.4, _MANY, _ONCE)


async def play(asked: Asked) -> Verdict:
    """Start, hit, wait for the ends, compare."""
    size = LONG if asked.is_long else SHORT
    began_s = time.monotonic()
    verdict = Verdict("everything", asked.seed)
    async with a_stage(asked.settings, stack=asked.stack, messages=MESSAGES) as stage:
        asked.say(f"up after {time.monotonic() - began_s:.0f} s; {size.per_s:.0f} requests per second from now on")
        async with AsyncExitStack() as around:
            rest = await around.enter_async_context(open_rest(stage.run.api_url, stage.run.api_key))
            audience = await gather_audience(rest, stage.run)
            await audience.come()
            around.push_async_callback(audience.leave)
            provider = await around.enter_async_context(a_provider(stage.run, stage.authority))
            await around.enter_async_context(an_endpoint(rest))
            load = Load(stage.run.api_url, stage.run.api_key, provider)
            hands = Hands(stage)
            side = SideWork(rest, audience, f"run{asked.seed}")
            await _trouble(asked, size, load=load, hands=hands, side=side, rest=rest)
            asked.say(
                f"{hands.count(Harm.KILL)} kills fell, {len(load.log):,} requests were answered; waiting for ends"
            )
            history = await _conclude(stage, hands, load, side, audience, verdict)
            verdict.note(
                Finding.EXPLAIN, await differences(rest, stage.run.database_url, history, random.Random(asked.seed))
            )
        _judge(verdict, history, stage, load, hands, size)
        verdict.figures["took_s"] = round(time.monotonic() - began_s, 1)
        if not verdict.is_good:
            asked.say(stage.last_words())
    return verdict


async def _trouble(asked: Asked, size: Size, *, load: Load, hands: Hands, side: SideWork, rest: Rest) -> None:
    """Load, blows and side work at once; ends when each request was answered and each blow has fallen."""
    blows = plan(asked.seed, kills=size.kills, freezes=size.freezes, hitches=_HITCHES)
    over_s = len(blows) * size.every_s
    is_over = asyncio.Event()
    beside = [
        asyncio.create_task(_tell(asked, load, hands)),
        asyncio.create_task(side.audience.roam(random.Random(asked.seed))),
        asyncio.create_task(side.publish()),
        asyncio.create_task(side.repair()),
    ]

    async def hit() -> None:
        await hands.carry_out(blows, every_s=size.every_s)
        await asyncio.sleep(_QUIET_S)
        await _until_hit(hands, within_s=_HIT_WITHIN_S)
        is_over.set()

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(load.send_all(_wishes(side, size, asked.seed, is_over), per_s=size.per_s))
            group.create_task(load.opt_out_all(rest, first_after_s=over_s / 4, every_s=over_s / 40))
            group.create_task(hit())
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)


async def _tell(asked: Asked, load: Load, hands: Hands) -> None:
    while True:
        await asyncio.sleep(_TELL_EVERY_S)
        asked.say(
            f"{load.answered:,} of {len(load.log):,} requests answered, {hands.done.total()} blows, "
            f"{len(hits(hands.stage.failpoints))} failpoints hit; down: {', '.join(hands.down) or 'nobody'}"
        )


def _wishes(side: SideWork, size: Size, seed: int, is_over: asyncio.Event) -> Iterator[Wish]:
    for n, wish in enumerate(usual_wishes(side.audience, run=f"run{seed}")):
        if n >= size.at_least and is_over.is_set():
            return
        yield side.dying(n // _DYING_EVERY) if n % _DYING_EVERY == 0 else wish


async def _until_hit(hands: Hands, *, within_s: float) -> None:
    """Give the side work time to reach what was armed last."""
    deadline_s = time.monotonic() + within_s
    while hits(hands.stage.failpoints) != set(Failpoint) and time.monotonic() < deadline_s:  # noqa: ASYNC110  # a folder tells nobody
        await asyncio.sleep(0.2)


async def _conclude(
    stage: Stage, hands: Hands, load: Load, side: SideWork, audience: Audience, verdict: Verdict
) -> History:
    """Wait until everything has ended; then everybody comes and fetches what waits; then read all sides."""
    loop = asyncio.get_running_loop()
    url = stage.run.database_url
    calm_s = loop.time()
    is_over, _ = await settle(url, within_s=_PATIENCE_S)
    ended_s = loop.time() - calm_s
    is_in_time = is_over and ended_s <= ENDED_WITHIN_S
    verdict.expect(f"everything had ended {ENDED_WITHIN_S:.0f} s after the last request", is_in_time, round(ended_s, 1))
    verdict.figures["ended_after_last_blow_s"] = round(loop.time() - hands.last_s, 1)
    await audience.come_again()
    is_fetched, counts = await settle(url, within_s=30.0, is_home=True)
    verdict.expect("whoever came back has nothing left waiting", is_fetched)
    await audience.leave()
    verdict.figures |= dict(sorted(counts.items()))
    return await read_history(
        url,
        ledger=stage.ledger,
        promises=load.log,
        devices=audience.by_id,
        opted_out=load.opted_out,
        broadcasts=side.broadcasts,
    )


def _judge(verdict: Verdict, history: History, stage: Stage, load: Load, hands: Hands, size: Size) -> None:
    for kind, examples in check(history).items():
        verdict.note(kind, examples)
    reached = hits(stage.failpoints)
    verdict.note(Finding.NEVER_HIT, [str(each) for each in Failpoint if each not in reached])
    more, explained = duplicates(history)
    deaths = hands.done[f"{Harm.KILL} of {Victim.WORKER}"] + len(Failpoint) + hands.count(Harm.FREEZE)
    planned = sum(size.kills.values()) + len(ROLES) + 1
    verdict.expect("every kill of the plan fell", hands.count(Harm.KILL) == planned, hands.count(Harm.KILL))
    verdict.expect("duplicates at providers are at most slots times deaths", more <= SLOTS * deaths, more)
    verdict.figures |= {
        "requests": len(load.log),
        "deliveries": len(history.deliveries),
        "taken_by_providers": len(history.taken),
        "worked_alone": sum(one.crashes > 1 for one in history.deliveries),
        "duplicates": more,
        "duplicates_explained": explained,
        "pushes_heard": len(history.heard),
        "pushes_shown": sum(each.is_shown for each in history.heard),
        "requests_repeated": sum(load.failures.values()),
        "kills": hands.count(Harm.KILL),
        "freezes": hands.count(Harm.FREEZE),
        "failpoints_hit": len(reached),
    }
