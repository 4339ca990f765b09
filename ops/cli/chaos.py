"""The verb `chaos`: the platform here, on servers of its own, under faults; a verdict on what it promised."""

import asyncio
import secrets
import signal
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ops.cli.door import fail, say, settings
from ops.stack.parts import StackChoice

if TYPE_CHECKING:
    from ops.chaos.verdict import Verdict

_USUAL = "everything"


def register(app: typer.Typer) -> None:
    """Add the verb to `app`."""
    app.command()(chaos)


def chaos(
    scene: Annotated[str, typer.Argument(help="Which scene; `list` names them.")] = _USUAL,
    long: Annotated[
        bool, typer.Option("--long/--short", help="The figures of docs/guarantees.md, or those of three minutes.")
    ] = False,
    seed: Annotated[int | None, typer.Option(min=0, help="Draws the plan: the same seed, the same blows.")] = None,
    stack: Annotated[StackChoice, typer.Option(help="private: only real servers will do.")] = StackChoice.AUTO,
    as_json: Annotated[bool, typer.Option("--json", help="The line of JSON alone on standard output.")] = False,
) -> None:
    """Kill, freeze and cut a platform under load, and compare what it promised with what became of it.

    Exit code 1 when anything was lost, came from nowhere, cannot be explained or is late; 2 when it could not run.
    """
    from ops.chaos.asked import Asked  # lazy, with what follows: the client's and the servers' worlds
    from ops.chaos.scenes import SCENES

    if scene == "list":
        for name, one in SCENES.items():
            typer.echo(f"{name:<16}{one.what}")
        return
    if scene not in SCENES:
        fail(f"no scene {scene!r}: there are {', '.join(SCENES)}")
    if stack is StackChoice.URL:
        fail("--stack url: chaos kills servers, and takes only its own")
    drawn = secrets.randbelow(1_000_000) if seed is None else seed
    say(f"{scene}, seed {drawn}: {SCENES[scene].what}")
    asked = Asked(settings(), drawn, is_long=long, stack=stack, say=say)
    verdict = _run(SCENES[scene].play(asked))
    typer.echo(verdict.line())
    if not as_json:
        from rich.console import Console  # lazy: half of a `--help`

        verdict.show(Console(highlight=False, width=160))
    raise SystemExit(verdict.exit_code)


def _run(play: "Coroutine[Any, Any, Verdict]") -> "Verdict":
    """Play the scene; SIGTERM and SIGINT end it in order, and nothing of it stays."""
    caught: list[int] = []

    async def played() -> "Verdict":
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def end(number: int) -> None:
            if not caught and task is not None:
                task.cancel()
            caught.append(number)

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, end, number)
        return await play

    try:
        return asyncio.run(played())
    except asyncio.CancelledError:
        raise SystemExit(128 + (caught or [signal.SIGTERM])[0]) from None
