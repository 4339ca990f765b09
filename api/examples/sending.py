"""Sending, and what became of it; people, categories, suppressions, health: what each route takes and answers."""

from typing import Any

from api.examples.base import AT, DELIVERY_ID, KEY, NOTIFICATION_ID, Example, Examples, page
from api.schemas.sending import ACCEPTED_EXAMPLE, DEVICE_TOLD_EXAMPLE

_LATER = "2027-01-31T09:00:00.120Z"
_ITEM = "/api/v1/notifications/{notification_id}"
_PREFERENCES = "/api/v1/users/{user}/preferences"

_FACTS: dict[str, Any] = {"status": "sent", "provider": "smtp", "answer": "250 2.0.0 OK", "duration_ms": 3.7}
_DELIVERY: dict[str, Any] = {
    "id": DELIVERY_ID,
    "channel": "email",
    "device_id": None,
    "status": "sent",
    "reason": None,
    "attempt": 1,
    "provider": "smtp",
    "provider_id": "4f1c9d",
    "next_attempt_at": None,
    "updated_at": _LATER,
}
_IN_LIST: dict[str, Any] = {
    "id": NOTIFICATION_ID,
    "status": "completed",
    "mode": "live",
    "user": "user-42",
    "template": "order_shipped",
    "template_version": 901361986,
    "locale": None,
    "category": "orders",
    "priority": "high",
    "collapse_id": None,
    "dedupe_key": "shipped-A-1001",
    "duplicate_of": None,
    "send_at": None,
    "expires_at": "2027-01-31T10:00:00.000Z",
    "cancelled_at": None,
    "created_at": AT,
    "deliveries": [_DELIVERY],
}
_ATTEMPT: dict[str, Any] = {"attempt": 1, "outcome": "attempt_sent", "ended_at": _LATER, "facts": _FACTS}
_IN_FULL: dict[str, Any] = {**_IN_LIST, "deliveries": [{**_DELIVERY, "attempts": [_ATTEMPT]}]}
_GATE: dict[str, Any] = {
    "gate": "consent",
    "verdict": "pass",
    "at": AT,
    "channel": "email",
    "reason": None,
    "until": None,
    "inputs": {"version": 3, "category": "orders", "rule": "default", "default": "allow"},
}
_EVENT: dict[str, Any] = {
    "delivery_id": DELIVERY_ID,
    "at": _LATER,
    "kind": "attempt_sent",
    "attempt": 1,
    "facts": _FACTS,
}
_BULK: dict[str, Any] = {
    "accepted": 1,
    "rejected": 1,
    "results": [
        {"index": 0, "id": NOTIFICATION_ID, "status": "accepted", "error": None},
        {
            "index": 1,
            "id": None,
            "status": "rejected",
            "error": {
                "status": 422,
                "reason": "unknown_recipient",
                "detail": "there is no user 'user-43'; send its email or phone along to create it",
                "errors": [{"pointer": "/notifications/1/to", "detail": "there is no user 'user-43'"}],
            },
        },
    ],
}
_USER: dict[str, Any] = {
    "email": "ada@example.org",
    "phone": "+33612345678",
    "locale": "fr",
    "timezone": "Europe/Paris",
    "name": "Ada",
    "attributes": {"plan": "gold"},
}
_USER_TOLD: dict[str, Any] = {"id": "user-42", **_USER, "version": 1, "created_at": AT, "updated_at": AT}
_CHOSEN: dict[str, Any] = {
    "channels": {"email": True, "sms": False},
    "categories": {"marketing": {"email": False}},
    "quiet_hours": {"start": "22:00", "end": "07:00", "timezone": "Europe/Paris", "mode": "defer"},
    "unsubscribed": False,
}
_CHANGE: dict[str, Any] = {
    "version": 2,
    "document": _CHOSEN,
    "changed_at": AT,
    "actor": KEY,
    "source": "api",
    "evidence": {},
}
_CATEGORY: dict[str, Any] = {
    "kind": "promotional",
    "default": "deny",
    "required": False,
    "channels": ["email"],
    "dedupe_window_s": 86400,
    "expires_in_s": 86400,
    "ambiguous": "hold",
}
_CATEGORY_TOLD: dict[str, Any] = {"id": "newsletter", **_CATEGORY}
_SUPPRESSION: dict[str, Any] = {
    "id": NOTIFICATION_ID,
    "channel": "email",
    "address": "ada@example.org",
    "category": None,
    "reason": "manual",
    "source": f"api:{KEY}",
    "created_at": AT,
    "expires_at": None,
}
_DEPENDENCY: dict[str, Any] = {
    "name": "postgres",
    "is_up": True,
    "is_required": True,
    "duration_ms": 0.7,
    "detail": "",
}
_FORECAST: dict[str, Any] = {
    "user": "user-42",
    "template": "order_shipped",
    "at": AT,
    "gates": [_GATE],
    "deliveries": [{"channel": "email", "device_id": None, "status": "queued", "reason": None, "until": None}],
    "past": {
        "notifications": [{"notification": _IN_FULL, "gates": [_GATE], "events": [_EVENT]}],
        "before": None,
        "after": None,
        "preferences": _CHANGE,
        "suppressions": [],
        "unknown": ["limits, windows of duplicates and breakers of that time are not kept"],
    },
}

