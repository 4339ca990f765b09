"""The verb `demo`: the whole platform, and its main job before your eyes."""

import asyncio
import secrets
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from ops.cli.door import fail, say, settings
from ops.cli.local import Port, Stack
from ops.stack.parts import Part, StackChoice

if TYPE_CHECKING:
    from pathlib import Path

    from ops.stack.home import Run
    from plumbing.settings import Settings

EXIT_DISAGREE = 1


def register(app: typer.Typer) -> None:
    """Add the verb to `app`."""
    app.command()(demo)


def demo(
    once: Annotated[
        bool, typer.Option("--once", help="End when it is shown; exit 0 only if all went as it must.")
    ] = False,
    stack: Stack = StackChoice.AUTO,
    port: Port = None,
) -> None:
    """Start everything and watch real notifications travel over email, SMS and push."""
    raise SystemExit(asyncio.run(_demo(settings(), once=once, stack=stack, port=port)))


async def _demo(chosen: "Settings", *, once: bool, stack: StackChoice, port: int | None) -> int:
    if chosen.smtp_url is not None or chosen.sms_url is not None:
        fail(
            "the demo writes to made-up people and shows what simulated providers took: "
            "unset CARILLON_SMTP_URL and CARILLON_SMS_URL (environment and .env) for it"
        )
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()
    stopped: list[int] = []

    def stop(number: int) -> None:
        if not stopped and task is not None:
            stopped.append(number)
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop, number)
    agrees: bool | None = None
    try:
        async with _platform(chosen, stack=stack, port=port) as run:
            agrees = await _perform(run, _authority(chosen))
            if not once:
                _invite(run)
                await loop.create_future()  # until a signal cancels it
    except asyncio.CancelledError:
        if not stopped:
            raise
        say("stopped; the data stays")
        if agrees is None:
            return 128 + stopped[0]
    return 0 if agrees else EXIT_DISAGREE


@asynccontextmanager
async def _platform(chosen: "Settings", *, stack: StackChoice, port: int | None) -> "AsyncIterator[Run]":
    """What runs here already, else everything started for as long as the context lasts."""
    from ops.stack.platform import AlreadyRunning, running  # lazy: pydantic, asyncpg

    began = time.monotonic()
    say("starting PostgreSQL, Redis, RabbitMQ, the providers and the roles; the first time takes a little longer")
    try:
        async with running(chosen, choice=stack, port=port, say=say) as platform:
            if platform.run is None:
                raise RuntimeError("`running` opens only when everything is healthy")
            parts = " · ".join(f"{platform.servers[part].about} ({platform.servers[part].way})" for part in Part)
            say(f"up after {time.monotonic() - began:.1f} s, on {parts}")
            yield platform.run
    except AlreadyRunning as error:
        if error.run is None:
            fail("another `carillon up` is still starting here; try again in a moment", code=1)
        say(f"using what runs here already, {error.run.api_url} (pid {error.run.pids['up']})")
        yield error.run


def _authority(chosen: "Settings") -> "Path | None":
    """Who signed the provider door's certificate; None for one that was given."""
    from ops.stack.platform import CERTIFICATES  # lazy

    return None if chosen.door_certificate else chosen.data_path.absolute() / CERTIFICATES / "door-ca.pem"


async def _perform(run: "Run", authority: "Path | None") -> bool:
    """Play the scenes, compare them with the ledger and with what the device showed; whether all went as it must."""
    from pathlib import Path  # lazy, with what follows: `--help` must stay quick

    from ops.demo.phone import a_phone
    from ops.demo.play import invite, play
    from ops.demo.proof import compare
    from ops.demo.scenes import OWNER, person
    from ops.demo.stage import Stage
    from ops.rest import open_rest
    from ops.simulated.ledger import LedgerReader

    if run.simulated is None:
        fail("what runs here has real providers, and the demo writes to made-up people: stop it first")
    name = secrets.token_hex(3)
    async with open_rest(run.api_url, run.api_key) as rest:
        await invite(rest, name)
        async with a_phone(rest, run, person(OWNER, name), authority=authority) as phone:
            with Stage() as stage:
                acts = await play(rest, name, phone=phone, on_change=stage.show)
            shown = [each.id for each in phone.device.shown]
        proof = compare(acts, LedgerReader.read(Path(run.simulated["ledger"])), shown, name)
        stage.conclude(acts, proof)
    return not proof.faults and not any(act.faults(acts) for act in acts)


def _invite(run: "Run") -> None:
    """What one can do now."""
    typer.echo(
        f"\nIt stays up at {run.api_url} until Ctrl-C. In another terminal:\n"
        '  ./carillon send --to user-42 --title Hello --body "It works." --watch\n'
        f"  curl -sS {run.api_url}/api/v1/notifications -H 'Authorization: Bearer {run.api_key}' \\\n"
        '    -H \'Content-Type: application/json\' -d \'{"to": "user-42", "content": {"title": "Hi", "body": "You."}}\''
    )
