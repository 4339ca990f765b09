"""What operators do, shown once in the OpenAPI document."""

from typing import Any

from api.examples import Example

_AT = "2027-01-31T03:00:00.000Z"
_LATER = "2027-01-31T03:20:00.000Z"
_WHY = {"why": "the link leads nowhere"}
_HOLD: dict[str, Any] = {
    "id": "01930b7a-6c00-7f2e-8a51-5d3c2b1a0e00",
    "tenant_id": "01930b7a-6c00-7f2e-8a51-000000000001",
    "kind": "template",
    "subject": "order_shipped",
    "why": "the link leads nowhere",
    "created_by": "cn_live_u4TO",
    "created_at": _AT,
    "released_at": None,
    "released_by": None,
    "released_why": None,
}
_RELEASED = _HOLD | {"released_at": _LATER, "released_by": "cn_live_u4TO", "released_why": "corrected"}
_PAUSE = _HOLD | {"tenant_id": None, "kind": "lane", "subject": "sms.low"}
_OPS = "/api/v1/ops"
_LANE = f"{_OPS}/lanes/{{channel}}/{{priority}}"

EXAMPLES: dict[tuple[str, str], Example] = {
    (f"{_OPS}/holds", "get"): Example(
        told={"items": [_HOLD | {"waiting": {"deliveries": 41_250, "is_more": False}}], "next_cursor": None}
    ),
    (f"{_OPS}/holds", "post"): Example({"kind": "template", "subject": "order_shipped", **_WHY}, _HOLD),
    (f"{_OPS}/holds/{{hold_id}}", "delete"): Example(told=_RELEASED),
    (f"{_LANE}/pause", "post"): Example(_WHY, {"lane": "sms.low", "is_paused": True, "hold": _PAUSE}),
    (f"{_LANE}/resume", "post"): Example(
        {"why": "corrected"},
        {"lane": "sms.low", "is_paused": False, "hold": _RELEASED | {"kind": "lane", "subject": "sms.low"}},
    ),
}
