"""Status webhooks from the shell: made, listed, stopped and started, what they were told, and told again."""

from typing import TYPE_CHECKING, Annotated

import typer

from ops.cli.reaching import AsJson, given, over_api, path_of, print_json

if TYPE_CHECKING:
    from ops.rest import Document, Rest

PATH = "/api/v1/webhooks"

Id = Annotated[str, typer.Argument(help="As `webhooks list` shows it.", metavar="ID")]


def register(app: typer.Typer) -> None:
    """Add the verbs to `app`."""
    webhooks = typer.Typer(help="URLs of yours that are told what becomes of deliveries.", no_args_is_help=True)
    webhooks.command("list")(over_api(list_webhooks))
    webhooks.command("add")(over_api(add))
    webhooks.command("deliveries")(over_api(deliveries))
    webhooks.command("replay")(over_api(replay))
    webhooks.command("test")(over_api(send_test))
    webhooks.command("rotate")(over_api(rotate))
    webhooks.command("stop")(over_api(stop))
    webhooks.command("start")(over_api(start))
    webhooks.command("delete")(over_api(delete))
    app.add_typer(webhooks, name="webhooks")


async def list_webhooks(rest: "Rest", as_json: AsJson = False) -> None:
    """Show the tenant's webhooks, and whether they are told."""
    from ops.cli.shown import CONSOLE, clock, table  # lazy: rich

    found = await rest.get(PATH, limit="100")
    if as_json:
        print_json(found)
        return
    rows = table("id", "url", "events", "state")
    for one in found["items"]:
        state = "told" if one["is_active"] else f"disabled ({one['disabled_reason']}) {clock(one['disabled_at'])}"
        if one["is_active"] and one["failing_since"]:
            state = f"failing since {clock(one['failing_since'])}"
        events = " ".join(name.rpartition(".")[2] for name in one["events"])
        rows.add_row(one["id"], one["url"], events, state)
    CONSOLE.print(rows if found["items"] else "no webhooks")


async def add(
    rest: "Rest",
    where: Annotated[str, typer.Argument(help="https, of a public host.", metavar="URL")],
    events: Annotated[str, typer.Option(help="With commas: delivered,failed; or their whole names.")],
) -> None:
    """Be told what becomes of deliveries; the secret is shown this once."""
    names = [word.strip() for word in events.split(",") if word.strip()]
    whole = [name if "." in name else f"notification.delivery.{name}" for name in names]
    _show_secret(await rest.post(PATH, {"url": where, "events": whole}))


async def deliveries(
    rest: "Rest",
    identifier: Id,
    limit: Annotated[int, typer.Option(min=1, max=100)] = 20,
    as_json: AsJson = False,
) -> None:
    """Show attempts to tell it, newest first, with what it answered."""
    from ops.cli.shown import CONSOLE, clock, table  # lazy: rich
    from ops.cli.shown_letters import plain

    found = await rest.get(f"{path_of(PATH, identifier)}/attempts", limit=str(limit))
    if as_json:
        print_json(found)
        return
    rows = table("time", "event", "message", "attempt", "status", "answer")
    for one in found["items"]:
        status = "-" if one["status_code"] is None else str(one["status_code"])
        words = plain(one["error"] or one["answer"] or "")
        rows.add_row(clock(one["at"]), one["type"] or "-", one["message_id"], str(one["attempt"]), status, words)
    CONSOLE.print(rows if found["items"] else "nothing was told yet")


async def replay(
    rest: "Rest",
    identifier: Id,
    message: Annotated[str, typer.Option(help="This one message.")] = "",
    since: Annotated[str, typer.Option(help="What failed from then on: 2027-01-31T09:00:00Z.")] = "",
    until: Annotated[str, typer.Option(help="And before; now when left out.")] = "",
    every: Annotated[bool, typer.Option("--all", help="What was told already, too.")] = False,
) -> None:
    """Tell it again: one message, or what failed in a time."""
    if bool(message) == bool(since):
        raise typer.BadParameter("give --message or --since: one of the two")
    asked = {"message_id": message} if message else given({"since": since, "until": until}) | {"failed_only": not every}
    found = await rest.post(f"{path_of(PATH, identifier)}/replay", dict(asked))
    typer.echo(f"told again: {found['replayed']}{', and there are more' if found['has_more'] else ''}")


async def send_test(rest: "Rest", identifier: Id) -> None:
    """Tell it a `webhook.test`."""
    found = await rest.post(f"{path_of(PATH, identifier)}/test", {})
    typer.echo(f"message {found['message_id']} is under way: `carillon webhooks deliveries {identifier}`")


async def rotate(rest: "Rest", identifier: Id) -> None:
    """Give it a new secret; the one before signs for a day as well."""
    _show_secret(await rest.post(f"{path_of(PATH, identifier)}/rotate", {}))


async def stop(rest: "Rest", identifier: Id) -> None:
    """Tell it nothing more."""
    await rest.patch(path_of(PATH, identifier), {"is_active": False})
    typer.echo("stopped")


async def start(rest: "Rest", identifier: Id) -> None:
    """Tell it again, what has waited too."""
    await rest.patch(path_of(PATH, identifier), {"is_active": True})
    typer.echo("started")


async def delete(rest: "Rest", identifier: Id) -> None:
    """Delete it; what waits is told to nobody."""
    await rest.delete(path_of(PATH, identifier))
    typer.echo("deleted")


def _show_secret(made: "Document") -> None:
    typer.echo(f"webhook {made['id']}\nsecret  {made['secret']}\nThe secret is shown this once.")
