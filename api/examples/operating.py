"""What operators do, shown once in the OpenAPI document."""

from typing import Any

from api.examples.base import AT, DELIVERY_ID, KEY, Example, Examples, page

_LATER = "2027-01-31T09:20:00.000Z"
_WHY = {"why": "the link leads nowhere"}
_HOLD: dict[str, Any] = {
    "id": "01930b7a-6c00-7f2e-8a51-5d3c2b1a0e00",
    "tenant_id": "01930b7a-6c00-7f2e-8a51-000000000001",
    "kind": "template",
    "subject": "order_shipped",
    "why": "the link leads nowhere",
    "created_by": KEY,
    "created_at": AT,
    "released_at": None,
    "released_by": None,
    "released_why": None,
}
_RELEASED = _HOLD | {"released_at": _LATER, "released_by": KEY, "released_why": "corrected"}
_PAUSE = _HOLD | {"tenant_id": None, "kind": "lane", "subject": "sms.low"}
_OPS = "/api/v1/ops"
_LANE = f"{_OPS}/lanes/{{channel}}/{{priority}}"

_ORDER = {
    "provider": "smtp",
    "state": "open",
    "why": "they answer 250 and lose it",
    "ordered_by": KEY,
    "ordered_at": AT,
}
_WORKER = "worker:mail-1:4711:a1b2c3"
_BREAKER: dict[str, Any] = {
    "provider": "smtp",
    "ordered": "open",
    "order": _ORDER,
    "workers": [
        {"worker": _WORKER, "at": AT, "state": "open", "is_forced": True, "opened_at": AT, "retry_after_s": 4.2}
    ],
}
_OVERVIEW: dict[str, Any] = {
    "at": AT,
    "lanes": [
        {
            "lane": "email.normal",
            "is_paused": False,
            "broker_messages": 12,
            "waiting": {"deliveries": 31_000, "is_more": False},
            "oldest_s": 4.1,
            "begun_last_minute": 18_000,
        }
    ],
    "breakers": [_BREAKER],
    "roles": [
        {
            "name": _WORKER,
            "role": "worker",
            "is_alive": True,
            "begun_at": AT,
            "at": AT,
            "facts": {"lanes": ["email.normal"], "waiting": 40, "trouble": None},
        }
    ],
    "gateways": None,
    "outbox": {"oldest_s": 4.1, "sweep_overdue_s": 0.0},
    "leaders": [{"name": "scheduler", "owner": "mail-1:4712", "until": _LATER, "leads": True}],
    "unknown": ["gateways"],
}

_DELIVERY: dict[str, Any] = {
    "id": DELIVERY_ID,
    "channel": "sms",
    "device_id": None,
    "status": "ambiguous",
    "reason": "provider_silent",
    "attempt": 1,
    "provider": None,
    "provider_id": None,
    "next_attempt_at": None,
    "updated_at": AT,
    "notification_id": "01930b7a-6c00-7f2e-8a51-5d3c2b1a0000",
    "user": "user-42",
    "template": "order_shipped",
    "category": "orders",
    "expires_at": _LATER,
}
_DELIVERIES = "/api/v1/deliveries"

_STUCK: dict[str, Any] = {
    "kind": "sending",
    "lane": "sms.high",
    "delivery_id": DELIVERY_ID,
    "status": "sending",
    "since": AT,
    "count": 1,
    "will": "the sweeper ends the attempt as unknown",
    "will_at": _LATER,
}

EXAMPLES: Examples = {
    (f"{_OPS}/holds", "get"): page(_HOLD | {"waiting": {"deliveries": 41_250, "is_more": False}}),
    (f"{_OPS}/holds", "post"): Example({"kind": "template", "subject": "order_shipped", **_WHY}, _HOLD),
    (f"{_OPS}/holds/{{hold_id}}", "delete"): Example(told=_RELEASED),
    (f"{_LANE}/pause", "post"): Example(_WHY, {"lane": "sms.low", "is_paused": True, "hold": _PAUSE}),
    (f"{_LANE}/resume", "post"): Example(
        {"why": "corrected"},
        {"lane": "sms.low", "is_paused": False, "hold": _RELEASED | {"kind": "lane", "subject": "sms.low"}},
    ),
    (f"{_OPS}/overview", "get"): Example(told=_OVERVIEW),
    (f"{_OPS}/breakers", "get"): Example(told={"items": [_BREAKER], "unknown": []}),
    (f"{_OPS}/breakers/{{provider}}", "get"): Example(told=_BREAKER),
    (f"{_OPS}/breakers/{{provider}}", "post"): Example(
        {"state": "open", "why": "they answer 250 and lose it"}, _BREAKER
    ),
    (_DELIVERIES, "get"): page(_DELIVERY),
    (f"{_DELIVERIES}/{{delivery_id}}/resolve", "post"): Example(
        {"as": "sent", "why": "it stands in the provider's log"},
        {"id": DELIVERY_ID, "status": "sent", "is_changed": True},
    ),
    (f"{_DELIVERIES}/{{delivery_id}}/retry-now", "post"): Example(
        {"why": "their outage is over"}, {"id": DELIVERY_ID, "status": "resting", "is_changed": True}
    ),
    (f"{_DELIVERIES}/retry-now", "post"): Example(
        {"provider": "smtp", "why": "their outage is over"}, {"retried": 1840, "next_cursor": None}
    ),
    (f"{_OPS}/stuck", "get"): Example(told={"items": [_STUCK], "unknown": []}),
}
