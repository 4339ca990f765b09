"""What operators stop and let go, from the shell: holds and lanes."""

from typing import TYPE_CHECKING, Annotated

import typer

from domain.holds import HoldKind
from ops.cli.door import fail
from ops.cli.reaching import given, over_api, path_of

if TYPE_CHECKING:
    from ops.rest import Document, Rest

_OPS = "/api/v1/ops"

Why = Annotated[str, typer.Option(help="For those who come after.")]
LaneName = Annotated[str, typer.Argument(help="Such as email.high.", metavar="LANE")]


def register(app: typer.Typer) -> None:
    """Add the verbs to `app`."""
    holds = typer.Typer(help="What is held: nothing of it is begun, and nothing is lost.", no_args_is_help=True)
    holds.command("list")(over_api(list_holds))
    holds.command("add")(over_api(add_hold))
    holds.command("release")(over_api(release_hold))
    app.add_typer(holds, name="holds")
    lanes = typer.Typer(help="Lanes: a channel at a priority, such as email.high.", no_args_is_help=True)
    lanes.command("list")(over_api(list_lanes))
    lanes.command("stuck")(over_api(list_stuck))
    lanes.command("pause")(over_api(pause_lane))
    lanes.command("resume")(over_api(resume_lane))
    app.add_typer(lanes, name="lanes")
    breakers = typer.Typer(help="Breakers: what keeps work from a provider that is down.", no_args_is_help=True)
    breakers.command("list")(over_api(list_breakers))
    breakers.command("order")(over_api(order_breaker))
    app.add_typer(breakers, name="breakers")


async def list_holds(
    rest: "Rest",
    everything: Annotated[bool, typer.Option("--all", help="Those that were released, too.")] = False,
) -> None:
    """Show what is held, by whom, why, and how much waits for its release."""
    from ops.cli.shown import CONSOLE, clock, table  # lazy: rich

    page = await rest.get(f"{_OPS}/holds", state="all" if everything else "open", limit="100")
    rows = table("id", "holds", "since", "by", "waiting", "released", "why")
    for one in page["items"]:
        waiting = f"{one['waiting']['deliveries']}{'+' if one['waiting']['is_more'] else ''}"
        released = f"{clock(one['released_at'])} by {one['released_by']}" if one["released_at"] else ""
        what = f"{one['kind']} {one['subject']}"
        rows.add_row(one["id"], what, clock(one["created_at"]), one["created_by"], waiting, released, one["why"])
    CONSOLE.print(rows if page["items"] else "nothing is held")
    if page["next_cursor"]:
        CONSOLE.print("there are more: GET /api/v1/ops/holds shows them", style="dim")


async def add_hold(
    rest: "Rest",
    kind: Annotated[HoldKind, typer.Argument(help="What kind of thing.")],
    subject: Annotated[str, typer.Argument(help="Its name; a lane is written email.high.")],
    why: Why,
) -> None:
    """Hold something: from a second later on nothing of it is begun."""
    _show(await rest.post(f"{_OPS}/holds", {"kind": kind.value, "subject": subject, "why": why}))


async def release_hold(
    rest: "Rest",
    identifier: Annotated[str, typer.Argument(help="As `holds list` shows it.", metavar="ID")],
    why: Why = "",
) -> None:
    """Release a hold: what waits goes on within ten seconds, the most urgent first."""
    _show(await rest.delete(path_of(f"{_OPS}/holds", identifier), **given({"why": why})))


async def list_lanes(rest: "Rest") -> None:
    """Show every lane: what waits, how long, what is begun; and who works."""
    from ops.cli.shown import CONSOLE, table  # lazy: rich

    found = await rest.get(f"{_OPS}/overview")
    rows = table("lane", "broker", "waiting", "oldest", "last minute", "")
    for one in found["lanes"]:
        waiting = one["waiting"]
        rows.add_row(
            one["lane"],
            _or_unknown(one["broker_messages"]),
            "?" if waiting is None else f"{waiting['deliveries']}{'+' if waiting['is_more'] else ''}",
            "" if one["oldest_s"] is None else f"{one['oldest_s']:.0f} s",
            _or_unknown(one["begun_last_minute"]),
            "paused" if one["is_paused"] else "",
        )
    CONSOLE.print(rows)
    if found["roles"] is not None:
        alive = [one["role"] for one in found["roles"] if one["is_alive"]]
        CONSOLE.print(f"{alive.count('worker')} workers, {alive.count('scheduler')} schedulers are alive", style="dim")
    if found["unknown"]:
        CONSOLE.print(f"unknown, for there was no answer: {', '.join(found['unknown'])}", style="yellow")


