"""Dead letters as people read them in a terminal; what a stranger wrote is shown as text and moves no cursor."""

import re
from typing import Any

from rich.text import Text

from ops.cli.shown import CONSOLE, clock, styled, table

_MOVES_CURSOR = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")
_LONGEST = 100


def plain(value: object, limit: int = _LONGEST) -> Text:
    """One line without escape sequences, and without rich's own markup."""
    text = _MOVES_CURSOR.sub(" ", str(value))
    return Text(text if len(text) <= limit else text[: limit - 1] + "…")


def show_letters(found: dict[str, Any]) -> None:
    """A page of letters."""
    rows = table("id", "died", "channel", "reason", "cluster", "answer")
    rows.columns[-1].header = "detail"
    for letter in found["items"]:
        settled = f" ({letter['settlement']})" if letter["settlement"] else ""
        rows.add_row(
            letter["id"],
            clock(letter["created_at"]),
            letter["channel"] or "-",
            Text(letter["reason"] + settled),
            letter["cluster"],
            plain(letter["detail"]),
        )
    CONSOLE.print(rows if found["items"] else "no dead letters")
    if found["next_cursor"]:
        CONSOLE.print(f"more with --cursor {found['next_cursor']}", style="dim", soft_wrap=True)


def show_clusters(found: dict[str, Any]) -> None:
    """Letters by cause."""
    rows = table("cluster", "letters", "people", "last hour", "before", "channel", "template", "answer")
    rows.columns[-1].header = "error"
    for one in found["items"]:
        rows.add_row(
            one["cluster"],
            str(one["count"]),
            str(one["reach"]),
            str(one["last_hour"]),
            str(one["hour_before"]),
            one["channel"] or "-",
            plain(one["template"] or "-", 40),
            plain(one["error"]),
        )
    CONSOLE.print(rows if found["items"] else "no dead letters")


def show_letter(found: dict[str, Any]) -> None:
    """A letter with its whole story."""
    head = Text.assemble("letter ", (found["id"], "bold"), " ", (found["reason"], "red"))
    head.append(f" {found['settlement'] or 'open'}")
    CONSOLE.print(head, soft_wrap=True)
    CONSOLE.print(plain(found["detail"], 400), soft_wrap=True)
    recipient = found["recipient"] or {}
    facts = {"delivery": found["delivery_id"], "cluster": found["cluster"], "expires": found["expires_at"], **recipient}
    for name, fact in facts.items():
        if fact:
            CONSOLE.print(Text(f"  {name:<9} ", style="dim").append_text(plain(fact)), soft_wrap=True)
    for name in ("data", "content", "evidence"):
        for member, value in (found[name] or {}).items():
            line = Text(f"  {name}.", style="dim").append_text(plain(member, 60))
            CONSOLE.print(line.append(" ").append_text(plain(value, 400)), soft_wrap=True)
    events = table("time", "event", "attempt", "answer")
    for event in found["events"]:
        told = event["facts"].get("answer") or event["facts"].get("reason") or ""
        events.add_row(clock(event["at"]), event["kind"], str(event["attempt"]), plain(told))
    _print_rows(events)
    trail = table("time", "who", "what", "answer")
    trail.columns[-1].header = "why"
    for line in found["trail"]:
        changes = ", ".join(f"{one['op']} {one['path']}" for one in line["diff"] or ())
        trail.add_row(
            clock(line["at"]), line["who"], line["what"], plain(": ".join(filter(None, (line["why"], changes))))
        )
    _print_rows(trail)


def show_edited(found: dict[str, Any]) -> None:
    """What became of an edit."""
    CONSOLE.print(f"edited {found['edited']}")
    for one in found["refused"]:
        CONSOLE.print(Text(f"  {one['id']} {one['reason']}: ", style="yellow").append_text(plain(one["detail"])))


def show_discarded(found: dict[str, Any]) -> None:
    """How many were discarded."""
    CONSOLE.print(f"discarded {found['discarded']}, settled before {found['already_settled']}")


def show_replay(found: dict[str, Any]) -> None:
    """How far a replay is, or what it would do."""
    if found["dry_run"]:
        sure = "" if found["is_complete"] else f" (of the first {found['looked_at']:,})"
        CONSOLE.print(f"would send {found['replayed']:,} of {found['matched']:,}{sure}; nothing was sent")
    else:
        line = Text.assemble("replay ", (found["id"], "bold"), " ", styled(found["status"]))
        CONSOLE.print(line.append(f" {found['replayed']:,} of {found['matched']:,}"), soft_wrap=True)
        if found["why"]:
            CONSOLE.print(plain(found["why"], 300), soft_wrap=True)
    for refusal, number in sorted(found["refused"].items()):
        CONSOLE.print(f"  {number:>7,} {refusal}", style="yellow")


def _print_rows(rows: Any) -> None:
    if rows.row_count:
        CONSOLE.print()
        CONSOLE.print(rows)
