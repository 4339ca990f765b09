"""The front door, around everything: it numbers requests, turns monsters away and writes one line per answer."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

import structlog
from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import problem
from api.wire import write_at_once
from domain.ids import uuid7

MAX_HEADER_BYTES = 64 * 1024
MAX_HEADERS = 100
MAX_QUERY_BYTES = 8 * 1024
MAX_PATH_BYTES = 4 * 1024

_HEADERS = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))
"""What every answer says unless it says otherwise."""

_QUIET = frozenset({"/health/live", "/health/ready", "/metrics"})
"""Asked every few seconds by machines: written about only at debug, or when they fail."""

log = structlog.get_logger()


class Door:
    """ASGI middleware around the application.

    Handlers may put `tenant_id`, `key_prefix` and `refused_as` on the scope, and `readable_by`: the origin of the page
    that may read the answer.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        scope["request_id"] = request_id = uuid7().hex
        answered = _Answered(send, scope)
        try:
            turned_away = turn_away(scope)
            if turned_away is not None:
                await turned_away(scope, receive, answered.send)
            else:
                await self._app(scope, receive, answered.send)
        except Exception:
            log.exception("request.failed", request_id=request_id, route=_route(scope), method=scope["method"])
            scope["refused_as"] = "internal_error"
            if not answered.is_begun:
                await _internal_error(request_id)(scope, receive, answered.send)
        finally:
            _write_line(scope, answered.status, begun)


class _Answered:
    """Sends an answer on, adding headers and remembering its status; in one piece where it can be."""

    def __init__(self, send: Send, scope: Scope) -> None:
        self._send = send
        self._scope = scope
        self._start: Message | None = None
        self.status: int | None = None
        self.is_begun = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._start = {**message, "headers": self._complete(message.get("headers", ()))}
            return
        if (start := self._start) is not None:
            self._start, self.is_begun = None, True
            body, is_whole = message.get("body", b""), not message.get("more_body", False)
            if is_whole and write_at_once(self._scope, start["status"], start["headers"], body):
                return
            await self._send(start)
        await self._send(message)

    def _complete(self, headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        complete = [*headers, (b"x-request-id", self._scope["request_id"].encode())]
        if (origin := self._scope.get("readable_by")) is not None:
            cors = MutableHeaders(raw=complete)
            cors["access-control-allow-origin"] = origin
            cors["access-control-expose-headers"] = "retry-after, x-request-id"
            cors.add_vary_header("origin")
        said = {name for name, _ in complete}
        return complete + [line for line in _HEADERS if line[0] not in said]


def turn_away(scope: Mapping[str, Any]) -> Response | None:
    """The answer to a request whose head alone is too much, or which two programs could read in two ways."""
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    if len(headers) > MAX_HEADERS or sum(len(name) + len(value) for name, value in headers) > MAX_HEADER_BYTES:
        return problem(431, "headers_too_large", f"headers have at most {MAX_HEADER_BYTES // 1024} KiB in all")
    if len(scope["query_string"]) > MAX_QUERY_BYTES:
        return problem(414, "uri_too_long", f"a query has at most {MAX_QUERY_BYTES // 1024} KiB")
    if len(scope.get("raw_path") or b"") > MAX_PATH_BYTES:
        return problem(414, "uri_too_long", f"a path has at most {MAX_PATH_BYTES // 1024} KiB")
    names = [name for name, _ in headers if name in _AT_MOST_ONCE]
    if len(names) != len(set(names)) or (b"transfer-encoding" in names and b"content-length" in names):
        return problem(400, "ambiguous_request", "headers that frame or govern a request may stand once only")
    if "\0" in scope["path"]:
        return problem(400, "malformed_path", "a path holds no NUL")
    return None


_AT_MOST_ONCE = frozenset(
    {b"content-length", b"transfer-encoding", b"host", b"authorization", b"content-type", b"idempotency-key"}
)


def _internal_error(request_id: str) -> Response:
    detail = "something went wrong here, and it was written down; nothing is known to be kept of this request"
    return problem(500, "internal_error", detail, instance=f"urn:carillon:request:{request_id}")


def _write_line(scope: Scope, status: int | None, begun: float) -> None:
    route = _route(scope)
    write = log.debug if route in _QUIET and status == 200 else log.info
    write(
        "request.answered",
        request_id=scope["request_id"],
        method=scope["method"],
        route=route,
        status=status,
        reason=scope.get("refused_as"),
        tenant_id=scope.get("tenant_id"),
        key=scope.get("key_prefix"),
        duration_ms=round((time.perf_counter() - begun) * 1000, 2),
    )


def _route(scope: Mapping[str, Any]) -> str:
    """The route's own pattern, for paths hold user ids and tokens."""
    route = scope.get("route")
    return getattr(route, "path", None) or scope.get("route_path") or "none"
