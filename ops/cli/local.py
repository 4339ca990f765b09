"""The verbs of one machine: `up`, and looking after what it runs."""

import asyncio
import os
import signal
import time
from typing import TYPE_CHECKING, Annotated

import typer

from ops.cli.door import fail, say, settings
from ops.stack.parts import Part, StackChoice

if TYPE_CHECKING:
    from ops.stack.home import Home, Run
    from ops.stack.platform import Platform

_RESTART_WITHIN_S = 40.0
_FOLLOW_S = 0.2
_TAIL_BYTES = 16_384

Stack = Annotated[StackChoice, typer.Option(help="Where PostgreSQL, Redis and RabbitMQ come from.")]
Port = Annotated[int | None, typer.Option(min=1, max=65535, help="Of the REST API; 8000, or a free one.")]


def register(app: typer.Typer) -> None:
    """Add the verbs to `app`."""
    app.command()(up)
    app.command()(ps)
    app.command()(logs)
    app.command()(restart)


def up(stack: Stack = StackChoice.AUTO, port: Port = None) -> None:
    """Run the whole platform on this machine until Ctrl-C; data stays in .data."""
    raise SystemExit(asyncio.run(_up(stack, port)))


def ps() -> None:
    """Show what runs here: name, pid, age."""
    run = _need_run()
    from ops.stack.home import start_time  # lazy

    for name, pid in run.pids.items():
        started_at = start_time(pid)
        age = f"{time.time() - started_at:.0f} s" if started_at else "gone"
        typer.echo(f"{name:<14} {pid:>8}  {age}")
    for name, url in (("api", run.api_url), ("gateway", run.gateway_url), ("provider", run.provider_url)):
        if url:
            typer.echo(f"{name:<14} {url}")


def logs(
    role: Annotated[str, typer.Argument(help="As `ps` names it: api-1, worker-1, postgres…; all when left out.")] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
) -> None:
    """Show the last lines of the logs."""
    from ops.stack.logs import Follower  # lazy

    folder = _home().logs
    names = sorted(path.stem for path in folder.glob("*.log")) if folder.is_dir() else []
    wanted = [name for name in names if role in ("", name, name.rpartition("-")[0])]
    if not wanted:
        fail(f"no log of {role or 'anything'} in {folder}" + (f": there are {', '.join(names)}" if names else ""))
    followers = {name: Follower(folder / f"{name}.log", _TAIL_BYTES) for name in wanted}
    while True:
        for name, follower in followers.items():
            for line in follower.read():
                typer.echo(f"{name}: {line}" if len(wanted) > 1 else line)
        if not follow:
            return
        time.sleep(_FOLLOW_S)


def restart(role: Annotated[str, typer.Argument(help="As `ps` names it: api-1, worker-1, redis…")]) -> None:
    """Stop one role or server cleanly; `up` starts it again at once."""
    run = _need_run()
    names = [name for name in run.pids if role in (name, name.rpartition("-")[0]) and name != "up"]
    if not names:
        fail(f"nothing called {role!r} runs here: `carillon ps` shows what does")
    for name in names:
        stop = signal.SIGINT if name == "postgres" else signal.SIGTERM
        os.kill(run.pids[name], stop)
        typer.echo(f"{name} runs again with pid {_await_new_pid(name, run.pids[name])}")


async def _up(stack: StackChoice, port: int | None) -> int:
    from ops.stack.platform import AlreadyRunning, running  # lazy

    began = time.monotonic()
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()

    def stop() -> None:
        if not stopping.is_set() and task is not None:
            stopping.set()
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop)
    try:
        async with running(settings(), choice=stack, port=port, say=say) as platform:
            _show(platform, time.monotonic() - began)
            await loop.create_future()  # until a signal cancels it
    except AlreadyRunning as error:
        where = f" at {error.run.api_url} (pid {error.run.pids['up']})" if error.run else " and is still starting"
        say(f"another `carillon up` runs here already{where}; `carillon ps` shows it")
        return 1
    except asyncio.CancelledError:
        if not stopping.is_set():
            raise
        say("stopped; the data stays")
    return 0


def _show(platform: "Platform", took_s: float) -> None:
    from ops.stack.platform import CERTIFICATES  # lazy
    from ops.stack.seed import BUNDLE  # lazy

    run = platform.run
    assert run is not None  # noqa: S101  # `running` yields only when everything is healthy
    parts = " · ".join(f"{server.about} ({server.way})" for server in (platform.servers[part] for part in Part))
    authority = platform.home.folder / CERTIFICATES / "door-ca.pem"
    lines = [
        f"carillon is up after {took_s:.1f} s, on {parts}",
        f"  API        {run.api_url}   (described at {run.api_url}/openapi.json)",
        f"  devices    {run.gateway_url}   (app key {run.app_key})",
        f"  a device   {run.api_url}/client/#app={BUNDLE}&app_key={run.app_key}   (open it in a browser)",
        f"  provider   {run.provider_url}   (for APNs clients; trust {authority})",
        f"  key        {run.api_key}",
        f"  test key   {run.test_key}",
    ]
    if run.simulated:
        lines.append(f"  providers  simulated: {run.simulated['smtp_url']}, {run.simulated['sms_url']}")
        lines.append(f"  ledger     {run.simulated['ledger']}")
    lines += [
        "Try it:",
        f"  curl -sS {run.api_url}/api/v1/notifications -H 'Authorization: Bearer {run.api_key}' \\",
        "    -H 'Content-Type: application/json' \\",
        '    -d \'{"to": "user-42", "content": {"title": "Hello", "body": "It works."}}\'',
        "Ctrl-C stops everything.",
    ]
    typer.echo("\n".join(lines))


def _home() -> "Home":
    from ops.stack.home import Home  # lazy

    return Home(settings().data_path.absolute())


def _need_run() -> "Run":
    home = _home()
    run = home.read_run()
    if run is None:
        fail(f"nothing runs here (looked in {home.run_file}): `carillon up` starts it")
    return run


def _await_new_pid(name: str, old: int) -> int:
    deadline = time.monotonic() + _RESTART_WITHIN_S
    pid = old
    while pid == old:
        if time.monotonic() > deadline:
            fail(f"{name} has not come back within {_RESTART_WITHIN_S:.0f} s: see `carillon logs {name}`", code=1)
        time.sleep(_FOLLOW_S)
        pid = _need_run().pids.get(name, old)
    return pid
