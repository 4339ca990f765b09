"""The scenes in which RabbitMQ is away, or has its memory alarm, or hears and is not heard."""

import asyncio
import os
import subprocess
import time
from pathlib import Path

from domain.delivery import DeliveryStatus
from domain.errors import Misconfigured
from ops.chaos.asked import Asked
from ops.chaos.degrading import PER_S, Flow, Setting, a_setting
from ops.chaos.stage import Stage, Wire
from ops.chaos.verdict import Verdict
from ops.stack.database import connected
from ops.stack.parts import Part, Way
from ops.stack.rabbitmq import find_rabbitmq

_SLOWER_AT_MOST = 1.2
_NOISE_MS = 20.0
"""A fifth of a few milliseconds is less than what a busy machine does by itself."""

_DRAINED_AT_LEAST = 2.0
_LOOK_S = 0.2
_CONTROL_WITHIN_S = 60.0


async def play_away(asked: Asked) -> Verdict:
    """Nobody can connect for 20 s, or for 5 minutes."""
    verdict, for_s = Verdict("broker", asked.seed), 300.0 if asked.is_long else 20.0
    async with a_setting(asked, verdict) as setting:
        wire = setting.stage.wires[Wire.RABBITMQ]
        before = await setting.flow(15.0)
        wire.refuse()
        _compare(verdict, before, await setting.flow(for_s), "away")
        wire.pass_()
        await _drain(setting, verdict)
    return verdict


async def play_alarm(asked: Asked) -> Verdict:
    """Its memory alarm blocks whoever publishes, for 15 s, or 60. Needs a real RabbitMQ."""
    verdict, for_s = Verdict("alarm", asked.seed), 60.0 if asked.is_long else 15.0
    async with a_setting(asked, verdict) as setting:
        before = await setting.flow(15.0)
        pids = setting.stage.pids
        await _watermark(setting.stage, "absolute", "1MB")
        try:
            flow = await setting.flow(for_s)
        finally:
            await _watermark(setting.stage, "0.6")
        _compare(verdict, before, flow, "alarmed")
        await _drain(setting, verdict)
        verdict.expect("no process was restarted", setting.stage.pids == pids)
    return verdict


async def play_half_open(asked: Asked) -> Verdict:
    """It hears and is not heard, until the heartbeats notice, and until everybody has connected anew."""
    verdict, for_s = Verdict("half-open", asked.seed), 60.0 if asked.is_long else 30.0
    async with a_setting(asked, verdict) as setting:
        before = await setting.flow(15.0)
        setting.stage.wires[Wire.RABBITMQ].half_open()
        _compare(verdict, before, await setting.flow(for_s), "half_open")
        setting.stage.wires[Wire.RABBITMQ].pass_()
        await _drain(setting, verdict)
    return verdict


def _compare(verdict: Verdict, before: Flow, flow: Flow, how: str) -> None:
    limit_ms = max(before.at(0.99) * _SLOWER_AT_MOST, before.at(0.99) + _NOISE_MS)
    verdict.figures |= {
        "p50_before_ms": before.at(0.5),
        "p99_before_ms": before.at(0.99),
        f"p50_{how}_ms": flow.at(0.5),
        f"p99_{how}_ms": flow.at(0.99),
    }
    verdict.expect("no error at the API", not flow.failures, flow.failures.total())
    verdict.expect("99 % as fast as before, within a fifth", flow.at(0.99) <= limit_ms, flow.at(0.99))


async def _drain(setting: Setting, verdict: Verdict) -> None:
    """How fast the backlog goes once it is back, while as much comes in as before."""
    begun_s = time.monotonic()
    waiting = await _queued(setting.stage)
    flowing = asyncio.create_task(setting.flow(10.0))
    while (left := await _queued(setting.stage)) > PER_S and time.monotonic() < begun_s + 120:
        if flowing.done():
            flowing = asyncio.create_task(setting.flow(2.0))
        await asyncio.sleep(_LOOK_S)
    took_s = time.monotonic() - begun_s
    await flowing
    rate_per_s = (waiting - left) / took_s + PER_S
    verdict.figures |= {"backlog": waiting, "drained_after_s": round(took_s, 1)}
    is_quick = rate_per_s >= _DRAINED_AT_LEAST * PER_S or waiting <= PER_S
    verdict.expect("the backlog drains at twice the inflow", is_quick, round(rate_per_s / PER_S, 2))


async def _queued(stage: Stage) -> int:
    """Deliveries that wait to be published or worked."""
    async with connected(stage.run.database_url) as conn:
        queued: int = await conn.fetchval(
            "SELECT count(*) FROM deliveries WHERE status = $1", DeliveryStatus.QUEUED.code
        )
    return queued


async def _watermark(stage: Stage, *value: str) -> None:
    """Tell the private node how much memory is too much."""
    server, script = stage.platform.servers[Part.RABBITMQ], find_rabbitmq()
    if server.way is not Way.PRIVATE or script is None:
        raise Misconfigured("the alarm is RabbitMQ's own: no real one was found here")
    env = {**os.environ, **server.programs[-1].env}
    argv = [_control(script), "-n", env["RABBITMQ_NODENAME"], "set_vm_memory_high_watermark", *value]
    done = await asyncio.to_thread(
        subprocess.run, argv, env=env, capture_output=True, text=True, timeout=_CONTROL_WITHIN_S, check=False
    )
    if done.returncode != 0:
        raise Misconfigured(f"rabbitmqctl: {(done.stderr or done.stdout).strip()[:300]}")


def _control(script: Path) -> str:
    return str(script.with_name("rabbitmqctl"))
