"""Status webhooks in the OpenAPI document: what each route takes and answers, shown once."""

from typing import Any

from api.examples.base import AT, DELIVERY_ID, Example, Examples, page

_ID = "01930b7a-6c00-7f2e-8a51-5d3c2b1a0c01"
_MESSAGE = "5b0f1f0e-5a3c-4c5e-9d53-0d2f6c1f7a10"
_ONE = "/api/v1/webhooks/{webhook_id}"
_URL = "https://hooks.shop.example/carillon"
_EVENTS = ["notification.delivery.delivered", "notification.delivery.failed"]
_SECRET = "whsec_" + "C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
_TOLD: dict[str, Any] = {
    "id": _ID,
    "url": _URL,
    "events": _EVENTS,
    "is_active": True,
    "disabled_reason": None,
    "disabled_at": None,
    "failing_since": None,
    "old_secret_until": None,
    "created_at": AT,
}
_LINE: dict[str, Any] = {
    "id": "01930b7a-6c00-7f2e-8a51-5d3c2b1a0d02",
    "message_id": _MESSAGE,
    "type": "notification.delivery.delivered",
    "delivery_id": DELIVERY_ID,
    "attempt": 1,
    "at": AT,
    "status_code": 200,
    "answer": "ok",
    "error": None,
    "duration_ms": 41,
}

EXAMPLES: Examples = {
    ("/api/v1/webhooks", "post"): Example({"url": _URL, "events": _EVENTS}, {**_TOLD, "secret": _SECRET}),
    ("/api/v1/webhooks", "get"): page(_TOLD),
    (_ONE, "get"): Example(told=_TOLD),
    (_ONE, "patch"): Example({"is_active": True}, _TOLD),
    (f"{_ONE}/rotate", "post"): Example(
        {"overlap_s": 86_400}, {**_TOLD, "old_secret_until": "2027-02-01T09:00:00.000Z", "secret": _SECRET}
    ),
    (f"{_ONE}/attempts", "get"): page(_LINE),
    (f"{_ONE}/replay", "post"): Example(
        {"since": "2027-01-30T00:00:00Z", "until": AT}, {"replayed": 12, "has_more": False}
    ),
    (f"{_ONE}/test", "post"): Example(told={"message_id": _MESSAGE}),
}
