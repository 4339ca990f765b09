"""A real SMS provider over HTTP that reaches nobody: scripted by the last digits, every message in the ledger first.

`POST {to, from, text, reference}` → 200 `{message_id}`. h11 speaks the protocol, so that a connection can be dropped
at any moment, which an application server would not allow.
"""

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self
from uuid import uuid4

import h11

from channels.scripts import Scene, Script, scene_of
from ops.simulated.ledger import Ledger, LedgerOutcome
from ops.simulated.reports import Reporter

PROVIDER = "sms"
_KEPT_MESSAGES = 200
_GREYLIST_LIMIT = 100_000
_MAX_BODY_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and a JSON document."""

    status: int
    document: dict[str, str]
    retry_after: str | None = None


class SimulatedSms:
    """The server; `received` holds the last requests it took. Without a reporter it sends no callbacks.

    `scene` answers how a recipient is treated; it may be exchanged while the server runs.
    """

    def __init__(self, ledger: Ledger, *, reporter: Reporter | None = None) -> None:
        self.scene: Callable[[str], Scene] = scene_of
        self.received: deque[dict[str, Any]] = deque(maxlen=_KEPT_MESSAGES)
        self.port = 0
        self._ledger = ledger
        self._reporter = reporter
        self._refusals: dict[str, int] = {}
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> Self:
        """Listen; 0 takes a free port, found in `port` afterwards."""
        self._server = await asyncio.start_server(self._converse, host, port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def close(self) -> None:
        """Stop listening and drop every connection."""
        if self._server is not None:
            self._server.close()
            for writer in list(self._writers):
                writer.transport.abort()
            await self._server.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        connection = h11.Connection(h11.SERVER)
        try:
            while True:
                request, body = await _read_request(connection, reader)
                if request is None:
                    return
                answer = await self._answer(request, body)
                if answer is None:
                    writer.transport.abort()
                    return
                await _write_answer(connection, writer, answer)
                if connection.our_state is h11.MUST_CLOSE:
                    return
                connection.start_next_cycle()
        except (h11.ProtocolError, OSError):
            return
        finally:
            self._writers.discard(writer)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, request: h11.Request, body: bytes) -> Answer | None:
        """The answer to one request; None drops the connection."""
        if request.method != b"POST":
            return Answer(404, {"error": "not_found"})
        try:
            document = json.loads(body)
            recipient, reference = str(document["to"]), str(document.get("reference", ""))
            text = document["text"]
        except (ValueError, KeyError, TypeError, AttributeError):
            return Answer(400, {"error": "unreadable_request"})
        if not isinstance(text, str) or not text:
            return Answer(400, {"error": "content_rejected"})
        return await self._play(self.scene(recipient), recipient, reference, document)

    async def _play(self, scene: Scene, recipient: str, reference: str, document: dict[str, Any]) -> Answer | None:
        refusal = self._refusal(scene, recipient)
        if refusal is not None:
            outcome, answer = refusal
            await self._ledger.record(PROVIDER, recipient, outcome, message_id="", delivery_id=reference)
            return answer
        message_id = uuid4().hex
        outcome = LedgerOutcome.RESET if scene.script is Script.RESET else LedgerOutcome.ACCEPTED
        await self._ledger.record(PROVIDER, recipient, outcome, message_id=message_id, delivery_id=reference)
        self.received.append(document)
        if self._reporter is not None:
            is_lost = scene.script is Script.UNDELIVERED
            self._reporter.report(message_id, reference, "undelivered" if is_lost else "delivered")
        if scene.script is Script.RESET:
            return None
        if scene.script is Script.SLOW:
            await asyncio.sleep(scene.amount)
        return Answer(200, {"message_id": message_id})

    def _refusal(self, scene: Scene, recipient: str) -> tuple[LedgerOutcome, Answer | None] | None:
        match scene.script:
            case Script.BOUNCE:
                return LedgerOutcome.REJECTED, Answer(400, {"error": "unknown_recipient"})
            case Script.DOWN:
                return LedgerOutcome.DOWN, Answer(503, {"error": "out_of_order"})
            case Script.THROTTLE:
                return LedgerOutcome.THROTTLED, Answer(429, {"error": "slower"}, retry_after="1")
            case Script.HANGUP:
                return LedgerOutcome.HANGUP, None
            case Script.GREYLIST if self._refusals.get(recipient, 0) < scene.amount:
                if len(self._refusals) > _GREYLIST_LIMIT:
                    self._refusals.clear()
                self._refusals[recipient] = self._refusals.get(recipient, 0) + 1
                return LedgerOutcome.DEFERRED, Answer(503, {"error": "come_again"})
            case _:
                return None


async def _read_request(connection: h11.Connection, reader: asyncio.StreamReader) -> tuple[h11.Request | None, bytes]:
    request: h11.Request | None = None
    body = bytearray()
    while True:
        event = connection.next_event()
        match event:
            case h11.NEED_DATA:
                connection.receive_data(await reader.read(65536))
            case h11.Request():
                request = event
            case h11.Data():
                body += event.data
                if len(body) > _MAX_BODY_BYTES:
                    return None, b""
            case h11.EndOfMessage():
                return request, bytes(body)
            case _:
                return None, b""


async def _write_answer(connection: h11.Connection, writer: asyncio.StreamWriter, answer: Answer) -> None:
    body = json.dumps(answer.document).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    if answer.retry_after is not None:
        headers.append(("Retry-After", answer.retry_after))
    for event in (h11.Response(status_code=answer.status, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
        writer.write(connection.send(event) or b"")
    await writer.drain()
