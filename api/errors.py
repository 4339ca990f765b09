"""Errors as the outside sees them: RFC 9457 problem details, always, and never a trace, a query or a secret.

refused     RequestRefused -> its own 4xx
away        Unavailable -> 503 with Retry-After
framework   unknown route 404, wrong method 405, shape 422 -> the same form
unforeseen  anything else -> 500 with the request's id only; the door logs the rest
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from api.strict_json import escape
from domain.errors import OURSELVES, Fault, RequestRefused, Unavailable

MEDIA_TYPE = "application/problem+json"
QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"

_encode = msgspec.json.Encoder().encode

_WORDS = {
    404: "there is no such path; /openapi.json names them all",
    405: "this path does not take this method; the header Allow names those it takes",
}
"""What the framework says in two words."""

_LATER = {"/query/campaign": "campaigns are not available yet"}
"""Parameters that a later release will have."""

_ENDS_CONNECTION = frozenset({400, 408})
"""After these nobody knows where the next request begins. What is left of other bodies the server reads away."""


def document(
    status: int,
    reason: str,
    detail: str,
    *,
    instance: str | None = None,
    faults: Sequence[Fault] = (),
) -> dict[str, Any]:
    """The problem as a JSON document."""
    problem: dict[str, Any] = {
        "type": QUOTA_EXCEEDED if reason == "rate_limited" else f"urn:carillon:problem:{reason}",
        "title": _title(status),
        "status": status,
        "detail": detail,
        "reason": reason,
        "errors": [{"pointer": fault.pointer, "detail": fault.detail} for fault in faults],
    }
    if instance is not None:
        problem["instance"] = instance
    return problem


def problem(
    status: int,
    reason: str,
    detail: str,
    *,
    instance: str | None = None,
    faults: Sequence[Fault] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The problem as an answer."""
    body = _encode(document(status, reason, detail, instance=instance, faults=faults))
    answer = Response(body, status, media_type=MEDIA_TYPE, headers=dict(headers or {}))
    if status in _ENDS_CONNECTION:
        answer.headers["connection"] = "close"
    return answer


def of_refusal(refusal: RequestRefused, instance: str | None) -> Response:
    """The answer to a request that was refused."""
    headers = dict(refusal.headers)
    if refusal.retry_after_s is not None:
        headers["retry-after"] = str(refusal.retry_after_s)
    return problem(
        refusal.status, refusal.reason, refusal.detail, instance=instance, faults=refusal.faults, headers=headers
    )


def not_found(what: str) -> RequestRefused:
    """404: there is no such thing, or it belongs to somebody else; nobody can tell which."""
    return RequestRefused("not_found", f"there is no such {what}", 404)


def install(app: FastAPI) -> None:
    """Make every refusal of the application speak this form."""
    handlers: dict[Any, Any] = {
        RequestRefused: _on_refused,
        Unavailable: _on_refused,
        RequestValidationError: _on_shape,
        HTTPException: _on_http,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


def instance_of(scope: Scope) -> str:
    """How a problem names this occurrence: the request's id, which the log has too."""
    return f"urn:carillon:request:{scope.get('request_id', 'unknown')}"


def answer_to(error: RequestRefused | Unavailable, scope: Scope) -> Response:
    """The answer to a request that was refused, or that had to find something which is not there now."""
    if isinstance(error, RequestRefused):
        scope["refused_as"] = error.reason
        return of_refusal(error, instance_of(scope))
    scope["refused_as"] = "unavailable"
    what = "too much is waiting here" if error.service == OURSELVES else f"{error.service} does not answer"
    detail = f"{what}; nothing is known to be kept of this request: send it again"
    headers = {"retry-after": str(error.retry_after_s)}
    return problem(503, "unavailable", detail, instance=instance_of(scope), headers=headers)


async def _on_refused(request: Request, error: RequestRefused | Unavailable) -> Response:
    return answer_to(error, request.scope)


async def _on_shape(request: Request, error: RequestValidationError) -> Response:
    faults = [_fault(each["loc"], each["type"], each["msg"]) for each in error.errors()]
    faults.sort(key=lambda fault: fault.pointer not in _LATER)
    is_later = bool(faults) and faults[0].pointer in _LATER
    request.scope["refused_as"] = reason = "not_available_yet" if is_later else "invalid_request"
    detail = f"{faults[0].pointer or 'the request'}: {faults[0].detail}" if faults else "the request has a wrong shape"
    return problem(422, reason, detail, instance=instance_of(request.scope), faults=faults)


async def _on_http(request: Request, error: HTTPException) -> Response:
    reason = "method_not_allowed" if error.status_code == 405 else _title(error.status_code).lower().replace(" ", "_")
    request.scope["refused_as"] = reason
    detail = _WORDS.get(error.status_code) or str(error.detail)
    headers = {"Allow": _allowed(request)} if error.status_code == 405 else error.headers
    return problem(error.status_code, reason, detail, instance=instance_of(request.scope), headers=headers)


def _allowed(request: Request) -> str:
    """Every method of this path; the framework names those of the first route that fits."""
    fitting = (route for route in request.app.routes if isinstance(route, Route))
    found = [route.methods or () for route in fitting if route.matches(request.scope)[0] is not Match.NONE]
    return ", ".join(sorted(set().union(*found)))


def _fault(place: Sequence[str | int], kind: str, words: str) -> Fault:
    """Pydantic's error as a fault: bodies get a pointer, parameters one that names where they stand."""
    where = [str(part) for part in place]
    if where and where[0] == "body":
        where = where[1:]
    pointer = "".join(f"/{escape(part)}" for part in where)
    if kind == "extra_forbidden":
        return Fault(pointer, _LATER.get(pointer, "unknown field"))
    return Fault(pointer, words[:1].lower() + words[1:])


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
