"""A TCP wire between a client and a server that can be troubled while it carries: it decides nothing by itself.

A fault lasts until the next one, or `pass_`. What is held back meanwhile arrives then, as TCP would send it again:
nothing is ever missing in the middle of a stream.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum

from ops.stack.ports import HOST, free_port

_PIECE_BYTES = 65536
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Fault(StrEnum):
    """What is wrong with a wire."""

    NONE = "none"
    DELAY = "delay"
    REFUSE = "refuse"
    BLACK_HOLE = "black_hole"
    HALF_OPEN = "half_open"
    CUT = "cut"


@dataclass(eq=False, slots=True)
class _Link:
    """One connection: a writer to the client, one to the server, and what the client sent since the last fault."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    asked_bytes: int = 0


class FaultProxy:
    """Listens on `port` of the loopback interface and carries to `upstream`, a host and a port."""

    def __init__(self, upstream: tuple[str, int]) -> None:
        self.port = free_port()
        self.fault = Fault.NONE
        self._upstream = upstream
        self._delay_s = 0.0
        self._cut_bytes = 0
        self._changed = asyncio.Event()
        self._links: set[_Link] = set()
        self._carrying: set[asyncio.Task[None]] = set()
        self._door: socket.socket | None = None

    @property
    def connections(self) -> int:
        """How many are open now."""
        return len(self._links)

    def pass_(self) -> None:
        """Carry everything at once, also what was held back."""
        self._turn(Fault.NONE)

    def delay(self, seconds: float) -> None:
        """The server's answers come so much later: each piece of them waits, so long ones take longer."""
        self._delay_s = seconds
        self._turn(Fault.DELAY)

    def refuse(self) -> None:
        """Reset what is connected and listen no more: new connections are refused."""
        self._turn(Fault.REFUSE)
        self.reset()

    def black_hole(self) -> None:
        """Nothing goes through in either direction, no goodbye either; new connections open, and hear nothing."""
        self._turn(Fault.BLACK_HOLE)

    def half_open(self) -> None:
        """The client's words arrive, and no word of the server comes back."""
        self._turn(Fault.HALF_OPEN)

    def cut_after(self, size_bytes: int) -> None:
        """Each connection ends when the client has sent so much more: the server has it, and the client is reset."""
        self._cut_bytes = size_bytes
        self._turn(Fault.CUT)

    def reset(self) -> None:
        """Reset what is connected now, once; whatever fault there is goes on."""
        for task in self._carrying:
            task.cancel()

    def lead_to(self, upstream: tuple[str, int]) -> tuple[str, int]:
        """Carry to another server from now on, and reset what is connected; answers where it led before."""
        before, self._upstream = self._upstream, upstream
        self.reset()
        return before

    async def close(self) -> None:
        """Listen no more, and end every connection."""
        self.refuse()
        await asyncio.gather(*self._carrying, return_exceptions=True)

    def _turn(self, fault: Fault) -> None:
        self.fault = fault
        for link in self._links:
            link.asked_bytes = 0
        self._changed.set()
        self._changed = asyncio.Event()
        loop = asyncio.get_running_loop()
        if fault is Fault.REFUSE and self._door is not None:
            loop.remove_reader(self._door)
            self._door.close()
            self._door = None
        elif fault is not Fault.REFUSE and self._door is None:
            self._door = socket.create_server((HOST, self.port), backlog=128)
            self._door.setblocking(False)
            loop.add_reader(self._door, self._accept, self._door)

    def _accept(self, door: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionAbortedError):
            task = asyncio.create_task(self._carry(door.accept()[0]))
            self._carrying.add(task)
            task.add_done_callback(self._carrying.discard)

    async def _carry(self, accepted: socket.socket) -> None:
        """Carry for one client until both sides have said goodbye; whatever else ends it is a reset for both."""
        accepted.setblocking(False)
        from_client, to_client = await asyncio.open_connection(sock=accepted)
        try:
            from_server, to_server = await asyncio.open_connection(*self._upstream)
        except OSError:
            _reset(to_client)
            return
        link = _Link(to_client, to_server)
        self._links.add(link)
        is_orderly = False
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._carry_words(from_client, link))
                both.create_task(self._carry_answers(from_server, link))
            is_orderly = True
        except* OSError:
            pass
        finally:
            self._links.discard(link)
            for writer in (to_client, to_server):
                writer.close() if is_orderly else _reset(writer)

    async def _carry_words(self, source: asyncio.StreamReader, link: _Link) -> None:
        """What the client says, to the server."""
        while piece := await source.read(_PIECE_BYTES):
            await self._until_not(Fault.BLACK_HOLE)
            is_cut = self.fault is Fault.CUT and link.asked_bytes + len(piece) >= self._cut_bytes
            if is_cut:
                piece = piece[: self._cut_bytes - link.asked_bytes]
            link.asked_bytes += len(piece)
            link.server.write(piece)
            await link.server.drain()
            if is_cut:
                _reset(link.client)
                break
        await self._until_not(Fault.BLACK_HOLE)
        _end(link.server)

    async def _carry_answers(self, source: asyncio.StreamReader, link: _Link) -> None:
        """What the server answers, to the client."""
        while piece := await source.read(_PIECE_BYTES):
            if self.fault is Fault.DELAY:
                await asyncio.sleep(self._delay_s)
            await self._until_not(Fault.BLACK_HOLE, Fault.HALF_OPEN)
            link.client.write(piece)
            await link.client.drain()
        await self._until_not(Fault.BLACK_HOLE, Fault.HALF_OPEN)
        _end(link.client)

    async def _until_not(self, *faults: Fault) -> None:
        while self.fault in faults:
            await self._changed.wait()


def _reset(writer: asyncio.StreamWriter) -> None:
    """End it in the middle: the other side hears that its connection was reset."""
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()


def _end(writer: asyncio.StreamWriter) -> None:
    if writer.can_write_eof() and not writer.is_closing():
        writer.write_eof()


@asynccontextmanager
async def fault_proxy(host: str, port: int) -> AsyncIterator[FaultProxy]:
    """A wire to the server at `host` and `port` that passes everything, until it is told otherwise."""
    proxy = FaultProxy((host, port))
    proxy.pass_()
    try:
        yield proxy
    finally:
        await proxy.close()
