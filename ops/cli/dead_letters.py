"""The dead-letter bench from the shell: letters listed, shown, edited, replayed and discarded, over the API."""

import json
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ops.cli.door import fail
from ops.cli.reaching import Key, Url, with_api

if TYPE_CHECKING:
    from ops.rest import Rest

PATH = "/api/v1/dead-letters"
ASK_FROM = 100
"""More letters than that are touched only after a yes."""

_FOLLOW_S = 1.0
_FOLLOW_AT_MOST_S = 3600.0

Ids = Annotated[list[str] | None, typer.Argument(help="Ids of letters.", metavar="[ID]...")]
Channel = Annotated[str, typer.Option(help="Only of this channel.")]
Reason = Annotated[str, typer.Option(help="Only of this reason, such as template_missing_variable.")]
Cluster = Annotated[str, typer.Option(help="Only of this cause, as `clusters` names it.")]
Since = Annotated[str, typer.Option(help="Died from then on: 2027-01-31T09:00:00Z.")]
All = Annotated[bool, typer.Option("--all", help="Every open letter.")]
AsJson = Annotated[bool, typer.Option("--json", help="As the API tells it.")]
Yes = Annotated[bool, typer.Option("--yes", help=f"Do not ask, however many: more than {ASK_FROM} are asked about.")]
Why = Annotated[str, typer.Option(help="For the trail.")]


def register(app: typer.Typer) -> None:
    """Add the verbs to `app`."""
    letters = typer.Typer(help="What nobody will send again by itself: look, repair, settle.", no_args_is_help=True)
    letters.command("list")(list_letters)
    letters.command("show")(show)
    letters.command("clusters")(clusters)
    letters.command("edit")(edit)
    letters.command("replay")(replay)
    letters.command("discard")(discard)
    app.add_typer(letters, name="dead-letters")


def list_letters(
    channel: Channel = "",
    reason: Reason = "",
    cluster: Cluster = "",
    since: Since = "",
    state: Annotated[str, typer.Option(help="open, settled or all.")] = "open",
    limit: Annotated[int, typer.Option(min=1, max=100)] = 50,
    cursor: Annotated[str, typer.Option(help="Where the last page ended.")] = "",
    as_json: AsJson = False,
    url: Url = "",
    key: Key = "",
) -> None:
    """List letters, the last that died first."""
    asked = {"channel": channel, "reason": reason, "cluster": cluster, "since": since, "cursor": cursor}
    query = {name: word for name, word in asked.items() if word} | {"state": state, "limit": str(limit)}

    async def act(rest: "Rest") -> None:
        from ops.cli.shown_letters import show_letters  # lazy: rich

        found = await rest.get(PATH, **query)
        _print(found) if as_json else show_letters(found)

    with_api(url, key, act)


def show(
    identifier: Annotated[str, typer.Argument(help="The letter's id.", metavar="ID")],
    reveal: Annotated[bool, typer.Option("--reveal", help="With people's data; it is noted in the trail.")] = False,
    as_json: AsJson = False,
    url: Url = "",
    key: Key = "",
) -> None:
    """Show one letter with its whole story."""

    async def act(rest: "Rest") -> None:
        from ops.cli.shown_letters import show_letter  # lazy: rich

        found = await rest.get(_path(identifier), **({"reveal": "true"} if reveal else {}))
        _print(found) if as_json else show_letter(found)

    with_api(url, key, act)


def clusters(
    channel: Channel = "",
    reason: Reason = "",
    since: Since = "",
    as_json: AsJson = False,
    url: Url = "",
    key: Key = "",
) -> None:
    """Show open letters by cause: how many, since when, how fast, how many people."""
    asked = {"channel": channel, "reason": reason, "since": since}

    async def act(rest: "Rest") -> None:
        from ops.cli.shown_letters import show_clusters  # lazy: rich

        found = await rest.get(f"{PATH}/clusters", **{name: word for name, word in asked.items() if word})
        _print(found) if as_json else show_clusters(found)

    with_api(url, key, act)


