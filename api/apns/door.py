"""The door itself: a request in, exactly Apple's answer out, one line in the log, and no token in it."""

import asyncio
import time

import msgspec
import structlog
from granian._granian import RSGIProtocolClosed

from api.apns.headers import APNS_ID, KNOWN, answer_id, read_once
from api.apns.push import Pushing, Taken, take
from api.apns.reasons import STATUS, ApnsReason, PushRefused
from api.apns.server import Exchange, Header, Scope
from domain.errors import Unavailable
from domain.push import MAX_PAYLOAD_BYTES
from plumbing import push_metrics

BODY_TIMEOUT_S = 10.0
MAX_UNREAD_BYTES = 1024 * 1024
"""A body that is too large is read away up to here: a client that still sends would miss its answer else."""

_JSON = ("content-type", "application/json")

log = structlog.get_logger()


class ProviderDoor:
    """Answers requests, and knows how many are under way."""

    def __init__(self, pushing: Pushing) -> None:
        self._pushing = pushing
        self._under_way = 0
        self._is_closing = False
        self._done = asyncio.Event()

    async def __call__(self, scope: Scope, exchange: Exchange) -> None:
        """Answer one request, whatever happens."""
        self._under_way += 1
        try:
            await self._answer(scope, exchange)
        finally:
            self._under_way -= 1
            if self._is_closing and not self._under_way:
                self._done.set()

    async def close(self, timeout_s: float) -> None:
        """Refuse what comes (503 Shutdown) and wait until what is under way has its answer."""
        self._is_closing = True
        if self._under_way:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._done.wait()
            except TimeoutError:
                log.warning("door.requests_cut", count=self._under_way)

    async def _answer(self, scope: Scope, exchange: Exchange) -> None:
        begun = time.perf_counter()
        taken: Taken | None = None
        refused: PushRefused | None = None
        values = {name: scope.headers.get_all(name) for name in KNOWN}
        apns_id = answer_id(values[APNS_ID])
        try:
            body = await read_body(exchange)
            if self._is_closing:
                raise PushRefused(ApnsReason.SHUTDOWN)
            headers = read_once(scope.headers.keys(), values)
            taken = await take(self._pushing, scope.method, scope.path, headers, body, apns_id=apns_id)
        except (RSGIProtocolClosed, asyncio.CancelledError):  # the outermost coroutine: nobody waits for it
            log.info("push.abandoned", http=scope.http_version)
            return
        except PushRefused as error:
            refused = error
        except Unavailable as error:
            refused = PushRefused(ApnsReason.SERVICE_UNAVAILABLE, retry_after_s=error.retry_after_s)
        except Exception as error:  # the door of the process: whatever it was, the sender hears that it was ours
            log.exception("push.failed", error=type(error).__name__)
            refused = PushRefused(ApnsReason.INTERNAL_SERVER_ERROR)
        status = 200 if refused is None else STATUS[refused.reason]
        _write_line(scope, status, refused, taken, begun)
        push_metrics.DOOR_ANSWERS.labels(str(status)).inc()
        _send(exchange, status, refused, apns_id)


async def read_body(exchange: Exchange, *, timeout_s: float = BODY_TIMEOUT_S) -> bytes:
    """The body of a request, read to its end so that its sender hears the answer. PushRefused: 400, 413."""
    parts: list[bytes] = []
    size_bytes = 0
    try:
        async with asyncio.timeout(timeout_s):
            async for part in exchange:
                size_bytes += len(part)
                if size_bytes > MAX_UNREAD_BYTES:
                    raise PushRefused(ApnsReason.PAYLOAD_TOO_LARGE)
                if size_bytes <= MAX_PAYLOAD_BYTES:
                    parts.append(part)
    except TimeoutError:
        raise PushRefused(ApnsReason.IDLE_TIMEOUT) from None
    if size_bytes > MAX_PAYLOAD_BYTES:
        return bytes(MAX_PAYLOAD_BYTES + 1)  # whatever it was: its size is what is judged, and in its turn
    return b"".join(parts)


def _send(exchange: Exchange, status: int, refused: PushRefused | None, apns_id: str) -> None:
    headers: list[Header] = [("apns-id", apns_id)]
    if refused is None:
        exchange.response_empty(status, headers)
        return
    body: dict[str, str | int] = {"reason": refused.reason}
    if refused.gone_at_ms is not None:
        body["timestamp"] = refused.gone_at_ms
    if refused.retry_after_s is not None:
        headers.append(("retry-after", str(refused.retry_after_s)))
    exchange.response_bytes(status, [*headers, _JSON], msgspec.json.encode(body))


def _write_line(scope: Scope, status: int, refused: PushRefused | None, taken: Taken | None, begun: float) -> None:
    """One line per request. The path holds a device token, and is not told."""
    log.info(
        "push.answered",
        status=status,
        reason=refused.reason if refused else None,
        tenant_id=taken.key.tenant_id if taken else None,
        app=taken.key.bundle_id if taken else None,
        notification_id=taken.accepted.id if taken else None,
        replayed=taken.accepted.replayed if taken else None,
        http=scope.http_version,
        duration_ms=round((time.perf_counter() - begun) * 1000, 2),
    )
