"""The verbs that run one role each: what production starts, and what `up` starts on one machine."""

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from ops.cli.door import settings

if TYPE_CHECKING:
    from plumbing.settings import Settings

_Word = TypeVar("_Word", bound=StrEnum)

Channels = Annotated[str, typer.Option(help="Only these, with commas: email,sms")]
Priorities = Annotated[str, typer.Option(help="Only these, with commas: critical,high,normal,low")]
Slots = Annotated[int, typer.Option(min=0, help="Provider calls in flight; 0 takes CARILLON_WORKER_SLOTS.")]


def register(app: typer.Typer) -> None:
    """Add the verbs to `app`."""
    app.command()(api)
    app.command()(door)
    app.command()(gateway)
    app.command()(worker)
    app.command()(scheduler)
    app.command()(simulated)
    app.command()(migrate)


def api() -> None:
    """Run the REST door (one role, for production)."""

    def role(settings: "Settings") -> Coroutine[Any, Any, None]:
        from api.run import run  # lazy: the role's own world

        return run(settings)

    _run("api", role)


def door() -> None:
    """Run the provider door: takes pushes as Apple's push service does (one role, for production)."""

    def role(settings: "Settings") -> Coroutine[Any, Any, None]:
        from api.apns.run import run  # lazy: the role's own world

        return run(settings)

    _run("door", role)


def gateway() -> None:
    """Run a gateway node: holds the connections of devices (one role, for production)."""

    def role(settings: "Settings") -> Coroutine[Any, Any, None]:
        from channels.push.gateway.run import run  # lazy: the role's own world

        return run(settings)

    _run("gateway", role)


def worker(channels: Channels = "", priorities: Priorities = "", slots: Slots = 0) -> None:
    """Run a worker: takes deliveries from the queues and hands them to the providers."""

    def role(settings: "Settings") -> Coroutine[Any, Any, None]:
        from domain.lanes import Channel, Priority
        from workers.run import run  # lazy: the role's own world

        return run(
            settings,
            channels=_chosen(Channel, channels, "--channels"),
            priorities=_chosen(Priority, priorities, "--priorities"),
            slots=slots or settings.worker_slots,
        )

    _run("worker", role)


def scheduler() -> None:
    """Run the scheduler: the relay, and as leader due work, sweeper, partitions and roll-ups."""

    def role(settings: "Settings") -> Coroutine[Any, Any, None]:
        from workers.schedule import run  # lazy: the role's own world

        return run(settings)

    _run("scheduler", role)


def simulated(
    smtp_port: Annotated[int, typer.Option(help="Where the mail server listens.")] = 2525,
    sms_port: Annotated[int, typer.Option(help="Where the SMS provider listens.")] = 8025,
    ledger: Annotated[Path, typer.Option(help="Where they write down what they took.")] = Path(".data/ledger.jsonl"),
) -> None:
    """Run the simulated providers: real servers on loopback whose answers the recipient scripts (local only)."""

    def role(settings: "Settings") -> Coroutine[Any, Any, None]:
        from ops.simulated.run import run  # lazy: the role's own world

        return run(settings, smtp_port=smtp_port, sms_port=sms_port, ledger=ledger, announce=_print)

    _run("simulated", role)


def migrate() -> None:
    """Bring the database of CARILLON_DATABASE_URL to the newest schema."""
    from ops.stack.database import migrate as upgrade  # lazy: asyncpg

    asyncio.run(upgrade(settings().need("database_url")))
    typer.echo("the database has the newest schema")


def _run(name: str, role: "Callable[[Settings], Coroutine[Any, Any, None]]") -> None:
    from plumbing.call_tree import offer_call_tree  # lazy, with what follows: structlog
    from plumbing.log import configure

    chosen = settings()
    configure(chosen, name)
    offer_call_tree(name, chosen.call_tree_path)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(role(chosen))


def _print(facts: dict[str, object]) -> None:
    typer.echo(json.dumps(facts))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop  # lazy: roles only

    return uvloop.new_event_loop


def _chosen(kind: type[_Word], words: str, option: str) -> tuple[_Word, ...]:
    """The members of `kind` that `words` names, with commas; all of them when it names none."""
    known = [member.value for member in kind]
    names = [word.strip() for word in words.split(",") if word.strip()]
    for name in names:
        if name not in known:
            raise typer.BadParameter(f"{name!r} is none of {', '.join(known)}", param_hint=option)
    return tuple(kind(name) for name in names or known)
