"""The scene in which Redis is dead, then frozen, then forgets everything again and again."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import Redis

from ops.chaos.asked import Asked
from ops.chaos.degrading import Setting, a_setting
from ops.chaos.stage import Wire
from ops.chaos.verdict import Verdict

_DEAD_MS, _FROZEN_MS, _FLUSHED_MS = 250.0, 400.0, 250.0
_RECOVERED_WITHIN_S = 2.0
_FLUSH_EVERY_S = 0.25
_NOTHING = "no such key"
"""So that deleting nothing is no error."""


async def play(asked: Asked) -> Verdict:
    """Dead, frozen, flushed, for 10 s each, or 60."""
    verdict, for_s = Verdict("redis", asked.seed), 60.0 if asked.is_long else 10.0
    async with a_setting(asked, verdict) as setting:
        wire = setting.stage.wires[Wire.REDIS]
        before = await setting.flow(for_s)
        verdict.figures["p99_before_ms"] = before.at(0.99)

        wire.refuse()
        await _suffer(setting, verdict, "dead", for_s, at_most_ms=before.allows(_DEAD_MS))
        wire.pass_()
        await _recover(setting, verdict, "dead")

        wire.black_hole()
        await _suffer(setting, verdict, "frozen", for_s, at_most_ms=before.allows(_FROZEN_MS))
        wire.pass_()
        await _recover(setting, verdict, "frozen")

        async with _forgetful(setting.stage.run.redis_url):
            await _suffer(setting, verdict, "flushed", for_s, at_most_ms=before.allows(_FLUSHED_MS))
    return verdict


async def _suffer(setting: Setting, verdict: Verdict, how: str, for_s: float, *, at_most_ms: float) -> None:
    flow = await setting.flow(for_s)
    verdict.figures |= {f"p99_{how}_ms": flow.at(0.99), f"worst_{how}_ms": flow.at(1.0)}
    verdict.expect(f"no error while it is {how}", not flow.failures, flow.failures.total())
    verdict.expect(f"99 % within {at_most_ms:.0f} ms while it is {how}", flow.at(0.99) < at_most_ms, flow.at(0.99))


async def _recover(setting: Setting, verdict: Verdict, how: str) -> None:
    """Until the API counts there again: keys of limits are deleted, and come back with the next request."""
    begun_s = time.monotonic()
    flowing = asyncio.create_task(setting.flow(5.0, per_s=50.0))
    async with asyncio.timeout(30), Redis.from_url(setting.stage.run.redis_url) as client:
        await client.delete(_NOTHING, *[key async for key in client.scan_iter(match="*:limit:*")])
        while not [key async for key in client.scan_iter(match="*:limit:*")]:  # noqa: ASYNC110  # keys tell nobody
            await asyncio.sleep(0.01)
    took_s = time.monotonic() - begun_s
    await flowing
    verdict.expect(
        f"as before within {_RECOVERED_WITHIN_S:g} s after it was {how}", took_s <= _RECOVERED_WITHIN_S, took_s
    )


@asynccontextmanager
async def _forgetful(url: str) -> AsyncIterator[None]:
    async def forget() -> None:
        async with Redis.from_url(url) as client:
            while True:
                await client.flushall()
                await client.script_flush()
                await asyncio.sleep(_FLUSH_EVERY_S)

    task = asyncio.create_task(forget())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