EXAMPLES: Examples = {
    ("/api/v1/notifications", "post"): Example(told=ACCEPTED_EXAMPLE),
    ("/api/v1/notifications/bulk", "post"): Example(told=_BULK),
    ("/api/v1/notifications/device/{token}", "post"): Example(told=DEVICE_TOLD_EXAMPLE),
    ("/api/v1/notifications", "get"): page(_IN_LIST),
    ("/api/v1/notifications/stats", "get"): Example(
        told={"since": AT, "as_of": _LATER, "items": [{"group": {"channel": "email"}, "status": "sent", "count": 644}]}
    ),
    (_ITEM, "get"): Example(told=_IN_FULL),
    (_ITEM, "delete"): Example(
        told={"id": NOTIFICATION_ID, "deliveries": [{"id": DELIVERY_ID, "channel": "email", "outcome": "withdrawn"}]}
    ),
    (f"{_ITEM}/status", "get"): Example(
        told={"id": NOTIFICATION_ID, "status": "completed", "deliveries": [{"id": DELIVERY_ID, "status": "sent"}]}
    ),
    (f"{_ITEM}/explain", "get"): Example(told={"notification": _IN_FULL, "gates": [_GATE], "events": [_EVENT]}),
    ("/api/v1/explain", "get"): Example(told=_FORECAST),
    ("/api/v1/users/{user}", "put"): Example(_USER, _USER_TOLD),
    ("/api/v1/users/{user}", "get"): Example(told=_USER_TOLD),
    (_PREFERENCES, "get"): Example(told=_CHOSEN),
    (_PREFERENCES, "put"): Example(_CHOSEN, _CHOSEN),
    (_PREFERENCES, "patch"): Example({"categories": {"marketing": {"email": False}}, "quiet_hours": None}, _CHOSEN),
    (f"{_PREFERENCES}/history", "get"): page(_CHANGE),
    ("/api/v1/categories", "get"): Example(told={"items": [_CATEGORY_TOLD]}),
    ("/api/v1/categories/{name}", "get"): Example(told=_CATEGORY_TOLD),
    ("/api/v1/categories/{name}", "put"): Example(_CATEGORY, _CATEGORY_TOLD),
    ("/api/v1/suppressions", "get"): page(_SUPPRESSION),
    ("/api/v1/suppressions", "post"): Example({"email": "ada@example.org", "reason": "manual"}, _SUPPRESSION),
    ("/health/live", "get"): Example(told={"status": "alive"}),
    ("/health/ready", "get"): Example(told={"is_ready": True, "dependencies": [_DEPENDENCY]}),
}
