"""The dead-letter bench from the shell: letters listed, shown, edited, replayed and discarded, over the API."""

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ops.cli.door import fail
from ops.cli.reaching import AsJson, given, over_api, path_of, print_json

if TYPE_CHECKING:
    from ops.rest import Rest

PATH = "/api/v1/dead-letters"
ASK_FROM = 100
"""More letters than that are touched only after a yes."""

_FOLLOW_S = 1.0
_FOLLOW_AT_MOST_S = 3600.0

Yes = Annotated[bool, typer.Option("--yes", help=f"Do not ask, however many: more than {ASK_FROM} are asked about.")]
Why = Annotated[str, typer.Option(help="For the trail.")]


@dataclass(frozen=True, slots=True)
class Kind:
    """Letters of one kind."""

    channel: Annotated[str, typer.Option(help="Only of this channel.")] = ""
    reason: Annotated[str, typer.Option(help="Only of this reason, such as template_missing_variable.")] = ""
    since: Annotated[str, typer.Option(help="Died from then on: 2027-01-31T09:00:00Z.")] = ""


@dataclass(frozen=True, slots=True)
class Cause(Kind):
    """Letters of one cause."""

    cluster: Annotated[str, typer.Option(help="Only of this cause, as `clusters` names it.")] = ""


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which letters are meant: these, or those of one cause, or all; nothing is meant by leaving everything out."""

    identifiers: Annotated[list[str] | None, typer.Argument(help="Ids of letters.", metavar="[ID]...")] = None
    every: Annotated[bool, typer.Option("--all", help="Every open letter.")] = False

    def among(self, cause: Cause) -> dict[str, Any]:
        """What the request says of them: ids, or a filter. BadParameter unless one of the three was given."""
        wanted = given(asdict(cause))
        if sum((bool(self.identifiers), bool(wanted), self.every)) != 1:
            raise typer.BadParameter("give ids, or options such as --cluster, or --all: one of the three")
        return {"ids": self.identifiers} if self.identifiers else {"filter": wanted}


def register(app: typer.Typer) -> None:
    """Add the verbs to `app`."""
    letters = typer.Typer(help="What nobody will send again by itself: look, repair, settle.", no_args_is_help=True)
    letters.command("list")(over_api(list_letters))
    letters.command("show")(over_api(show))
    letters.command("clusters")(over_api(clusters))
    letters.command("edit")(over_api(edit))
    letters.command("replay")(over_api(replay))
    letters.command("discard")(over_api(discard))
    app.add_typer(letters, name="dead-letters")


async def list_letters(
    rest: "Rest",
    cause: Cause,
    state: Annotated[str, typer.Option(help="open, settled or all.")] = "open",
    limit: Annotated[int, typer.Option(min=1, max=100)] = 50,
    cursor: Annotated[str, typer.Option(help="Where the last page ended.")] = "",
    as_json: AsJson = False,
) -> None:
    """List letters, the last that died first."""
    from ops.cli.shown_letters import show_letters  # lazy: rich

    query = given(asdict(cause) | {"cursor": cursor, "state": state, "limit": str(limit)})
    found = await rest.get(PATH, **query)
    print_json(found) if as_json else show_letters(found)


async def show(
    rest: "Rest",
    identifier: Annotated[str, typer.Argument(help="The letter's id.", metavar="ID")],
    reveal: Annotated[bool, typer.Option("--reveal", help="With people's data; it is noted in the trail.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show one letter with its whole story."""
    from ops.cli.shown_letters import show_letter  # lazy: rich

    found = await rest.get(path_of(PATH, identifier), **({"reveal": "true"} if reveal else {}))
    print_json(found) if as_json else show_letter(found)


async def clusters(rest: "Rest", kind: Kind, as_json: AsJson = False) -> None:
    """Show open letters by cause: how many, since when, how fast, how many people."""
    from ops.cli.shown_letters import show_clusters  # lazy: rich

    found = await rest.get(f"{PATH}/clusters", **given(asdict(kind)))
    print_json(found) if as_json else show_clusters(found)


async def edit(
    rest: "Rest",
    chosen: Chosen,
    cause: Cause,
    data: Annotated[list[str] | None, typer.Option(help="key=value, or a JSON object; may be repeated.")] = None,
    content: Annotated[str, typer.Option(help="Words as a JSON object, in place of those of the request.")] = "",
    expires_at: Annotated[str, typer.Option(help="Give it time until then.")] = "",
    why: Why = "",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Edit what a replay sends; the original is kept."""
    from ops.cli.shown_letters import show_edited  # lazy: rich
    from ops.cli.words import json_object, template_data  # lazy: json

    wish: dict[str, Any] = {"data": template_data(data or []), "expires_at": expires_at, "why": why}
    wish |= {"content": json_object(content, "--content") if content else None}
    letters = chosen.among(cause)
    await _confirm(rest, letters, "edit", is_sure=yes)
    found = await rest.patch(PATH, letters | {"set": {name: value for name, value in wish.items() if value}})
    print_json(found) if as_json else show_edited(found)


async def replay(
    rest: "Rest",
    chosen: Chosen,
    cause: Cause,
    canary: Annotated[int, typer.Option(min=1, max=100, help="So many first; then ten; then the rest.")] = 1,
    rate_per_s: Annotated[int, typer.Option(min=1, max=500, help="Of the rest.")] = 50,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count only, and why others would not go.")] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Follow it to its end.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Send letters again, a few first; it stops by itself when one of those fails again."""
    from ops.cli.shown_letters import show_replay  # lazy: rich

    letters = chosen.among(cause)
    if not dry_run:
        await _confirm(rest, letters, "replay", is_sure=yes)
    body = letters | {"canary": canary, "rate_per_s": rate_per_s, "dry_run": dry_run}
    found = await rest.post(f"{PATH}/replay", body)
    if watch and not dry_run:
        found = await _follow(rest, found)
    print_json(found) if as_json else show_replay(found)
    if found["status"] == "stopped":
        raise SystemExit(1)


async def discard(
    rest: "Rest",
    why: Why,
    chosen: Chosen,
    cause: Cause,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Settle letters that nobody will send again."""
    from ops.cli.shown_letters import show_discarded  # lazy: rich

    letters = chosen.among(cause)
    await _confirm(rest, letters, "discard", is_sure=yes)
    total = {"discarded": 0, "already_settled": 0, "is_complete": False}
    while not total["is_complete"]:
        found = await rest.post(f"{PATH}/discard", letters | {"why": why})
        total = {name: total[name] + found[name] for name in ("discarded", "already_settled")} | {
            "is_complete": found["is_complete"]
        }
    print_json(total) if as_json else show_discarded(total)


async def _confirm(rest: "Rest", chosen: dict[str, Any], verb: str, *, is_sure: bool) -> None:
    """Ask before more than a hundred letters are touched."""
    if is_sure:
        return
    number = len(chosen["ids"]) if "ids" in chosen else None
    if number is None:
        dry = await rest.post(f"{PATH}/replay", chosen | {"dry_run": True})
        number = dry["matched"]
    if number > ASK_FROM and not typer.confirm(f"{verb} {number:,} letters?", err=True):
        fail("nothing was done", code=1)


async def _follow(rest: "Rest", run: dict[str, Any]) -> dict[str, Any]:
    import asyncio  # lazy

    deadline = time.monotonic() + _FOLLOW_AT_MOST_S
    while not run["is_complete"] and time.monotonic() < deadline:
        await asyncio.sleep(_FOLLOW_S)
        run = await rest.get(f"{PATH}/replays/{run['id']}")
    return run
