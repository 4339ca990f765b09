"""The verb `bench`: the figures that our documents name, measured here and now."""

import asyncio
import json
import os
import resource
import shutil
import signal
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ops.bench.asked import COMPARABLE, PROFILED, ROLES, SENDING, STACKS, Asked, Scenario
from ops.cli.door import fail, say, settings
from ops.stack.parts import StackChoice

if TYPE_CHECKING:
    from ops.bench.result import Result
    from plumbing.settings import Settings

_SPARE_FILES = 1000
_TOLD = {
    "CARILLON_GATEWAY_HANDSHAKES_PER_S": "4000",
    "CARILLON_KEY_LIMIT_PER_S": "1000000",
    "CARILLON_KEY_LIMIT_BURST": "1000000",
    "CARILLON_USER_LIMIT_PER_HOUR": "1000000",
    "CARILLON_USER_LIMIT_BURST": "1000000",
    "CARILLON_SMTP_MAX_PER_S": "1000000",
    "CARILLON_LOG_LEVEL": "warning",
}
"""Limits that protect a platform from strangers would be all that is measured."""


def register(app: typer.Typer) -> None:
    """Add the verb to `app`."""
    app.command()(bench)


def bench(
    scenario: Annotated[Scenario, typer.Argument(help="What to measure.")] = Scenario.SINGLE,
    count: Annotated[
        int | None, typer.Option(min=1, max=500_000, help="How many: all but latency and gateway.")
    ] = None,
    connections: Annotated[int | None, typer.Option(min=1, max=1000, help="At the API: single, bulk, latency.")] = None,
    devices: Annotated[int | None, typer.Option(min=10, help="Devices connected at once.")] = None,
    rate: Annotated[list[float] | None, typer.Option(min=1, help="Per second, once or more: latency.")] = None,
    seconds: Annotated[
        float, typer.Option(min=0.1, max=600, help="For each rate: latency. For each turn: --compare.")
    ] = 10.0,
    within: Annotated[float, typer.Option(min=1, max=3600, help="Deadline of each phase, in seconds.")] = 60.0,
    frames: Annotated[int, typer.Option(min=100, help="Frames for the speed of the server alone: gateway.")] = 100_000,
    rows: Annotated[
        int | None, typer.Option(min=1, help="Notifications that are there before: read, single, bulk, latency.")
    ] = None,
    envelope: Annotated[int, typer.Option(min=1, max=500, help="Deliveries that wait together: backlog.")] = 500,
    profile: Annotated[bool, typer.Option(help="Processor time per notification and role.")] = False,
    call_tree: Annotated[str | None, typer.Option(help=f"Write the calls of a role: {', '.join(ROLES)}.")] = None,
    compare: Annotated[bool, typer.Option(help="Beside what others build, in turn: single, bulk.")] = False,
    rounds: Annotated[int, typer.Option(min=1, max=20, help="Turns of each side: --compare, email.")] = 3,
    stack: Annotated[
        StackChoice, typer.Option(help="Where PostgreSQL, Redis and RabbitMQ come from: single, bulk, latency.")
    ] = StackChoice.AUTO,
    as_json: Annotated[bool, typer.Option("--json", help="JSON alone on standard output.")] = False,
) -> None:
    """Measure the platform here, on servers of its own; a run whose ledgers do not agree ends with code 2."""
    asked = Asked(
        scenario,
        count=count,
        connections=connections,
        devices=devices,
        rates=tuple(rate or Asked(scenario).rates),
        seconds=seconds,
        within_s=within,
        frames=frames,
        rows=rows,
        envelope=envelope,
        with_profile=profile,
        call_tree_of=call_tree,
        is_compared=compare,
        rounds=rounds,
        stack=stack,
    )
    _refuse_impossible(asked)
    result = _run(settings(), asked)
    if as_json:
        typer.echo(json.dumps(result.document(), allow_nan=False))
        return
    from rich.console import Console  # lazy: half of a `--help`

    console = Console(highlight=False, width=120)
    result.show(console)
    console.print("\n" + ", ".join(f"{name} {version}" for name, version in result.versions.items()), style="dim")


def _refuse_impossible(asked: Asked) -> None:
    if asked.call_tree_of is not None and asked.call_tree_of not in ROLES:
        fail(f"--call-tree {asked.call_tree_of}: one of {', '.join(ROLES)}")
    if asked.is_compared and asked.scenario not in COMPARABLE:
        fail(f"--compare: the peers can do {' and '.join(COMPARABLE)}, not {asked.scenario}")
    if asked.with_profile and (asked.scenario not in PROFILED or asked.is_compared):
        fail(f"--profile goes with {', '.join(PROFILED)}, and not with --compare")
    if asked.call_tree_of is not None and (asked.scenario not in SENDING or asked.is_compared):
        fail(f"--call-tree goes with {', '.join(SENDING)}, and not with --compare")
    if asked.stack not in STACKS or (asked.stack is not StackChoice.AUTO and asked.scenario not in SENDING):
        fail(f"--stack: one of {', '.join(STACKS)}, with {', '.join(SENDING)}; a benchmark has servers of its own")
    if asked.stack is not StackChoice.AUTO and asked.is_compared:
        fail("--stack does not go with --compare: the peers know real servers only")
    most = _open_files() - _SPARE_FILES
    if asked.devices is not None and asked.devices > most:
        fail(f"{asked.devices} devices need as many open files, and this machine allows {most}: raise `ulimit -Hn`")


def _run(chosen: "Settings", asked: Asked) -> "Result":
    """Measure in a folder that is gone afterwards, however it ends; SIGTERM and SIGINT end it in order."""
    caught: list[int] = []

    async def measured() -> "Result":
        from ops.bench.scenarios import SCENARIOS  # lazy: the client's and the servers' worlds

        _prepare(caught)
        folder = Path(tempfile.mkdtemp(prefix="carillon-bench-"))
        try:
            return await SCENARIOS[asked.scenario](asked, chosen, folder, say)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    with asyncio.Runner(loop_factory=_loop_factory) as runner:
        try:
            return runner.run(measured())
        except asyncio.CancelledError:
            raise SystemExit(128 + (caught or [signal.SIGTERM])[0]) from None


def _prepare(caught: list[int] | None = None) -> None:
    """Tell the roles that are started here what they may do, and clear up when we are asked to end."""
    os.environ.update(_TOLD)
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def end(number: int) -> None:
        for again in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(again, lambda: None)  # once is enough: what follows is the clearing up
        if caught is not None:
            caught.append(number)
        if task is not None:
            task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end, number)


def _open_files() -> int:
    """Raise the limit of open files, also for the processes that are started, as far as it goes."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _loop_factory() -> asyncio.AbstractEventLoop:
    import uvloop  # lazy: only whoever measures

    return uvloop.new_event_loop()
