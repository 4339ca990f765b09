"""Calls to URLs that strangers named: resolved, every address checked, connected to the very address that was checked.

No redirects, no proxies, no kept connections, no decompression; what is answered is read up to a size and a time. The
name is resolved anew for each call and checked again: what was public when it was named need not be so today.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import ip_address
from types import TracebackType
from typing import Self

import httpx2

from domain.outside import Target, is_public, read_url

HEAD_WITHIN_S = 15.0
"""From the look-up of the name to the last header of the answer."""

BODY_WITHIN_S = 10.0
MAX_BODY_BYTES = 64 * 1024
_CONNECT_WITHIN_S = 5.0
_MOST_TRIED = 3
_RESOLVERS = 16
"""Threads that wait for name servers: those of others are not ours to be used up."""

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host; OSError when it has none."""


class OutsideError(Exception):
    """There was no answer; the message says why in few words, and `is_refused` whether we would not even call."""

    def __init__(self, words: str, *, is_refused: bool = False) -> None:
        super().__init__(words)
        self.is_refused = is_refused


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer: its status, its headers in small letters, and the beginning of its body."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    duration_ms: float


class Outside:
    """Makes such calls; `inside` are hosts (by comma in the setting) that the operator vouches for."""

    def __init__(
        self,
        inside: str = "",
        *,
        resolve: Resolve | None = None,
        verify: ssl.SSLContext | None = None,
        head_within_s: float = HEAD_WITHIN_S,
        body_within_s: float = BODY_WITHIN_S,
    ) -> None:
        self.inside = frozenset(filter(None, (one.strip().lower().strip("[]") for one in inside.split(","))))
        self._resolve = resolve or self._ask_resolver
        self._verify = verify
        self._head_within_s = head_within_s
        self._body_within_s = body_within_s
        self._threads = ThreadPoolExecutor(_RESOLVERS, thread_name_prefix="resolver")
        self._client: httpx2.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._client is not None:
            await self._client.aclose()

    def read(self, url: str) -> Target:
        """The URL by the rules, with the operator's exceptions. UrlRefused."""
        return read_url(url, inside=self.inside)

    async def addresses(self, target: Target) -> list[str]:
        """The addresses of its host, all of which may be called. OutsideError when one may not, or none is there."""
        try:
            found = list(dict.fromkeys(await self._resolve(target.host, target.port)))
        except (OSError, UnicodeError) as error:
            raise OutsideError("the name does not resolve") from error
        if not found:
            raise OutsideError("the name does not resolve")
        if not target.is_inside and not all(is_public(ip_address(one)) for one in found):
            raise OutsideError("the name resolves to an address that is not of the public internet", is_refused=True)
        return found

    async def post(self, target: Target, body: bytes, headers: Mapping[str, str]) -> Answered:
        """POST, and what was answered, whatever status it has. OutsideError when there was no answer in time."""
        begun_s = time.monotonic()
        try:
            async with asyncio.timeout(self._head_within_s):
                answer = await self._open(target, body, headers)
        except TimeoutError:
            raise OutsideError(f"no answer within {self._head_within_s:g} s") from None
        try:
            beginning = await self._beginning(answer)
        finally:
            await answer.aclose()
        heads = {name.lower(): text for name, text in answer.headers.items()}
        return Answered(answer.status_code, heads, beginning, (time.monotonic() - begun_s) * 1000)

    async def _open(self, target: Target, body: bytes, headers: Mapping[str, str]) -> httpx2.Response:
        """The answer up to its body, from the first of the checked addresses that takes a connection."""
        failure: Exception | None = None
        for address in (await self.addresses(target))[:_MOST_TRIED]:
            host = f"[{address}]" if ":" in address else address
            request = self._http().build_request(
                "POST",
                f"{target.scheme}://{host}:{target.port}{target.path}",
                content=body,
                headers={**headers, "Host": target.netloc, "Accept-Encoding": "identity", "Connection": "close"},
                extensions={"sni_hostname": target.host},
            )
            try:
                return await self._http().send(request, stream=True)
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                failure = error
            except (httpx2.HTTPError, httpx2.InvalidURL) as error:
                raise OutsideError(f"the connection was lost: {type(error).__name__}") from error
        raise OutsideError(f"cannot connect: {_short(failure)}") from failure

    async def _beginning(self, answer: httpx2.Response) -> bytes:
        """What the answer begins with; one that never ends, or breaks off, is left where it stands."""
        body = bytearray()
        try:
            async with asyncio.timeout(self._body_within_s):
                async for piece in answer.aiter_raw():
                    body += piece
                    if len(body) >= MAX_BODY_BYTES:
                        break
        except (TimeoutError, httpx2.HTTPError):
            pass
        return bytes(body[:MAX_BODY_BYTES])

    def _http(self) -> httpx2.AsyncClient:
        """Made when first needed: reading the authorities takes a while, and most processes call nobody."""
        if self._client is None:
            self._client = httpx2.AsyncClient(
                verify=self._verify or ssl.create_default_context(),
                timeout=httpx2.Timeout(None, connect=_CONNECT_WITHIN_S),
                limits=httpx2.Limits(max_connections=None, max_keepalive_connections=0),
                follow_redirects=False,
                trust_env=False,
            )
        return self._client

    async def _ask_resolver(self, host: str, port: int) -> list[str]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, _look_up, host, port)
        return [str(one[4][0]) for one in found]


def _look_up(host: str, port: int) -> list[tuple[int, int, int, str, tuple[str | int, ...]]]:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)  # type: ignore[return-value]  # families of ours only


def _short(error: Exception | None) -> str:
    lines = str(error or "").splitlines()
    return lines[0][:200] if lines and lines[0] else type(error).__name__
