"""Web pages elsewhere may call one route, where devices register; each app says which pages by its `web_origins`.

A browser asks before it sends (the preflight), without a key: it is told yes for an origin that any app names. The
request itself brings the app key, and is refused when that very app does not name the origin. The gateway judges the
same way. There are no cookies here, so nothing is allowed that a program without a browser could not do anyway.
"""

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.dependencies import house_of
from domain.errors import RequestRefused

PATH = "/api/v1/devices/register"
MAX_AGE_S = 600


def routes() -> list[Route]:
    """The preflight of the one route that pages elsewhere may call."""
    return [Route(PATH, preflight, methods=["OPTIONS"], include_in_schema=False)]


async def preflight(request: Request) -> Response:
    """204 with what a page may send, if any app names its origin. RequestRefused(403), Unavailable."""
    origin = request.headers.get("origin")
    if origin is None or not (is_own(origin, request.headers) or await house_of(request).origins.holds(origin)):
        raise _refusal("no app names this origin")
    request.scope["readable_by"] = origin
    headers = {
        "access-control-allow-methods": "POST",
        "access-control-allow-headers": "authorization, content-type",
        "access-control-max-age": str(MAX_AGE_S),
    }
    return Response(status_code=204, headers=headers)


async def judge_origin(request: Request) -> None:
    """A dependency, before the key is judged: pages of the app's `web_origins` may read the answer, others may not ask.

    What is no page says no origin, and passes. RequestRefused(403), Unavailable.
    """
    origin = request.headers.get("origin")
    if origin is None:
        return
    secret = request.headers.get("authorization", "").partition(" ")[2].strip()
    app = await house_of(request).apps.by_key(secret)
    if app is not None and origin in app.web_origins:
        request.scope["readable_by"] = origin
    elif app is not None and not is_own(origin, request.headers):
        raise _refusal("the origin is not among the app's web_origins")


def is_own(origin: str, headers: Headers) -> bool:
    """Whether a page of this very host asks; the scheme may have been lost on the way, at whoever ends TLS."""
    return origin.partition("://")[2] == headers.get("host", "")


def _refusal(detail: str) -> RequestRefused:
    return RequestRefused("origin_not_allowed", detail, 403)
