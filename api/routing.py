"""Ordinary routes with an extraordinary reader: FastAPI's route, its JSON read strictly and within limits."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from api.body import read_document
from api.dependencies import house_of
from api.strict_json import refuse_faults


class StrictRoute(APIRoute):
    """A route whose body has passed the strict reader before FastAPI looks at it."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()
        takes_body = self.body_field is not None

        async def read_then_answer(request: Request) -> Response:
            if takes_body:
                limits = house_of(request).body_limits
                document = await read_document(request, limits.size_bytes, timeout_s=limits.timeout_s)
                refuse_faults(document.faults)
                request = _AlreadyRead(request, document.value)
            response = await answer(request)
            for name, value in request.scope.get("rate_headers", {}).items():
                response.headers[name] = value
            return response

        return read_then_answer


class _AlreadyRead(Request):
    """A request whose JSON is known; FastAPI asks for the bytes first, and only whether there are any."""

    def __init__(self, request: Request, document: Any) -> None:
        super().__init__(request.scope, request.receive)
        self._document = document

    async def body(self) -> bytes:
        return b"read"

    async def json(self) -> Any:
        return self._document


def router(prefix: str = "", *, tag: str) -> APIRouter:
    """A router of strict routes; answers with None leave the field out nowhere: what is unknown is null."""
    return APIRouter(prefix=prefix, tags=[tag], route_class=StrictRoute)
