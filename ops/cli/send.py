"""The API from the shell: send something, watch what becomes of it, and ask why."""

import asyncio
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from domain.lanes import Priority
from ops.cli.door import fail
from ops.cli.reaching import given, over_api, path_of

if TYPE_CHECKING:
    from ops.rest import Document, Rest

_WATCH_S = 0.2
_WATCH_AT_MOST_S = 3600.0
_MOVING = {"accepted", "in_progress"}

Watch = Annotated[bool, typer.Option("--watch", "-w", help="Follow it until nothing moves any more.")]
Id = Annotated[str, typer.Argument(help="The notification's id.", metavar="ID")]


def register(app: typer.Typer) -> None:
    """Add the verbs to `app`."""
    app.command()(over_api(send))
    app.command()(over_api(status))
    app.command()(over_api(explain))


async def send(
    rest: "Rest",
    to: Annotated[str, typer.Option(help="A user id, an email address, a phone number (+…), or a JSON object.")],
    template: Annotated[str, typer.Option(help="The message to render.")] = "",
    data: Annotated[list[str] | None, typer.Option(help="key=value, or a JSON object; may be repeated.")] = None,
    title: Annotated[str, typer.Option(help="Words instead of a template.")] = "",
    body: Annotated[str, typer.Option(help="Words instead of a template.")] = "",
    channels: Annotated[str, typer.Option(help="With commas: email,sms. The category's when left out.")] = "",
    priority: Annotated[Priority, typer.Option(help="How urgent.")] = Priority.NORMAL,
    category: Annotated[str, typer.Option(help="What kind of news.")] = "",
    locale: Annotated[str, typer.Option(help="Such as fr or pt-BR.")] = "",
    send_at: Annotated[str, typer.Option(help="Not before: 2027-01-31T09:00:00Z.")] = "",
    expires_in_s: Annotated[int, typer.Option(min=0, help="Not later; 0: the category's.")] = 0,
    dedupe_key: Annotated[str, typer.Option(help="The recipient gets this news once.")] = "",
    idempotency_key: Annotated[str, typer.Option(help="Asking again gets the first answer.")] = "",
    watch: Watch = False,
) -> None:
    """Send one notification."""
    from ops.cli.shown import show_accepted  # lazy: rich
    from ops.cli.words import recipient, template_data  # lazy: json, with what follows

    request: dict[str, Any] = {"to": recipient(to), "priority": priority.value}
    optional: dict[str, Any] = {"template": template, "category": category, "locale": locale, "send_at": send_at}
    optional |= {"dedupe_key": dedupe_key, "expires_in_s": expires_in_s, "data": template_data(data or [])}
    optional |= {"content": {name: words for name, words in (("title", title), ("body", body)) if words}}
    optional |= {"channels": [word.strip() for word in channels.split(",") if word.strip()]}
    request |= {name: value for name, value in optional.items() if value}
    answer = await rest.send(request, idempotency_key=idempotency_key or None)
    show_accepted(answer)
    if watch:
        await _follow(rest, answer["id"])


async def status(rest: "Rest", identifier: Id, watch: Watch = False) -> None:
    """Show what became of a notification: its deliveries, and every attempt."""
    from ops.cli.shown import show_notification  # lazy: rich

    if watch:
        await _follow(rest, identifier)
    else:
        show_notification(await _get(rest, identifier))


async def explain(
    rest: "Rest",
    identifier: Annotated[str, typer.Argument(help="The notification's id.", metavar="[ID]")] = "",
    user: Annotated[str, typer.Option(help="Instead of an ID: what would this user get, or did get,")] = "",
    template: Annotated[str, typer.Option(help="of this message (with its sample data),")] = "",
    at: Annotated[
        str, typer.Option(help="at this time? 2027-01-31T23:00:00Z, also in the past; now when left out.")
    ] = "",
) -> None:
    """Show why it went the way it went, or would go: what every gate decided, and looked at."""
    from ops.cli.shown import show_explanation, show_forecast  # lazy: rich

    if bool(identifier) == bool(user and template):
        raise typer.BadParameter("give the ID of a notification, or --user and --template")
    if identifier:
        show_explanation(await _get(rest, identifier, "/explain"))
    else:
        asked = given({"user": user, "template": template, "at": at})
        show_forecast(await rest.get("/api/v1/explain", **asked))


async def _follow(rest: "Rest", identifier: str) -> None:
    """Show the notification whenever it has changed, until it is settled."""
    from ops.cli.shown import show_change, show_notification  # lazy: rich

    deadline = time.monotonic() + _WATCH_AT_MOST_S
    seen: dict[str, Any] = {}
    while time.monotonic() < deadline:
        found = await _get(rest, identifier)
        for delivery in found["deliveries"]:
            if seen.get(delivery["id"]) != delivery["status"]:
                seen[delivery["id"]] = delivery["status"]
                show_change(delivery)
        if found["status"] not in _MOVING:
            show_notification(found)
            return
        await asyncio.sleep(_WATCH_S)
    fail(f"{identifier} still moves after {_WATCH_AT_MOST_S:.0f} s; `carillon status {identifier}` shows it", code=1)


async def _get(rest: "Rest", identifier: str, more: str = "") -> "Document":
    from ops.rest import NOTIFICATIONS  # lazy: httpx2

    return await rest.get(path_of(NOTIFICATIONS, identifier) + more)
