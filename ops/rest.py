"""The REST API as seen from outside: the small client of the command line and of the demo."""

import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx2

from domain.errors import CarillonError

TIMEOUT_S = 10.0
NOTIFICATIONS = "/api/v1/notifications"

Document = dict[str, Any]


class CallFailed(CarillonError):
    """A call did not work out. The message is one line: what was asked, what came back, what to do."""


@dataclass(frozen=True, slots=True)
class Rest:
    """An open client with one key. Every call raises CallFailed for whatever is not a success."""

    url: str
    client: httpx2.AsyncClient

    async def get(self, path: str, **query: str) -> Document:
        """The document at `path`."""
        return await self._call("GET", path, params=query or None)

    async def send(self, request: Document, *, idempotency_key: str | None = None) -> Document:
        """The answer to one notification."""
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        return await self._call("POST", NOTIFICATIONS, json=request, headers=headers)

    async def post(self, path: str, document: Document) -> Document:
        """Make what `document` asks for at `path`."""
        return await self._call("POST", path, json=document)

    async def patch(self, path: str, document: Document) -> Document:
        """Change at `path` what `document` names; what is there now."""
        return await self._call("PATCH", path, json=document)

    async def delete(self, path: str, **query: str) -> Document:
        """End what is at `path`; what is told of it."""
        return await self._call("DELETE", path, params=query or None)

    async def put(self, path: str, document: Document) -> Document:
        """Write `document` at `path`; what is there now."""
        return await self._call("PUT", path, json=document)

    async def _call(self, method: str, path: str, **arguments: Any) -> Document:
        asked = f"{method} {self.url}{path}"
        try:
            answer = await self.client.request(method, path, **arguments)
        except httpx2.HTTPError as error:
            why = str(error) or type(error).__name__
            raise CallFailed(
                f"{asked}: no answer ({why}): does it run there? `carillon ps` shows what runs here, "
                "`carillon up` starts it, --url names another"
            ) from error
        if not answer.is_success:
            raise CallFailed(f"{asked}: {_refusal(answer)}")
        document: Document = answer.json() if answer.content else {}
        return document


@asynccontextmanager
async def open_rest(url: str, key: str) -> AsyncIterator[Rest]:
    """A client of the API at `url`. CallFailed when that is no URL."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise CallFailed(f"{url!r} is no URL of an API: it looks like http://127.0.0.1:8000")
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx2.AsyncClient(
        base_url=url.rstrip("/"), headers=headers, timeout=TIMEOUT_S, trust_env=not _is_here(parts.hostname)
    ) as client:
        yield Rest(url.rstrip("/"), client)


def _is_here(host: str) -> bool:
    """Whether `host` is this machine, which no proxy may stand before."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _refusal(answer: httpx2.Response) -> str:
    """What an answer that is no success says, on one line (RFC 9457 where it speaks that)."""
    try:
        problem = answer.json()
        words = f"{answer.status_code} {problem['reason']}: {problem['detail']}"
        faults = [(fault["pointer"], fault["detail"]) for fault in problem.get("errors") or []]
    except (ValueError, KeyError, TypeError):
        return f"{answer.status_code} {answer.reason_phrase}"
    told = "; ".join(f"{pointer} {detail}" for pointer, detail in faults if detail not in words)
    if told:
        words += f" ({told})"
    return words + _ADVICE.get(answer.status_code, "")


_ADVICE = {
    401: ": give another key by --key or CARILLON_KEY, `carillon keys create` makes one",
    403: ": this key lacks the scope, `carillon keys create --scopes …` makes one that has it",
    503: ": `carillon ps` and `carillon logs` show what is missing",
}
