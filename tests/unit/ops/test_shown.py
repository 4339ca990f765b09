"""Notifications as people read them: the reason stands beside every "no", and no line is cut into a pipe."""

from typing import Any

import pytest

from ops.cli.shown import CONSOLE, show_accepted, show_explanation, show_notification

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
