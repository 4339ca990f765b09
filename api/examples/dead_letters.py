"""Dead letters in the OpenAPI document: what each route takes and answers, shown once."""

from typing import Any

from api.examples.base import AT, KEY, Example, Examples, page
from api.examples.sending import EXAMPLES as SENDING

_LATER = "2027-01-31T09:20:00.000Z"
_PATH = "/api/v1/dead-letters"
_LETTER_ID = "01930b7a-7a10-7c55-9b01-2f0c6d1a9e44"
_EXPLAINED = SENDING["/api/v1/notifications/{notification_id}/explain", "get"].told
_NOTIFICATION = _EXPLAINED["notification"]
_DETAIL = "order_shipped/email.txt:3: 'order' is undefined"

_IN_LIST: dict[str, Any] = {
    "id": _LETTER_ID,
    "settled_at": None,
    "settlement": None,
    "channel": "email",
    "reason": "template_missing_variable",
    "detail": _DETAIL,
    "cluster": "9f86d081884c",
    "notification_id": _NOTIFICATION["id"],
    "delivery_id": _NOTIFICATION["deliveries"][0]["id"],
    "created_at": AT,
}
_DIFF: list[dict[str, Any]] = [{"op": "add", "path": "/data/order", "value": "A-1001"}]
_MASKED: list[dict[str, Any]] = [{"op": "add", "path": "/data/order", "value": "[hidden]"}]
_IN_FULL: dict[str, Any] = {
    **_IN_LIST,
    "is_revealed": False,
    "evidence": {"attempt": 1, "template": "order_shipped", "template_version": 901361986},
    "recipient": {"user": "user-42", "name": "[hidden]", "address": "[hidden]@example.org"},
    "data": {"order": "[hidden]"},
    "content": None,
    "expires_at": "2027-01-31T10:00:00.000Z",
    "edits": [
        {
            "version": version,
            "data": data,
            "content": None,
            "expires_at": "2027-01-31T10:00:00.000Z",
            "by": by,
            "at": _LATER,
        }
        for version, data, by in ((1, {"order": "[hidden]"}, KEY), (0, {}, "carillon"))
    ],
    "notification": _NOTIFICATION,
    "gates": _EXPLAINED["gates"],
    "events": _EXPLAINED["events"],
    "trail": [
        {
            "at": _LATER,
            "who": KEY,
            "what": "edited",
            "why": "the shop forgot the order",
            "diff": _MASKED,
            "run_id": None,
        }
    ],
}
_CLUSTER: dict[str, Any] = {
    "cluster": "9f86d081884c",
    "channel": "email",
    "provider": None,
    "error": "order_shipped/email.txt:*: 'order' is undefined",
    "template": "order_shipped@901361986",
    "count": 412,
    "reach": 409,
    "first_seen_at": AT,
    "last_seen_at": _LATER,
    "last_hour": 400,
    "hour_before": 12,
}
_RUN_ID = "01930b7a-8f30-7d02-8c11-6b7a0d2e4f90"
_RUN = f"{_PATH}/replays/{{run_id}}"
_REPLAY: dict[str, Any] = {
    "id": _RUN_ID,
    "status": "rest",
    "dry_run": False,
    "is_complete": False,
    "matched": 412,
    "looked_at": 61,
    "replayed": 58,
    "refused": {"suppressed": 2, "expired": 1},
    "canary": 1,
    "rate_per_s": 50,
    "why": None,
    "created_by": KEY,
    "created_at": AT,
    "updated_at": _LATER,
    "finished_at": None,
}

EXAMPLES: Examples = {
    (_PATH, "get"): page(_IN_LIST),
    (f"{_PATH}/clusters", "get"): Example(told={"items": [_CLUSTER]}),
    (f"{_PATH}/{{letter_id}}", "get"): Example(told=_IN_FULL),
    (f"{_PATH}/{{letter_id}}", "patch"): Example(
        {"data": {"order": "A-1001"}, "why": "the shop forgot the order"},
        {"id": _LETTER_ID, "version": 1, "diff": _DIFF},
    ),
    (_PATH, "patch"): Example(
        {"filter": {"cluster": "9f86d081884c"}, "set": {"expires_at": "2027-02-01T09:00:00Z"}},
        {"edited": 412, "refused": []},
    ),
    (f"{_PATH}/discard", "post"): Example(
        {"filter": {"reason": "provider_rejected"}, "why": "the sale is over"},
        {"discarded": 57, "already_settled": 0, "is_complete": True},
    ),
    (f"{_PATH}/replay", "post"): Example(
        {"filter": {"cluster": "9f86d081884c"}, "canary": 1, "rate_per_s": 50},
        {**_REPLAY, "status": "canary", "looked_at": 0, "replayed": 0, "refused": {}},
    ),
    (f"{_PATH}/replays", "get"): page(_REPLAY),
    (_RUN, "get"): Example(told=_REPLAY),
    (_RUN, "delete"): Example(told={**_REPLAY, "status": "cancelled", "is_complete": True, "finished_at": _LATER}),
}
