"""An endpoint of somebody's: a real HTTPS server on loopback that answers by script and keeps a ledger."""

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ops.stack.certificate import development_certificate


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer by script. `silent`: never; `endless`: a body without end; `drip`: a byte at a time."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"thanks"
    how: str = "plain"


@dataclass(frozen=True, slots=True)
class Taken:
    """One request as it came over the wire."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """The server's script and ledger; without a script it answers 200."""

    def __init__(self, port: int, authority: Path) -> None:
        self.port = port
        self.authority = authority
        self.script: deque[Reply] = deque()
        self.usual = Reply()
        self.taken: list[Taken] = []
        self.gate: asyncio.Event | None = None
        self.in_flight = 0
        self.most_in_flight = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"https://localhost:{self.port}/hook"

    @property
    def trust(self) -> ssl.SSLContext:
        """What a client must trust to speak to it."""
        return ssl.create_default_context(cafile=str(self.authority))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one request, keep it, answer by script."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, path, _ = head[0].split(" ")
            headers = {
                name.lower(): text.strip() for name, _, text in (line.partition(":") for line in head[1:] if line)
            }
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            self.taken.append(Taken(method, path, headers, body))
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
            try:
                if self.gate is not None:
                    await self.gate.wait()
                await self._answer(reader, writer, self.script.popleft() if self.script else self.usual)
            finally:
                self.in_flight -= 1
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, reply: Reply) -> None:
        if reply.how == "silent":
            await reader.read()  # until the other side hangs up
            return
        length = {} if reply.how != "plain" else {"content-length": str(len(reply.body))}
        lines = "".join(f"{name}: {text}\r\n" for name, text in {**length, **reply.headers}.items())
        writer.write(f"HTTP/1.1 {reply.status} Word\r\n{lines}\r\n".encode("latin-1"))
        if reply.how == "plain":
            writer.write(reply.body)
        while reply.how in ("endless", "drip"):
            piece = b"x" * (16_384 if reply.how == "endless" else 1)
            writer.write(piece)
            await writer.drain()
            if reply.how == "drip":
                await asyncio.sleep(0.02)
        await writer.drain()


@asynccontextmanager
async def receiving(folder: Path) -> AsyncIterator[Receiver]:
    """A receiver that listens until the block ends."""
    certificate, private_key, authority = development_certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, private_key)
    receiver = Receiver(0, authority)
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0, ssl=context)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
