"""The export of a user and the proof of an erasure, shown once in the OpenAPI document."""

from typing import Any

from api.examples import EXAMPLES as SHARED
from api.examples import Example

_ID = "01930b7a-6c00-7f2e-8a51-5d3c2b1a0000"
_DELIVERY_ID = "01930b7a-6c00-7f2e-8a51-5d3c2b1a0001"
_DEVICE_ID = "01930b7a-6c00-7f2e-8a51-5d3c2b1a0d00"
_AT = "2027-01-31T09:00:00.000Z"
_HISTORY: dict[str, Any] = SHARED["/api/v1/users/{user}/preferences/history", "get"].told
_CHOSEN: dict[str, Any] = SHARED["/api/v1/users/{user}/preferences", "get"].told
_DEVICE: dict[str, Any] = {
    "id": _DEVICE_ID,
    "app_bundle_id": "com.example.demo",
    "platform": "ios",
    "provider": "carillon",
    "region": None,
    "device_info": {"model": "A1"},
    "created_at": _AT,
    "last_seen_at": _AT,
    "invalidated_at": None,
}
_NOTIFICATION: dict[str, Any] = {
    "id": _ID,
    "status": "completed",
    "template": "order_shipped",
    "category": "orders",
    "data": {"order": "A-1001"},
    "decisions": {"gates": [{"gate": "shape", "verdict": "pass"}], "plan": []},
    "created_at": _AT,
    "deliveries": [
        {
            "id": _DELIVERY_ID,
            "channel": "email",
            "status": "sent",
            "events": [{"at": _AT, "kind": "attempt_sent", "attempt": 1, "facts": {"status": "sent"}}],
        }
    ],
}
_EXPORT: dict[str, Any] = {
    "user": SHARED["/api/v1/users/{user}", "get"].told,
    "contacts": [{"id": _ID, "channel": "email", "address": "ada@example.org", "created_at": _AT, "updated_at": _AT}],
    "preferences": {"version": 2, "document": _CHOSEN, "updated_at": _AT},
    "preference_history": _HISTORY["items"],
    "suppressions": [SHARED["/api/v1/suppressions", "post"].told],
    "devices": [_DEVICE],
    "topics": [{"device_id": _DEVICE_ID, "topic": "news", "subscribed_at": _AT}],
    "mailbox": [],
    "notifications": [_NOTIFICATION],
    "dead_letters": [],
}
_ERASURE: dict[str, Any] = {
    "id": _ID,
    "actor": "cn_live_u4TO",
    "asked_at": _AT,
    "emptied_at": _AT,
    "closed_at": None,
    "counts": {"contacts": 2, "preference_history": 1, "devices": 1, "notifications": 644, "events": 1290},
}

EXAMPLES: dict[tuple[str, str], Example] = {
    ("/api/v1/users/{user}/export", "get"): Example(told=_EXPORT),
    ("/api/v1/erasures", "get"): Example(told={"items": [_ERASURE], "next_cursor": None}),
}
