"""Notifications as people read them: the reason stands beside every "no", and no line is cut into a pipe."""

from typing import Any

import pytest

from ops.cli.shown import CONSOLE, show_accepted, show_explanation, show_forecast, show_notification

MOMENT = "2026-11-20T12:00:00.123Z"
FOUND: dict[str, Any] = {
    "id": "01930b7a-6c00-7f2e-8a51-5d3c2b1a0000",
    "status": "partly_failed",
    "template": "order_shipped",
    "category": "orders",
    "priority": "high",
    "created_at": MOMENT,
    "deliveries": [
        {
            "id": "01930b7a-6c00-7f2e-8a51-5d3c2b1a0001",
            "channel": "email",
            "status": "failed",
            "reason": "address_rejected",
            "attempts": [
                {
                    "attempt": 1,
                    "outcome": "attempt_failed",
                    "ended_at": MOMENT,
                    "facts": {"reason": "address_rejected", "provider": "smtp", "answer": "550 nobody lives there"},
                }
            ],
        }
    ],
}


def test_a_plan_shows_every_delivery_with_its_reason() -> None:
    answer = {
        "id": FOUND["id"],
        "status": "accepted",
        "deliveries": [
            {"channel": "email", "status": "queued"},
            {"channel": "sms", "status": "suppressed", "reason": "channel_opt_out"},
        ],
    }

    with CONSOLE.capture() as shown:
        show_accepted(answer)

    assert [line.split() for line in shown.get().splitlines()] == [
        ["notification", FOUND["id"], "accepted"],
        ["email", "queued"],
        ["sms", "suppressed", "(channel_opt_out)"],
    ]


def test_a_duplicate_names_the_first_one() -> None:
    with CONSOLE.capture() as shown:
        show_accepted({"id": "2", "status": "suppressed", "duplicate_of": "1", "reason": "duplicate", "deliveries": []})

    assert shown.get().strip() == "notification 2 suppressed (duplicate of 1)"


def test_an_attempt_shows_what_the_provider_said() -> None:
    with CONSOLE.capture() as shown:
        show_notification(FOUND)

    assert "smtp: 550 nobody lives there" in shown.get()
    assert "failed" in shown.get()


@pytest.mark.parametrize("words", ["consent", "channel_opt_out", "version=3", "attempt_failed"])
def test_an_explanation_shows_gates_with_what_they_looked_at_and_events(words: str) -> None:
    gate = {"gate": "consent", "verdict": "suppress", "channel": "sms", "reason": "channel_opt_out"}
    event = {"delivery_id": FOUND["deliveries"][0]["id"], "at": MOMENT, "kind": "attempt_failed", "attempt": 1}

    with CONSOLE.capture() as shown:
        show_explanation(
            {"notification": FOUND, "gates": [gate | {"inputs": {"version": 3}}], "events": [event | {"facts": {}}]}
        )

    assert words in shown.get()


def test_several_devices_are_told_apart() -> None:
    devices = ["01930b00-1a00-7c11-9f00-8d2e4f6a1b3c", "01930b00-1a00-7c11-9f00-8d2e4f6affff"]
    pushes: list[dict[str, Any]] = [
        {"channel": "push", "device_id": device, "status": "stored", "reason": None, "attempts": []}
        for device in (*devices, None)
    ]

    with CONSOLE.capture() as shown:
        show_notification({**FOUND, "deliveries": pushes})

    rows = [line.split() for line in shown.get().splitlines()[-3:]]
    assert rows == [["push", "…6a1b3c", "stored"], ["push", "…6affff", "stored"], ["push", "stored"]]


def test_a_time_in_the_past_shows_what_was_known_then_and_what_nobody_knows() -> None:
    chosen = {"version": 2, "document": {"unsubscribed": True}, "changed_at": MOMENT, "actor": "recipient"}
    past = {
        "notifications": [],
        "before": FOUND["id"],
        "after": None,
        "preferences": {**chosen, "source": "one_click", "evidence": {}},
        "suppressions": [{"channel": "email", "created_at": MOMENT, "reason": "bounce"}],
        "unknown": ["limits of that time are not kept"],
    }
    gate = {"gate": "consent", "verdict": "suppress", "channel": "email", "reason": "unsubscribed_global"}
    told = {"user": "user-42", "template": "order_shipped", "at": MOMENT, "gates": [gate], "past": past}

    with CONSOLE.capture() as shown:
        show_forecast({**told, "deliveries": [{"channel": "email", "status": "suppressed", "reason": "no"}]})

    lines = shown.get().splitlines()
    assert lines[0].endswith("nothing was accepted")
    assert "the nearest of this template: before 01930b7a-6c00-7f2e-8a51-5d3c2b1a0000" in lines
    assert any(line.startswith("preferences of ") and "by recipient (one_click)" in line for line in lines)
    assert any(line.startswith("suppressed: email since") for line in lines)
    assert lines[-1] == "not known: limits of that time are not kept"


def test_what_was_accepted_then_is_explained_instead_of_guessed() -> None:
    explained = {"notification": FOUND, "gates": [], "events": []}
    past = {"notifications": [explained], "before": None, "after": None, "preferences": None}
    told = {"user": "user-42", "template": "order_shipped", "at": MOMENT, "gates": [], "deliveries": []}

    with CONSOLE.capture() as shown:
        show_forecast({**told, "past": {**past, "suppressions": [], "unknown": []}})

    assert "1 notification" in shown.get()
    assert FOUND["id"] in shown.get()
    assert "judged by" not in shown.get()
