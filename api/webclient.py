"""The web client and its sample page, as files under /client/: a page that shows in a browser what devices get.

A few files, read once: there is no path to get wrong and no range to ask for. The page runs its own scripts only.
"""

from hashlib import sha256
from pathlib import Path

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

import channels.push

FOLDER = Path(channels.push.__file__).parent / "client"
_TYPES = {
    "index.html": "text/html",
    "page.js": "text/javascript",
    "carillon.js": "text/javascript",
    "memory.js": "text/javascript",
    "pauses.js": "text/javascript",
    "registering.js": "text/javascript",
    "style.css": "text/css",
    "icon.svg": "image/svg+xml",
}
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' https:; connect-src 'self' ws: wss:; "
        "form-action 'none'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-robots-tag": "noindex, nofollow",
    "cache-control": "no-cache",
}
"""Connections go to any gateway: their addresses are told at run time. Pictures of notifications come from outside."""


def routes() -> list[Route]:
    """The page and its files; nothing of them is in the OpenAPI document."""
    files = {f"/client/{name}": _File(FOLDER / name, kind) for name, kind in _TYPES.items()}
    files["/client/"] = files.pop("/client/index.html")
    shown = [Route(path, file.answer, methods=["GET"], include_in_schema=False) for path, file in files.items()]
    return [Route("/client", to_page, methods=["GET"], include_in_schema=False), *shown]


async def to_page(request: Request) -> Response:  # noqa: ARG001  # an endpoint gets its request
    """Its files are found from the page's folder only."""
    return RedirectResponse("/client/", 308)


class _File:
    """One file, in memory."""

    def __init__(self, path: Path, kind: str) -> None:
        self._bytes = path.read_bytes()
        self._kind = kind
        self._etag = f'"{sha256(self._bytes).hexdigest()[:32]}"'

    async def answer(self, request: Request) -> Response:
        """The file, or 304 for who has it."""
        headers = _HEADERS | {"etag": self._etag}
        if self._etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(self._bytes, media_type=self._kind, headers=headers)