def edit(
    identifiers: Ids = None,
    channel: Channel = "",
    reason: Reason = "",
    cluster: Cluster = "",
    since: Since = "",
    every: All = False,
    data: Annotated[list[str] | None, typer.Option(help="key=value, or a JSON object; may be repeated.")] = None,
    content: Annotated[str, typer.Option(help="Words as a JSON object, in place of those of the request.")] = "",
    expires_at: Annotated[str, typer.Option(help="Give it time until then.")] = "",
    why: Why = "",
    yes: Yes = False,
    as_json: AsJson = False,
    url: Url = "",
    key: Key = "",
) -> None:
    """Edit what a replay sends; the original is kept."""
    from ops.cli.words import json_object, template_data  # lazy: json

    wish: dict[str, Any] = {"data": template_data(data or []), "expires_at": expires_at, "why": why}
    wish |= {"content": json_object(content, "--content") if content else None}
    chosen = _chosen(identifiers, channel, reason, cluster, since, every=every)
    body = chosen | {"set": {name: value for name, value in wish.items() if value}}

    async def act(rest: "Rest") -> None:
        from ops.cli.shown_letters import show_edited  # lazy: rich

        await _confirm(rest, chosen, "edit", is_sure=yes)
        found = await rest.patch(PATH, body)
        _print(found) if as_json else show_edited(found)

    with_api(url, key, act)


def replay(
    identifiers: Ids = None,
    channel: Channel = "",
    reason: Reason = "",
    cluster: Cluster = "",
    since: Since = "",
    every: All = False,
    canary: Annotated[int, typer.Option(min=1, max=100, help="So many first; then ten; then the rest.")] = 1,
    rate_per_s: Annotated[int, typer.Option(min=1, max=500, help="Of the rest.")] = 50,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count only, and why others would not go.")] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Follow it to its end.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
    url: Url = "",
    key: Key = "",
) -> None:
    """Send letters again, a few first; it stops by itself when one of those fails again."""
    chosen = _chosen(identifiers, channel, reason, cluster, since, every=every)
    body = chosen | {"canary": canary, "rate_per_s": rate_per_s, "dry_run": dry_run}

    async def act(rest: "Rest") -> None:
        from ops.cli.shown_letters import show_replay  # lazy: rich

        if not dry_run:
            await _confirm(rest, chosen, "replay", is_sure=yes)
        found = await rest.post(f"{PATH}/replay", body)
        if watch and not dry_run:
            found = await _follow(rest, found)
        _print(found) if as_json else show_replay(found)
        if found["status"] == "stopped":
            raise SystemExit(1)

    with_api(url, key, act)


def discard(
    why: Annotated[str, typer.Option(help="For the trail.")],
    identifiers: Ids = None,
    channel: Channel = "",
    reason: Reason = "",
    cluster: Cluster = "",
    since: Since = "",
    every: All = False,
    yes: Yes = False,
    as_json: AsJson = False,
    url: Url = "",
    key: Key = "",
) -> None:
    """Settle letters that nobody will send again."""
    chosen = _chosen(identifiers, channel, reason, cluster, since, every=every)

    async def act(rest: "Rest") -> None:
        from ops.cli.shown_letters import show_discarded  # lazy: rich

        await _confirm(rest, chosen, "discard", is_sure=yes)
        total = {"discarded": 0, "already_settled": 0, "is_complete": False}
        while not total["is_complete"]:
            found = await rest.post(f"{PATH}/discard", chosen | {"why": why})
            total = {name: total[name] + found[name] for name in ("discarded", "already_settled")} | {
                "is_complete": found["is_complete"]
            }
        _print(total) if as_json else show_discarded(total)

    with_api(url, key, act)


def _chosen(
    identifiers: list[str] | None, channel: str, reason: str, cluster: str, since: str, *, every: bool
) -> dict[str, Any]:
    """What the request says of the letters that are meant: ids, or a filter; nothing is meant by leaving all out."""
    asked = {"channel": channel, "reason": reason, "cluster": cluster, "since": since}
    wanted = {name: word for name, word in asked.items() if word}
    if sum((bool(identifiers), bool(wanted), every)) != 1:
        raise typer.BadParameter("give ids, or options such as --cluster, or --all: one of the three")
    return {"ids": identifiers} if identifiers else {"filter": wanted}


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


def _path(identifier: str) -> str:
    from urllib.parse import quote  # lazy

    return f"{PATH}/{quote(identifier, safe='')}"


def _print(document: Any) -> None:
    typer.echo(json.dumps(document, indent=2))
