"""The two hot routes: one notification, and up to a thousand, as plain Starlette endpoints without FastAPI's costs.

What they take and answer is described for OpenAPI in `schemas.notification`; a test holds the two together.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.auth import Key, Scope
from api.body import read_document
from api.dependencies import House, identify
from api.fields import Faults, kind_of
from api.idempotency import HEADER, read_key
from api.strict_json import Document, escape, refuse_faults
from api.usual import read_notification
from domain.errors import Fault, RequestRefused
from domain.notification import NotificationRequest
from fanout.cases import Accepted, IdempotencyKey, Item, Sender
from fanout.limits import KEY_POLICY

PATH = "/api/v1/notifications"
BULK_PATH = "/api/v1/notifications/bulk"
MAX_BULK = 1000

_encode = msgspec.json.Encoder().encode


def routes() -> list[Route]:
    """The hot routes, to be placed before all others."""
    return [
        Route(BULK_PATH, send_bulk, methods=["POST"], name="send_bulk"),
        Route(PATH, send_one, methods=["POST"], name="send_one"),
    ]


async def send_one(request: Request) -> Response:
    """Take one notification: 202 once it is in PostgreSQL. RequestRefused, Unavailable."""
    house: House = request.app.state.house
    request.scope["route_path"] = PATH
    sender = sender_of(await identify(request, house.keys, Scope.SEND))
    limits = house.body_limits
    document = await read_document(request, limits.size_bytes, timeout_s=limits.timeout_s)
    refuse_faults(document.faults)
    key = _key(request, sender, PATH, document.value)
    wanted = read_notification(document.value, now=house.clock())
    accepted = await house.batcher.submit(Item(sender, wanted, key))
    return tell(accepted)


def tell(accepted: Accepted, more: Mapping[str, Any] = MappingProxyType({})) -> Response:
    """The 202 of one notification, with `more` in its body: where it is found, what its key has left."""
    headers = {"location": f"{PATH}/{accepted.id}"}
    if accepted.limit is not None:
        headers |= accepted.limit.headers(KEY_POLICY)
    if accepted.replayed:
        headers["idempotent-replayed"] = "true"
    return _json(accepted.answer() | dict(more), headers)


async def send_bulk(request: Request) -> Response:
    """Take up to a thousand, each with a result of its own, in order. RequestRefused, Unavailable for the whole."""
    house: House = request.app.state.house
    request.scope["route_path"] = BULK_PATH
    sender = sender_of(await identify(request, house.keys, Scope.SEND))
    limits = house.body_limits
    document = await read_document(request, limits.bulk_size_bytes, timeout_s=limits.timeout_s)
    items, faults = _items(document)
    key = _key(request, sender, BULK_PATH, document.value)
    now = house.clock()
    wanted: list[NotificationRequest | RequestRefused] = []
    for index, item in enumerate(items):
        try:
            refuse_faults(faults.get(index, ()))
            wanted.append(read_notification(item, now=now))
        except RequestRefused as refusal:
            wanted.append(refusal)
    accepted = await house.batcher.submit_bulk(sender, wanted, key)
    results = [_result(index, result) for index, result in enumerate(accepted.results)]
    rejected = sum(result["error"] is not None for result in results)
    answer = {"accepted": len(results) - rejected, "rejected": rejected, "results": results}
    return _json(answer, {"idempotent-replayed": "true"} if accepted.replayed else {})


def sender_of(key: Key) -> Sender:
    """Whose key it is, as accept wants to know it."""
    return Sender(key.tenant_id, key.mode, key.id, key.prefix)


def _key(request: Request, sender: Sender, path: str, body: Any) -> IdempotencyKey | None:
    return read_key(request.headers.get(HEADER), sender.tenant_id, sender.mode, method="POST", path=path, body=body)


def _items(document: Document) -> tuple[list[Any], dict[int, tuple[Fault, ...]]]:
    """The items of a bulk request, and what the strict reader found in each; RequestRefused(422) for its frame."""
    value = document.value
    if value is None:
        refuse_faults(document.faults)
    faults = Faults()
    if not isinstance(value, dict):
        faults.add("", f"must be an object, not {kind_of(value)}")
        faults.raise_if_any()
    items = value.get("notifications")
    for name in value:
        if name != "notifications":
            faults.add(f"/{escape(name)}", "unknown field")
    if not isinstance(items, list) or not items:
        faults.add("/notifications", f"must be an array of 1 to {MAX_BULK} notifications")
    elif len(items) > MAX_BULK:
        faults.add("/notifications", f"has {len(items)} entries, at most {MAX_BULK} are allowed")
    by_item: dict[int, tuple[Fault, ...]] = {}
    for fault in document.faults:
        _, first, index, *rest = [*fault.pointer.split("/"), "", ""]
        if first == "notifications" and index.isdecimal():
            pointer = "".join(f"/{part}" for part in rest if part)
            by_item[int(index)] = (*by_item.get(int(index), ()), Fault(pointer, fault.detail))
        else:
            faults.append(fault)
    faults.raise_if_any()
    return list(items or ()), by_item


def _result(index: int, result: Accepted | RequestRefused) -> dict[str, Any]:
    """One line of the answer; an error's pointers lead into the bulk request."""
    if isinstance(result, Accepted):
        shown = {"index": index, "id": str(result.id), "status": str(result.status), "error": None}
        return shown | ({"duplicate_of": str(result.duplicate_of)} if result.duplicate_of else {})
    errors = [{"pointer": f"/notifications/{index}{f.pointer}", "detail": f.detail} for f in result.faults]
    error = {"status": result.status, "reason": result.reason, "detail": result.detail, "errors": errors}
    return {"index": index, "id": None, "status": "rejected", "error": error}


def _json(document: object, headers: dict[str, str]) -> Response:
    return Response(_encode(document), 202, media_type="application/json", headers=headers)
