"""The verbs of dead letters against an API of answers written down: what they ask, what they show, when they stop."""

import json

import pytest

from api.examples.dead_letters import EXAMPLES
from tests.integration.api.scripted import Scripted

PATH = "/api/v1/dead-letters"
LETTER = EXAMPLES[f"{PATH}/{{letter_id}}", "get"].told
RUN = EXAMPLES[f"{PATH}/replays/{{run_id}}", "get"].told
HOSTILE = '550 \x1b[2J\x1b]0;owned\x07\n{"level": "info"}\u202e [red]no[/red]'


def test_a_list_is_a_table_and_what_a_stranger_wrote_moves_no_cursor(api: Scripted) -> None:
    item = EXAMPLES[PATH, "get"].told["items"][0] | {"detail": HOSTILE}
    api.answer("GET", PATH, {"items": [item], "next_cursor": "1-2"})

    shown = api.verb("dead-letters", "list", "--channel", "email", "--cluster", "9f86d081884c")

    assert shown.exit_code == 0, shown.output
    assert api.asked[0][1] == f"{PATH}?channel=email&cluster=9f86d081884c&state=open&limit=50"
    assert item["id"] in shown.output
    assert "[red]" in shown.output
    assert not set("\x1b\x07\u202e") & set(shown.output)
    assert "--cursor 1-2" in shown.output
    assert len([line for line in shown.output.splitlines() if "550" in line]) == 1


def test_as_json_it_is_what_the_api_told(api: Scripted) -> None:
    told = {"items": [{"detail": HOSTILE}], "next_cursor": None}
    api.answer("GET", PATH, told)

    shown = api.verb("dead-letters", "list", "--json")

    assert json.loads(shown.output) == told
    assert "\x1b" not in shown.output


def test_one_letter_is_shown_with_its_story(api: Scripted) -> None:
    api.answer("GET", f"{PATH}/{LETTER['id']}", LETTER | {"detail": HOSTILE})

    shown = api.verb("dead-letters", "show", LETTER["id"], "--reveal")

    assert shown.exit_code == 0, shown.output
    assert api.asked[0][1].endswith("?reveal=true")
    for word in ("attempt_sent", "the shop forgot the order", "add /data/order", "user-42", "data.order"):
        assert word in shown.output
    assert "\x1b" not in shown.output


def test_clusters_are_shown(api: Scripted) -> None:
    api.answer("GET", f"{PATH}/clusters", EXAMPLES[f"{PATH}/clusters", "get"].told)

    shown = api.verb("dead-letters", "clusters")

    assert "9f86d081884c" in shown.output
    assert shown.output.splitlines()[1].split()[1:5] == ["412", "409", "400", "12"]


@pytest.mark.parametrize("words", [[], ["--all", "--cluster", "x"], ["1", "--all"], ["1", "--channel", "sms"]])
def test_nothing_is_meant_by_leaving_everything_out(api: Scripted, words: list[str]) -> None:
    shown = api.verb("dead-letters", "replay", *words)

    assert shown.exit_code == 2
    assert api.asked == []


def test_more_than_a_hundred_are_touched_only_after_a_yes(api: Scripted) -> None:
    dry = RUN | {"dry_run": True, "id": None, "status": None, "matched": 412}
    api.answer("POST", f"{PATH}/replay", dry, RUN)

    refused = api.verb("dead-letters", "replay", "--all", answered="n\n")
    asked = list(api.asked)
    api.answer("POST", f"{PATH}/replay", dry, RUN)
    agreed = api.verb("dead-letters", "replay", "--all", answered="y\n")

    assert (refused.exit_code, [body["dry_run"] for _, _, body in asked]) == (1, [True])
    assert agreed.exit_code == 0
    assert [body["dry_run"] for _, _, body in api.asked[1:]] == [True, False]
    assert "replay 412 letters?" in agreed.output


def test_with_yes_nobody_is_asked(api: Scripted) -> None:
    api.answer("POST", f"{PATH}/replay", RUN)

    shown = api.verb("dead-letters", "replay", "--cluster", "9f86d081884c", "--rate-per-s", "10", "--yes")

    assert shown.exit_code == 0, shown.output
    filtered = {"filter": {"cluster": "9f86d081884c"}, "canary": 1, "rate_per_s": 10, "dry_run": False}
    assert api.asked == [("POST", f"{PATH}/replay", filtered)]
    assert "58 of 412" in shown.output


def test_a_dry_run_says_how_many_and_why_not(api: Scripted) -> None:
    told = RUN | {"dry_run": True, "id": None, "status": None, "is_complete": True, "replayed": 409}
    api.answer("POST", f"{PATH}/replay", told)

    shown = api.verb("dead-letters", "replay", "--all", "--dry-run")

    assert [line.split() for line in shown.output.splitlines()[1:]] == [["1", "expired"], ["2", "suppressed"]]
    assert "would send 409 of 412" in shown.output


def test_a_replay_that_stopped_ends_with_one(api: Scripted) -> None:
    api.answer("POST", f"{PATH}/replay", RUN)
    over = RUN | {"status": "stopped", "is_complete": True, "why": "canary: delivery 1 is failed"}
    api.answer("GET", f"{PATH}/replays/{RUN['id']}", RUN, over)

    shown = api.verb("dead-letters", "replay", LETTER["id"], "--watch")

    assert shown.exit_code == 1
    assert "canary: delivery 1 is failed" in shown.output


def test_edits_and_discards_say_what_was_done(api: Scripted) -> None:
    refusal = {"id": LETTER["id"], "reason": "invalid_data", "detail": "no"}
    api.answer("PATCH", PATH, {"edited": 1, "refused": [refusal]})
    part = {"discarded": 10_000, "already_settled": 0, "is_complete": False}
    api.answer("POST", f"{PATH}/discard", part, part | {"discarded": 5, "is_complete": True})

    edited = api.verb("dead-letters", "edit", LETTER["id"], "--data", "order=A-1", "--why", "typo")
    discarded = api.verb("dead-letters", "discard", "--all", "--why", "over", "--yes")

    assert api.asked[0][2] == {"ids": [LETTER["id"]], "set": {"data": {"order": "A-1"}, "why": "typo"}}
    assert "edited 1" in edited.output
    assert "invalid_data: no" in edited.output
    assert "discarded 10005" in discarded.output
    assert [body for _, _, body in api.asked[1:]] == [{"filter": {}, "why": "over"}] * 2
