"""The export of a user and the proof of an erasure, shown once in the OpenAPI document."""

from typing import Any

from api.examples.base import AT, DELIVERY_ID, KEY, NOTIFICATION_ID, Example, Examples, page
from api.examples.sending import EXAMPLES as SENDING

_DEVICE_ID = "01930b7a-6c00-7f2e-8a51-5d3c2b1a0d00"
_HISTORY: dict[str, Any] = SENDING["/api/v1/users/{user}/preferences/history", "get"].told
_CHOSEN: dict[str, Any] = SENDING["/api/v1/users/{user}/preferences", "get"].told
_DEVICE: dict[str, Any] = {
    "id": _DEVICE_ID,
    "app_bundle_id": "com.example.demo",
    "platform": "ios",
    "provider": "carillon",
    "region": None,
    "device_info": {"model": "A1"},
    "created_at": AT,
    "last_seen_at": AT,
    "invalidated_at": None,
}
_NOTIFICATION: dict[str, Any] = {
    "id": NOTIFICATION_ID,
    "status": "completed",
    "template": "order_shipped",
    "category": "orders",
    "data": {"order": "A-1001"},
    "decisions": {"gates": [{"gate": "shape", "verdict": "pass"}], "plan": []},
    "created_at": AT,
    "deliveries": [
        {
            "id": DELIVERY_ID,
            "channel": "email",
            "status": "sent",
            "events": [{"at": AT, "kind": "attempt_sent", "attempt": 1, "facts": {"status": "sent"}}],
        }
    ],
}
_CONTACT: dict[str, Any] = {
    "id": NOTIFICATION_ID,
    "channel": "email",
    "address": "ada@example.org",
    "created_at": AT,
    "updated_at": AT,
}
_EXPORT: dict[str, Any] = {
    "user": SENDING["/api/v1/users/{user}", "get"].told,
    "contacts": [
        {"id": NOTIFICATION_ID, "channel": "email", "address": "ada@example.org", "created_at": AT, "updated_at": AT}
    ],
    "preferences": {"version": 2, "document": _CHOSEN, "updated_at": AT},
    "preference_history": _HISTORY["items"],
    "suppressions": [SENDING["/api/v1/suppressions", "post"].told],
    "devices": [_DEVICE],
    "topics": [{"device_id": _DEVICE_ID, "topic": "news", "subscribed_at": AT}],
    "mailbox": [],
    "notifications": [_NOTIFICATION],
    "dead_letters": [],
}
_ERASURE: dict[str, Any] = {
    "id": NOTIFICATION_ID,
    "actor": KEY,
    "asked_at": AT,
    "emptied_at": AT,
    "closed_at": None,
    "counts": {"contacts": 2, "preference_history": 1, "devices": 1, "notifications": 644, "events": 1290},
}

EXAMPLES: Examples = {
    ("/api/v1/users/{user}/export", "get"): Example(told=_EXPORT),
    ("/api/v1/erasures", "get"): page(_ERASURE),
}
