"""The verb `bench`: the figures that our documents name, measured here and now."""

import asyncio
import json
import os
import resource
import shutil
import signal
import tempfile
from collections.abc import Coroutine
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from ops.cli.door import fail, say, settings

if TYPE_CHECKING:
    from ops.bench.gateway import Figures, Plan
    from ops.bench.pushes import DoorFigures, DoorPlan
    from plumbing.settings import Settings

_T = TypeVar("_T")
_SPARE_FILES = 1000
_TOLD = {
    "CARILLON_GATEWAY_HANDSHAKES_PER_S": "4000",
    "CARILLON_KEY_LIMIT_PER_S": "1000000",
    "CARILLON_KEY_LIMIT_BURST": "1000000",
    "CARILLON_USER_LIMIT_PER_HOUR": "1000000",
    "CARILLON_USER_LIMIT_BURST": "1000000",
    "CARILLON_LOG_LEVEL": "warning",
}
"""Limits that protect a platform from strangers would be all that is measured."""


class Scenario(StrEnum):
    """What can be measured."""

    GATEWAY = "gateway"
    DOOR = "door"


def register(app: typer.Typer) -> None:
    """Add the verb to `app`."""
    app.command()(bench)


def bench(
    scenario: Annotated[Scenario, typer.Argument(help="What to measure.")] = Scenario.GATEWAY,
    devices: Annotated[int, typer.Option(min=10, help="Devices connected at once.")] = 10_000,
    frames: Annotated[int, typer.Option(min=100, help="Frames for the speed of the server alone.")] = 100_000,
    pushes: Annotated[int, typer.Option(min=100, help="Pushes through the provider door.")] = 10_000,
    as_json: Annotated[bool, typer.Option("--json", help="JSON alone on standard output.")] = False,
) -> None:
    """Measure the platform here, beside what one would take instead, in the same run."""
    from ops.bench.gateway import Plan  # lazy

    if scenario is Scenario.DOOR:
        _door(pushes, as_json=as_json)
        return
    most = _open_files() - _SPARE_FILES
    if devices > most:
        fail(f"{devices} devices need as many open files, and this machine allows {most}: raise `ulimit -Hn`")
    plan = Plan(devices=devices, frames=frames)
    sides = _run(_gateway(settings(), plan))
    if as_json:
        typer.echo(json.dumps({"plan": _document(plan), "sides": [side.document() for side in sides]}))
        return
    from rich.console import Console  # lazy

    from ops.bench.report import show

    show(Console(highlight=False, width=120), plan, sides)


def _door(pushes: int, *, as_json: bool) -> None:
    from ops.bench.platform_side import a_platform
    from ops.bench.pushes import DoorPlan, measure_door  # lazy: the client's and the servers' worlds

    plan = DoorPlan(pushes=pushes)

    async def measured(chosen: "Settings") -> "DoorFigures":
        _prepare()
        folder = Path(tempfile.mkdtemp(prefix="carillon-bench-"))
        try:
            say(f"{pushes:,} pushes on {plan.connections} connections: less than a minute")
            async with a_platform(chosen, folder) as platform:
                return await measure_door(platform, platform.run, plan, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    figures = _run(measured(settings()))
    if as_json:
        typer.echo(json.dumps({"plan": _document(plan), "figures": figures.document()}))
    else:
        typer.echo(str(figures))


async def _gateway(chosen: "Settings", plan: "Plan") -> "list[Figures]":
    from ops.bench.gateway import measure  # lazy: the client's and the servers' worlds
    from ops.bench.platform_side import a_platform
    from ops.bench.sides import a_relay

    _prepare()
    folder = Path(tempfile.mkdtemp(prefix="carillon-bench-"))
    try:
        say(f"Carillon with {plan.devices:,} devices: a minute or two")
        async with a_platform(chosen, folder) as platform:
            sides = [await measure(platform, plan)]
        for deflate in (True, False):
            async with a_relay(folder, deflate=deflate) as relay:
                say(f"{relay.name}, the same")
                sides.append(await measure(relay, plan))
        return sides
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(work: Coroutine[Any, Any, _T]) -> _T:
    with asyncio.Runner(loop_factory=_loop_factory) as runner:
        try:
            return runner.run(work)
        except asyncio.CancelledError:
            raise SystemExit(128 + signal.SIGTERM) from None


def _prepare() -> None:
    """Tell the roles that are started here what they may do, and clear up when we are asked to end."""
    os.environ.update(_TOLD)
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


def _open_files() -> int:
    """Raise the limit of open files, also for the processes that are started, as far as it goes."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _document(plan: "Plan | DoorPlan") -> dict[str, object]:
    from dataclasses import asdict  # lazy

    return asdict(plan)


def _loop_factory() -> asyncio.AbstractEventLoop:
    import uvloop  # lazy

    return uvloop.new_event_loop()
