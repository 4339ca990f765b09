"""Notifications as people read them in a terminal: one table, few colours, the reason beside every "no"."""

from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

_NARROWEST = 120
CONSOLE = Console(highlight=False)
if not CONSOLE.is_terminal:
    CONSOLE.width = max(CONSOLE.width, _NARROWEST)  # into a pipe or file: nothing is cut off for a screen's sake

_GOOD = {"sent", "delivered", "stored", "completed", "pass"}
_BAD = {"failed", "bounced", "dead_lettered", "partly_failed", "ambiguous"}
_QUIET = {"suppressed", "suppress", "cancelled", "expired", "collapsed", "defer", "deferred", "resting"}


def styled(status: str) -> Text:
    """A status or verdict in its colour."""
    style = "green" if status in _GOOD else "red" if status in _BAD else "yellow" if status in _QUIET else "cyan"
    return Text(status, style=style)


def table(*columns: str) -> Table:
    """An empty table in the house's manner."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        made.add_column(column, no_wrap=column != "answer", overflow="fold" if column == "answer" else "ellipsis")
    return made


def show_accepted(answer: dict[str, Any]) -> None:
    """The answer to a send: the id, and the plan."""
    line = Text.assemble("notification ", (answer["id"], "bold"), " ", styled(answer["status"]))
    if answer.get("duplicate_of"):
        line.append(f" (duplicate of {answer['duplicate_of']})")
    elif answer.get("reason"):
        line.append(f" ({answer['reason']})")
    CONSOLE.print(line, soft_wrap=True)
    for delivery in answer["deliveries"]:
        show_change(delivery)


def show_change(delivery: dict[str, Any]) -> None:
    """Where one delivery stands, on a line."""
    line = Text(f"  {delivery['channel']:<6} ").append_text(styled(delivery["status"]))
    if delivery.get("reason"):
        line.append(f" ({delivery['reason']})", style="dim")
    if delivery.get("device_id"):
        line.append(f" device {delivery['device_id']}", style="dim")
    until = delivery.get("until") or delivery.get("next_attempt_at")
    if until:
        line.append(f" until {clock(until)}", style="dim")
    CONSOLE.print(line, soft_wrap=True)


def show_notification(found: dict[str, Any]) -> None:
    """A notification with its deliveries and their attempts."""
    what = found["template"] or "own words"
    CONSOLE.print(Text.assemble("notification ", (found["id"], "bold"), " ", styled(found["status"])), soft_wrap=True)
    CONSOLE.print(
        f"  {what} · {found['category']} · {found['priority']} · asked {clock(found['created_at'])}", style="dim"
    )
    rows = table("channel", "status", "reason", "attempt", "time", "outcome", "answer")
    for delivery in found["deliveries"]:
        rows.add_row(_where(delivery), styled(delivery["status"]), delivery["reason"] or "")
        for attempt in delivery["attempts"]:
            facts = attempt["facts"]
            outcome = (attempt["outcome"] or "under way").removeprefix("attempt_")
            ended = clock(attempt["ended_at"]) if attempt["ended_at"] else ""
            rows.add_row("", "", facts.get("reason") or "", str(attempt["attempt"]), ended, outcome, _answer(facts))
    CONSOLE.print(rows)


def show_explanation(found: dict[str, Any]) -> None:
    """What every gate decided, and what happened since."""
    notification = found["notification"]
    CONSOLE.print(
        Text.assemble("notification ", (notification["id"], "bold"), " ", styled(notification["status"])),
        soft_wrap=True,
    )
    CONSOLE.print(_gates(found["gates"]))
    channels = {delivery["id"]: delivery["channel"] for delivery in notification["deliveries"]}
    events = table("time", "channel", "event", "attempt", "answer")
    for event in found["events"]:
        attempt = str(event["attempt"]) if event["attempt"] else ""
        channel = channels.get(event["delivery_id"], "")
        events.add_row(clock(event["at"]), channel, event["kind"], attempt, _answer(event["facts"]))
    if events.row_count:
        CONSOLE.print()
        CONSOLE.print(events)


def show_forecast(found: dict[str, Any]) -> None:
    """What every gate would decide, and what would come of it."""
    past = found.get("past")
    if past is not None:
        _show_past(found, past)
        return
    CONSOLE.print(f"{found['template']} for {found['user']} at {clock(found['at'])}: nothing was sent", style="dim")
    CONSOLE.print(_gates(found["gates"]))
    for delivery in found["deliveries"]:
        show_change(delivery)


def _show_past(found: dict[str, Any], past: dict[str, Any]) -> None:
    """What was accepted around a time, else how it would have been judged by what was known then."""
    sent = past["notifications"]
    count = f"{len(sent)} notification{'s' if len(sent) != 1 else ''}" if sent else "nothing was accepted"
    what = f"{found['template']} for {found['user']} around {clock(found['at'])}: {count}"
    CONSOLE.print(what, style="dim", soft_wrap=True)
    for each in sent:
        CONSOLE.print()
        show_explanation(each)
    if not sent:
        CONSOLE.print("judged by what was known then:", style="dim")
        CONSOLE.print(_gates(found["gates"]))
        for delivery in found["deliveries"]:
            show_change(delivery)
        nearest = [f"{word} {past[word]}" for word in ("before", "after") if past[word]]
        if nearest:
            CONSOLE.print(f"the nearest of this template: {', '.join(nearest)}", soft_wrap=True)
    _show_known(past)


def _show_known(past: dict[str, Any]) -> None:
    """What is known of the person at that time, and what is not."""
    chosen = past["preferences"]
    if chosen is not None:
        by = f"by {chosen['actor']} ({chosen['source']})"
        CONSOLE.print(f"preferences of {clock(chosen['changed_at'])} {by}: {chosen['document']}", soft_wrap=True)
    for one in past["suppressions"]:
        since = f"since {clock(one['created_at'])} ({one['reason']})"
        CONSOLE.print(f"suppressed: {one['channel']} {since}", soft_wrap=True)
    for sentence in past["unknown"]:
        CONSOLE.print(f"not known: {sentence}", style="dim", soft_wrap=True)


def clock(moment: str) -> str:
    """The time of day of an RFC 3339 moment, in the reader's own zone; with the date when it is not today."""
    at = datetime.fromisoformat(moment).astimezone()
    form = "%H:%M:%S" if at.date() == datetime.now().astimezone().date() else "%Y-%m-%d %H:%M:%S"
    return f"{at:{form}}.{at.microsecond // 1000:03d}"


def _where(delivery: dict[str, Any]) -> str:
    """The channel, and the end of the device's id, by which several are told apart."""
    device = delivery.get("device_id")
    return f"{delivery['channel']} …{device[-6:]}" if device else str(delivery["channel"])


def _gates(gates: list[dict[str, Any]]) -> Table:
    rows = table("gate", "channel", "verdict", "reason", "answer")
    for gate in gates:
        inputs = ", ".join(f"{name}={_short(value)}" for name, value in (gate.get("inputs") or {}).items())
        reason = gate.get("reason") or ""
        if gate.get("until"):
            reason += f" until {clock(gate['until'])}"
        rows.add_row(gate["gate"], gate.get("channel") or "", styled(gate["verdict"]), reason, inputs)
    rows.columns[-1].header = "looked at"
    return rows


def _answer(facts: dict[str, Any]) -> str:
    words = [str(facts[name]) for name in ("provider", "answer", "detail") if facts.get(name)]
    return _short(": ".join(words), 60)


def _short(value: object, limit: int = 40) -> str:
    text = str(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
