"""The verbs of webhooks against an API of answers written down: what they ask, and what they show."""

import pytest

from api.examples.webhooks import EXAMPLES
from tests.integration.api.scripted import Scripted

PATH = "/api/v1/webhooks"
TOLD = EXAMPLES[f"{PATH}/{{webhook_id}}", "get"].told
ONE = f"{PATH}/{TOLD['id']}"
HOSTILE = "no \x1b[2J\n[red]way[/red]"


def test_a_list_says_what_is_told_what_fails_and_what_is_disabled(api: Scripted) -> None:
    failing = TOLD | {"failing_since": "2027-01-31T09:00:00.000Z"}
    disabled = TOLD | {"is_active": False, "disabled_reason": "gone", "disabled_at": "2027-01-31T09:00:00.000Z"}
    api.answer("GET", PATH, {"items": [TOLD, failing, disabled], "next_cursor": None})

    shown = api.verb("webhooks", "list")

    assert shown.exit_code == 0, shown.output
    for words in ("told", "failing since", "disabled (gone)", "delivered"):
        assert words in shown.output


def test_a_new_one_is_asked_for_by_short_names_and_its_secret_shown(api: Scripted) -> None:
    api.answer("POST", PATH, EXAMPLES[PATH, "post"].told)

    shown = api.verb("webhooks", "add", "https://hooks.shop.example/carillon", "--events", "delivered, failed")

    assert api.asked[-1][2] == EXAMPLES[PATH, "post"].asked
    assert "whsec_" in shown.output


def test_what_an_endpoint_answered_moves_no_cursor(api: Scripted) -> None:
    line = EXAMPLES[f"{PATH}/{{webhook_id}}/attempts", "get"].told["items"][0] | {"answer": HOSTILE}
    api.answer("GET", f"{ONE}/attempts", {"items": [line], "next_cursor": None})

    shown = api.verb("webhooks", "deliveries", TOLD["id"])

    assert "[red]" in shown.output
    assert "\x1b" not in shown.output


def test_a_time_or_a_message_is_replayed(api: Scripted) -> None:
    api.answer("POST", f"{ONE}/replay", {"replayed": 12, "has_more": True})

    shown = api.verb("webhooks", "replay", TOLD["id"], "--since", "2027-01-30T00:00:00Z")
    api.verb("webhooks", "replay", TOLD["id"], "--message", "m")

    assert "12, and there are more" in shown.output
    assert [body for _, _, body in api.asked] == [
        {"since": "2027-01-30T00:00:00Z", "failed_only": True},
        {"message_id": "m"},
    ]


@pytest.mark.parametrize("words", [[], ["--message", "m", "--since", "2027-01-30T00:00:00Z"]])
def test_nothing_is_replayed_by_leaving_everything_out(api: Scripted, words: list[str]) -> None:
    assert api.verb("webhooks", "replay", TOLD["id"], *words).exit_code == 2
    assert api.asked == []


def test_one_is_stopped_and_started_tested_and_deleted(api: Scripted) -> None:
    api.answer("PATCH", ONE, TOLD)
    api.answer("POST", f"{ONE}/test", EXAMPLES[f"{PATH}/{{webhook_id}}/test", "post"].told)
    api.answer("DELETE", ONE, {})

    ended = [api.verb("webhooks", verb, TOLD["id"]).exit_code for verb in ("stop", "start", "test", "delete")]

    assert ended == [0, 0, 0, 0]
    assert [(method, body) for method, _, body in api.asked] == [
        ("PATCH", {"is_active": False}),
        ("PATCH", {"is_active": True}),
        ("POST", {}),
        ("DELETE", None),
    ]