async def list_stuck(rest: "Rest") -> None:
    """Show what is late, and what the platform does about it by itself."""
    from ops.cli.shown import CONSOLE, clock  # lazy: rich

    found = await rest.get(f"{_OPS}/stuck")
    for one in found["items"]:
        what = one["delivery_id"] or f"{one['count']} messages"
        since = f" since {clock(one['since'])}" if one["since"] else ""
        when = f" (at {clock(one['will_at'])})" if one["will_at"] else ""
        CONSOLE.print(f"{one['lane']} {one['kind']}: {what}{since}; {one['will']}{when}", soft_wrap=True)
    if not found["items"]:
        CONSOLE.print("nothing is stuck")
    if found["unknown"]:
        CONSOLE.print(f"unknown, for there was no answer: {', '.join(found['unknown'])}", style="yellow")


async def list_breakers(rest: "Rest") -> None:
    """Show every breaker: what was ordered, and how it stands in each worker."""
    from ops.cli.shown import CONSOLE, table  # lazy: rich

    found = await rest.get(f"{_OPS}/breakers")
    rows = table("provider", "ordered", "worker", "state", "why")
    for one in found["items"]:
        rows.add_row(one["provider"], one["ordered"], "", "", one["order"]["why"] if one["order"] else "")
        for worker in one["workers"]:
            rows.add_row("", "", worker["worker"], worker["state"])
    CONSOLE.print(rows)


async def order_breaker(
    rest: "Rest",
    provider: Annotated[str, typer.Argument(help="As `breakers list` shows it.")],
    state: Annotated[str, typer.Argument(help="open, closed, or auto: each worker judges.")],
    why: Why,
) -> None:
    """Force a breaker open or closed in all workers, or let it judge again."""
    from ops.cli.shown import CONSOLE  # lazy: rich

    told = await rest.post(path_of(f"{_OPS}/breakers", provider), {"state": state, "why": why})
    CONSOLE.print(f"{provider}: {told['ordered']}, in {len(told['workers'])} workers within a second")


async def pause_lane(rest: "Rest", lane: LaneName, why: Why) -> None:
    """Pause a lane."""
    await _turn(rest, lane, "pause", why)


async def resume_lane(rest: "Rest", lane: LaneName, why: Why) -> None:
    """Let a paused lane go on."""
    await _turn(rest, lane, "resume", why)


def _or_unknown(count: int | None) -> str:
    return "?" if count is None else str(count)


async def _turn(rest: "Rest", lane: str, verb: str, why: str) -> None:
    from domain.lanes import Lane  # lazy
    from ops.cli.shown import CONSOLE  # lazy: rich

    try:
        channel, priority = Lane.parse(lane)
    except ValueError:
        fail(f"{lane!r} is no lane: they are written email.high")
    told = await rest.post(f"{_OPS}/lanes/{channel}/{priority}/{verb}", {"why": why})
    if told["hold"] is None:
        CONSOLE.print(f"{lane} was not paused")
    else:
        _show(told["hold"])


def _show(hold: "Document") -> None:
    from ops.cli.shown import CONSOLE, clock  # lazy: rich

    what = f"hold {hold['id']} of {hold['kind']} {hold['subject']}"
    if hold["released_at"]:
        CONSOLE.print(f"{what} was released {clock(hold['released_at'])} by {hold['released_by']}", soft_wrap=True)
    else:
        CONSOLE.print(f"{what}, since {clock(hold['created_at'])} by {hold['created_by']}", soft_wrap=True)
