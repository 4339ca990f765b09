"""A real SMTP server on loopback that reaches nobody: scripted by the recipient, every message in the ledger first."""

import asyncio
import re
import ssl
from collections import deque
from typing import Any, Self, cast
from uuid import uuid4

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from channels.scripts import Scene, Script, scene_of
from ops.simulated.ledger import Ledger, LedgerOutcome

PROVIDER = "smtp"
_KEPT_MESSAGES = 200
_GREYLIST_LIMIT = 100_000
_MAX_MESSAGE_BYTES = 32 * 1024 * 1024
_DELIVERY_HEADER = re.compile(rb"(?im)^x-carillon-delivery:[ \t]*([0-9a-f-]{36})")


class SimulatedSmtp:
    """The server; `received` holds the last messages it took, as they came off the wire after un-stuffing."""

    def __init__(
        self, ledger: Ledger, *, tls_context: ssl.SSLContext | None = None, login: tuple[str, str] | None = None
    ) -> None:
        """With `tls_context` STARTTLS is a must; `login` (name, password) is asked for after it, never in the clear."""
        self.received: deque[bytes] = deque(maxlen=_KEPT_MESSAGES)
        self.port = 0
        self.greetings = 0
        self._ledger = ledger
        self._tls_context = tls_context
        self._login = login
        self._refusals: dict[str, int] = {}
        self._protocols: set[SMTP] = set()
        self._server: asyncio.Server | None = None

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> Self:
        """Listen; 0 takes a free port, found in `port` afterwards."""
        self._server = await asyncio.get_running_loop().create_server(self._protocol, host, port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def close(self) -> None:
        """Stop listening and drop every connection."""
        if self._server is not None:
            self._server.close()
            for transport in map(_transport, list(self._protocols)):
                if not transport.is_closing():  # Python 3.11.2 cannot abort TLS that closes already
                    transport.abort()
            await self._server.wait_closed()

    def _protocol(self) -> SMTP:
        self.greetings += 1
        protocol = _Protocol(
            self,
            hostname="simulated.localhost",
            ident="Carillon simulated SMTP",
            data_size_limit=_MAX_MESSAGE_BYTES,
            tls_context=self._tls_context,
            require_starttls=self._tls_context is not None,
            auth_required=self._login is not None,
            authenticator=self._authenticate if self._login is not None else None,
            loop=asyncio.get_running_loop(),
        )
        protocol.register(self._protocols)
        return protocol

    def _authenticate(self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: Any) -> Any:
        given = (data.login.decode(), data.password.decode()) if isinstance(data, LoginPassword) else None
        return AuthResult(success=given is not None and given == self._login, handled=False)

    async def handle_RCPT(
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        scene = scene_of(address)
        refusal = self._refusal(scene, address)
        if refusal is None:
            envelope.rcpt_tos.append(address)
            return "250 2.1.5 OK"
        outcome, answer = refusal
        await self._ledger.record(PROVIDER, address, outcome, message_id="", delivery_id="")
        if outcome in (LedgerOutcome.HANGUP, LedgerOutcome.THROTTLED):
            await self._hang_up(server, answer)
        return answer

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:
        raw = cast(bytes, envelope.original_content)
        message_id = uuid4().hex
        scenes = [scene_of(address) for address in envelope.rcpt_tos]
        is_reset = any(scene.script is Script.RESET for scene in scenes)
        found = _DELIVERY_HEADER.search(raw.split(b"\r\n\r\n", 1)[0])
        for address in envelope.rcpt_tos:
            await self._ledger.record(
                PROVIDER,
                address,
                LedgerOutcome.RESET if is_reset else LedgerOutcome.ACCEPTED,
                message_id=message_id,
                delivery_id=found[1].decode() if found else "",
            )
        self.received.append(raw)
        if is_reset:
            await self._hang_up(server, None)
        await asyncio.sleep(max((scene.amount for scene in scenes if scene.script is Script.SLOW), default=0))
        return f"250 2.0.0 OK queued as {message_id}"

    def _refusal(self, scene: Scene, address: str) -> tuple[LedgerOutcome, str] | None:
        match scene.script:
            case Script.BOUNCE:
                return LedgerOutcome.REJECTED, "550 5.1.1 nobody lives there"
            case Script.DOWN:
                return LedgerOutcome.DOWN, "451 4.3.2 out of order"
            case Script.THROTTLE:
                return LedgerOutcome.THROTTLED, "421 4.4.5 slower, please"
            case Script.HANGUP:
                return LedgerOutcome.HANGUP, ""
            case Script.GREYLIST if self._refusals.get(address, 0) < scene.amount:
                if len(self._refusals) > _GREYLIST_LIMIT:
                    self._refusals.clear()
                self._refusals[address] = self._refusals.get(address, 0) + 1
                return LedgerOutcome.DEFERRED, "451 4.7.1 greylisted, come again"
            case _:
                return None

    async def _hang_up(self, server: SMTP, last_words: str | None) -> None:
        if last_words:
            await server.push(last_words)
            _transport(server).close()
        else:
            _transport(server).abort()
        await asyncio.get_running_loop().create_future()  # the lost connection cancels this conversation


class _Protocol(SMTP):
    """A conversation that is in a set while it lasts."""

    def register(self, living: set[SMTP]) -> None:
        self._living = living

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._living.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._living.discard(self)
        super().connection_lost(error)


def _transport(server: SMTP) -> asyncio.Transport:
    return cast(asyncio.Transport, server.transport)
