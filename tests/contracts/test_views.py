"""What is answered straight from rows, against the schemas that describe it: every kind, as a model would tell it."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import jsonschema
import pytest
from pydantic import BaseModel

from api.plain import in_json
from api.routes.deliveries import deliveries_of
from api.schemas.deliveries import DeliveryPage
from api.schemas.notifications import ExplanationTold, NotificationPage, NotificationState
from domain.delivery import DeliveryStatus
from domain.ids import delivery_id, notification_id, uuid7
from domain.lanes import Channel, Priority
from domain.notification import Mode
from domain.reasons import Reason
from tests.contracts.test_openapi import schema_of
from tracking import views
from tracking.events import EventKind

AT = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)
NOTE = notification_id()
GATES = [
    {"gate": "recipient", "verdict": "pass", "inputs": {"known_as": "user", "version": 3}},
    {"gate": "quiet_hours", "verdict": "defer", "channel": "email", "reason": "quiet_hours", "until": "2026-11-22"},
]


def _note(**changes: Any) -> dict[str, Any]:
    """A row of `notifications` with as little in it as there can be, and what is asked for."""
    nullable = ("user", "template", "locale", "collapse_id", "dedupe_key", "duplicate_of", "send_at", "cancelled_at")
    facts = {"id": NOTE, "mode": 1, "template_version": 0, "category": "orders", "priority": 2, "decisions": b"[]"}
    return {**dict.fromkeys(nullable), **facts, "expires_at": AT, "created_at": AT, **changes}


def _delivery(status: DeliveryStatus = DeliveryStatus.SENT, **changes: Any) -> dict[str, Any]:
    """A row of `deliveries`, likewise."""
    nullable = dict.fromkeys(("device_id", "reason", "provider", "provider_id", "next_attempt_at"))
    facts = {"id": delivery_id(NOTE, 1), "channel": 1, "status": status.code, "attempt": 0, "updated_at": AT}
    return {**nullable, **facts, **changes}


def _event(kind: EventKind, detail: bytes | None = None) -> dict[str, Any]:
    """A row of `events`."""
    return {"delivery_id": delivery_id(NOTE, 1), "at": AT, "kind": kind.code, "attempt": 1, "detail": detail}


FULL_NOTE = _note(
    user="ada",
    template="order_shipped",
    template_version=2**40,
    locale="pt-BR",
    collapse_id="c",
    dedupe_key="k",
    duplicate_of=uuid7(),
    send_at=AT,
    cancelled_at=AT,
    decisions=json.dumps({"gates": GATES, "plan": []}).encode(),
)
FULL_DELIVERY = _delivery(
    device_id=uuid7(), reason=Reason.BOUNCED.code, provider="smtp", provider_id="<1@x>", next_attempt_at=AT, attempt=3
)
NOTES = [_note(), FULL_NOTE, *(_note(mode=each.code) for each in Mode), *(_note(priority=p.code) for p in Priority)]
DELIVERIES = [
    _delivery(),
    FULL_DELIVERY,
    *(_delivery(each) for each in DeliveryStatus),
    *(_delivery(reason=each.code) for each in Reason),
    *(_delivery(channel=each.code) for each in Channel),
]
EVENTS = [_event(each) for each in EventKind] + [_event(EventKind.ATTEMPT_SENT, b'{"provider":"smtp","n":[1.5,null]}')]


def _agree(model: type[BaseModel], view: Any) -> None:
    """The bytes fit the schema, and are what the model would have said: no field more, none less, none otherwise."""
    told = json.loads(bytes(in_json(view).body))
    jsonschema.validate(told, schema_of(model.__name__))
    assert model.model_validate(told).model_dump(mode="json") == told


@pytest.mark.parametrize("cursor", [None, "AAAA"])
def test_a_page_of_notifications_is_what_its_schema_says(cursor: str | None) -> None:
    shown = [views.delivery_view(row) for row in DELIVERIES]

    _agree(NotificationPage, {"items": [views.notification_view(row, shown) for row in NOTES], "next_cursor": cursor})
    _agree(NotificationPage, {"items": [views.notification_view(FULL_NOTE, [])], "next_cursor": cursor})


def test_a_page_of_deliveries_is_what_its_schema_says() -> None:
    shown = [views.delivery_view(row) for row in DELIVERIES]
    page = {"items": [views.notification_view(row, shown) for row in NOTES], "next_cursor": None}

    _agree(DeliveryPage, deliveries_of(page, lambda _: True))


@pytest.mark.parametrize("note", [_note(), FULL_NOTE])
@pytest.mark.parametrize("delivery", [_delivery(each) for each in DeliveryStatus] + [FULL_DELIVERY])
def test_an_explanation_is_what_its_schema_says(note: Mapping[str, Any], delivery: Mapping[str, Any]) -> None:
    events = [views.event_view(row) for row in EVENTS]
    told = views.notification_view(note, [views.delivery_in_full(delivery, events)])

    _agree(ExplanationTold, {"notification": told, "gates": views.gate_views(note), "events": events})


def test_a_status_is_what_its_schema_says() -> None:
    _agree(NotificationState, views.state_view(NOTE, [(delivery_id(NOTE, 1), each.code) for each in DeliveryStatus]))
