"""The two hot routes, one notification and up to a thousand, answered before the framework is reached.

What they take and answer is described for OpenAPI in `schemas.sending`; a test holds the two together, and another the
two ways here: past the framework, and through it for whoever writes the path in an odd way.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from api.auth import Key
from api.auth import Scope as KeyScope
from api.body import Asked, read_document
from api.dependencies import House, identify
from api.errors import answer_to
from api.fields import Faults, kind_of
from api.idempotency import HEADER, read_key
from api.strict_json import Document, escape, refuse_faults
from api.usual import read_notification
from domain.errors import Fault, RequestRefused, Unavailable
from domain.notification import NotificationRequest
from fanout.cases import Accepted, IdempotencyKey, Item, Sender
from fanout.limits import KEY_POLICY

PATH = "/api/v1/notifications"
BULK_PATH = "/api/v1/notifications/bulk"
MAX_BULK = 1000

_READ = {
    name.encode(): name for name in ("authorization", "content-type", "content-length", "content-encoding", HEADER)
}
"""The header lines that the hot routes look at; of equal ones the first counts."""

_encode = msgspec.json.Encoder().encode


class HotRoutes:
    """ASGI: answers the hot routes itself and hands on everything else."""

    def __init__(self, app: ASGIApp, house: House) -> None:
        self._app = app
        self._house = house

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        take = _HOT.get(scope.get("raw_path", b"")) if scope.get("method") == "POST" else None
        if take is None:
            await self._app(scope, receive, send)
            return
        answer: ASGIApp
        try:
            answer = await take(_Asked(scope, receive), self._house)
        except (RequestRefused, Unavailable) as error:
            answer = answer_to(error, scope)
        await answer(scope, receive, send)


class _Asked:
    """A request, with as little as reading it needs."""

    __slots__ = ("headers", "receive", "scope")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self.receive = receive
        lines = reversed(scope["headers"])
        self.headers = {_READ[name]: text.decode("latin-1") for name, text in lines if name in _READ}


class Told:
    """A 202 in JSON."""

    __slots__ = ("_body", "_headers")

    def __init__(self, document: object, headers: Mapping[str, str]) -> None:
        self._body = body = _encode(document)
        lines = [(name.lower().encode("latin-1"), text.encode("latin-1")) for name, text in headers.items()]
        self._headers = [*lines, (b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # ASGI calls so
        await send({"type": "http.response.start", "status": 202, "headers": self._headers})
        await send({"type": "http.response.body", "body": self._body})


def routes() -> list[Route]:
    """The hot routes as the framework knows them, to be placed before all others."""
    return [
        Route(BULK_PATH, _through_framework(send_bulk), methods=["POST"], name="send_bulk"),
        Route(PATH, _through_framework(send_one), methods=["POST"], name="send_one"),
    ]


def _through_framework(take: "_Take") -> Callable[[Request], Awaitable[Told]]:
    async def endpoint(request: Request) -> Told:
        return await take(request, request.app.state.house)

    return endpoint


async def send_one(request: Asked, house: House) -> Told:
    """Take one notification: 202 once it is in PostgreSQL. RequestRefused, Unavailable."""
    request.scope["route_path"] = PATH
    sender = sender_of(await identify(request, house.keys, KeyScope.SEND))
    limits = house.body_limits
    document = await read_document(request, limits.size_bytes, timeout_s=limits.timeout_s)
    refuse_faults(document.faults)
    key = _key(request, sender, PATH, document.value)
    wanted = read_notification(document.value, now=house.clock())
    accepted = await house.batcher.submit(Item(sender, wanted, key))
    return tell(accepted)


def tell(accepted: Accepted, more: dict[str, Any] | None = None) -> Told:
    """The 202 of one notification, with `more` in its body: where it is found, what its key has left."""
    body = accepted.answer()
    if more:
        body |= more
    headers = {"location": f"{PATH}/{accepted.id}"}
    if accepted.limit is not None:
        headers |= accepted.limit.headers(KEY_POLICY)
    if accepted.replayed:
        headers["idempotent-replayed"] = "true"
    return Told(body, headers)


async def send_bulk(request: Asked, house: House) -> Told:
    """Take up to a thousand, each with a result of its own, in order. RequestRefused, Unavailable for the whole."""
    request.scope["route_path"] = BULK_PATH
    sender = sender_of(await identify(request, house.keys, KeyScope.SEND))
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
    return Told(answer, {"idempotent-replayed": "true"} if accepted.replayed else {})


_Take = Callable[[Asked, House], Awaitable[Told]]
_HOT: dict[bytes, _Take] = {PATH.encode(): send_one, BULK_PATH.encode(): send_bulk}


def sender_of(key: Key) -> Sender:
    """Whose key it is, as accept wants to know it."""
    return Sender(key.tenant_id, key.mode, key.id, key.prefix)


def _key(request: Asked, sender: Sender, path: str, body: Any) -> IdempotencyKey | None:
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
        shown = {"index": index, "id": result.id, "status": result.status, "error": None}
        return shown if result.duplicate_of is None else shown | {"duplicate_of": result.duplicate_of}
    errors = [{"pointer": f"/notifications/{index}{f.pointer}", "detail": f.detail} for f in result.faults]
    error = {"status": result.status, "reason": result.reason, "detail": result.detail, "errors": errors}
    return {"index": index, "id": None, "status": "rejected", "error": error}
