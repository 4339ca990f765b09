"""Every scenario of `carillon bench`: from what was asked for to a result. A new one is a function and a line below."""

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from rich.console import Console

from ops.bench.asked import Asked, Scenario
from ops.bench.backlog import BacklogPlan, measure_backlog, show_backlog
from ops.bench.beside import compared, email, lanes
from ops.bench.filler import fill
from ops.bench.gateway import Plan, measure
from ops.bench.peer import Wish
from ops.bench.platform_side import a_platform
from ops.bench.pushes import DoorPlan, measure_door
from ops.bench.read import ReadPlan, measure_read, show_read
from ops.bench.rendering import RenderPlan, measure_render, show_render
from ops.bench.report import show as show_gateway
from ops.bench.result import Result
from ops.bench.sending import SendPlan, measure_sending
from ops.bench.sides import a_relay
from ops.bench.tables import show_profile, show_sending, written
from ops.bench.versions import libraries, versions_of
from plumbing.settings import Settings

Say = Callable[[str], None]
BULK = 1000
"""Notifications in one bulk request: as many as the door takes."""


async def _single(asked: Asked, settings: Settings, folder: Path, say: Say) -> Result:
    if asked.is_compared:
        wish = Wish(asked.count or 50_000, asked.connections or 64, within_s=asked.seconds)
        return await compared(asked, wish, settings, folder, say)
    wish = Wish(asked.count or 20_000, asked.connections or 64, within_s=asked.within_s)
    return await _send(asked, {"single": wish}, settings, folder, say)


async def _bulk(asked: Asked, settings: Settings, folder: Path, say: Say) -> Result:
    if asked.is_compared:
        wish = Wish(asked.count or 150_000, asked.connections or 4, BULK, within_s=asked.seconds)
        return await compared(asked, wish, settings, folder, say)
    wish = Wish(asked.count or 50_000, asked.connections or 4, BULK, within_s=asked.within_s)
    return await _send(asked, {"bulk": wish}, settings, folder, say)


async def _latency(asked: Asked, settings: Settings, folder: Path, say: Say) -> Result:
    phases = {
        f"{per_s:g}/s": Wish(
            max(1, int(per_s * asked.seconds)), asked.connections or 64, per_s=per_s, within_s=asked.within_s
        )
        for per_s in asked.rates
    }
    return await _send(asked, phases, settings, folder, say)


async def _send(asked: Asked, phases: dict[str, Wish], settings: Settings, folder: Path, say: Say) -> Result:
    plan = SendPlan(
        phases,
        devices=asked.devices or 1000,
        settle_s=asked.within_s,
        stack=asked.stack,
        rows=asked.rows or 0,
        with_profile=asked.with_profile,
        call_tree_of=asked.call_tree_of,
    )
    figures = await measure_sending(settings, plan, folder, say)
    if asked.call_tree_of:
        for path in written(figures, asked.call_tree_of, settings.data_path):
            say(f"the calls of {asked.call_tree_of} stand in {path}")
    shown = {"phases": figures.phases, "idle_ms": figures.idle_ms}
    return Result(asked.scenario, plan, figures.versions, shown, partial(show_sending, figures=figures))


async def _render(asked: Asked, settings: Settings, folder: Path, say: Say) -> Result:
    plan = RenderPlan(seconds=min(asked.seconds, 2.0))
    say("every shipped message on every channel: about a minute")
    async with a_platform(settings, folder) as platform:
        made = await measure_render(platform.run, plan)
    return Result(asked.scenario, plan, libraries("jinja2", "msgspec"), made, partial(show_render, made=made))


async def _read(asked: Asked, settings: Settings, folder: Path, say: Say) -> Result:
    plan = ReadPlan(rows=asked.rows or 5_000_000, asked=asked.count or 200)
    say(f"{plan.rows:,} notifications of 60 days are made first: minutes for millions")
    async with a_platform(settings, folder) as platform:
        filled = await fill(platform.run.database_url, notifications=plan.rows, say=say)
        figures = await measure_read(platform.run, filled, plan)
        versions = await versions_of(platform.run)
    return Result(asked.scenario, plan, versions, figures, partial(show_read, figures=figures))


async def _backlog(asked: Asked, settings: Settings, folder: Path, say: Say) -> Result:
    plan = BacklogPlan(
        waiting=asked.count or 1_000_000,
        per_envelope=asked.envelope,
        devices=asked.devices or 1000,
        work_s=asked.seconds,
    )
    say(f"{plan.waiting:,} deliveries are made first: minutes for millions")
    async with a_platform(settings, folder) as platform:
        versions = await versions_of(platform.run)
        figures = await measure_backlog(platform, plan, say)
    return Result(asked.scenario, plan, versions, figures, partial(show_backlog, plan=plan, figures=figures))


async def _door(asked: Asked, settings: Settings, folder: Path, say: Say) -> Result:
    plan = DoorPlan(pushes=asked.count or 10_000, devices=asked.devices or 1000, with_profile=asked.with_profile)
    say(f"{plan.pushes:,} pushes on {plan.connections} connections: about a minute")
    async with a_platform(settings, folder) as platform:
        versions = {**await versions_of(platform.run), **libraries("granian")}
        figures = await measure_door(platform, platform.run, plan, folder)

    def show(console: Console) -> None:
        console.print(str(figures))
        if figures.cpu_us:
            show_profile(console, {"door": figures.cpu_us}, {})

    return Result(asked.scenario, plan, versions, figures, show)


async def _gateway(asked: Asked, settings: Settings, folder: Path, say: Say) -> Result:
    plan = Plan(devices=asked.devices or 10_000, frames=asked.frames)
    say(f"Carillon with {plan.devices:,} devices: a minute or two")
    async with a_platform(settings, folder) as platform:
        versions = {**await versions_of(platform.run), **libraries("picows", "uvloop", "uvicorn", "websockets")}
        sides = [await measure(platform, plan)]
    for deflate in (True, False):
        async with a_relay(folder, deflate=deflate) as relay:
            say(f"{relay.name}, the same")
            sides.append(await measure(relay, plan))
    return Result(asked.scenario, plan, versions, sides, partial(show_gateway, plan=plan, sides=sides))


SCENARIOS: dict[Scenario, Callable[[Asked, Settings, Path, Say], Awaitable[Result]]] = {
    Scenario.SINGLE: _single,
    Scenario.BULK: _bulk,
    Scenario.LATENCY: _latency,
    Scenario.RENDER: _render,
    Scenario.READ: _read,
    Scenario.BACKLOG: _backlog,
    Scenario.GATEWAY: _gateway,
    Scenario.DOOR: _door,
    Scenario.LANES: lanes,
    Scenario.EMAIL: email,
}
