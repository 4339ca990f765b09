"""Broadcasts in the OpenAPI document: what each route takes and answers, shown once."""

from typing import Any

from api.examples.base import AT, Example, Examples, page
from api.schemas.broadcasts import PUBLICATION_EXAMPLE

_ID = "01930b7a-6c00-7f2e-8a51-5d3c2b1a0b01"
_BROADCAST = "/api/v1/broadcasts/{broadcast_id}"
_IN_LIST: dict[str, Any] = {
    "id": _ID,
    "topic": "match-17",
    "status": "finished",
    "planned": 9120,
    "created_at": AT,
    "finished_at": "2027-01-31T09:00:02.350Z",
    "cancelled_at": None,
}
_TOLD: dict[str, Any] = {**_IN_LIST, "deliveries": {"delivered": 7015, "stored": 2001, "suppressed": 104}}

EXAMPLES: Examples = {
    ("/api/v1/topics/{topic}/notifications", "post"): Example(
        PUBLICATION_EXAMPLE, {"id": _ID, "topic": "match-17", "status": "running"}
    ),
    ("/api/v1/broadcasts", "get"): page(_IN_LIST),
    (_BROADCAST, "get"): Example(told=_TOLD),
    (_BROADCAST, "delete"): Example(
        told={**_TOLD, "status": "cancelled", "cancelled_at": "2027-01-31T09:00:01.000Z", "finished_at": None}
    ),
}
