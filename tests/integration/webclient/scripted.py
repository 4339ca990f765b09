"""A gateway that does what a test says, over real WebSockets, and writes down what it was told and when."""

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from uuid import UUID

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from domain.ids import uuid7

WITHIN_S = 30.0


class Told(NamedTuple):
    """One frame of a client: on its how-manieth connection, when (monotonic), and what."""

    connection: int
    at: float
    frame: dict[str, Any]


class ScriptedGateway:
    """Answers hello, unless there is a refusal left; everything else is said by the test."""

    def __init__(self) -> None:
        self.heartbeat_s = 60.0
        self.gateways: list[str] = []
        self.refusals: deque[tuple[int, str]] = deque()
        """Close codes and reasons for the next who say hello."""
        self.told: list[Told] = []
        self.opened_at: list[float] = []
        self.paths: list[str] = []
        self.closed: list[int | None] = []
        self._live: list[ServerConnection] = []
        self._server: Server | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """Where it is, also while it is stopped."""
        return f"ws://127.0.0.1:{self._port}/v1/connect"

    async def start(self) -> None:
        """Listen, on the same port as before."""
        self._server = await serve(self._serve, "127.0.0.1", self._port, ping_interval=None, close_timeout=1)
        self._port = next(iter(self._server.sockets)).getsockname()[1]

    async def stop(self) -> None:
        """Refuse, and end what is open."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def say(self, *frames: dict[str, Any] | str) -> None:
        """Frames to whoever connected last."""
        for frame in frames:
            await self._live[-1].send(frame if isinstance(frame, str) else json.dumps(frame))

    async def hang_up(self, code: int, reason: str = "") -> None:
        """Close the newest connection."""
        await self._live[-1].close(code, reason)

    def frames(self, kind: str) -> list[dict[str, Any]]:
        """What was told, of one type."""
        return [each.frame for each in self.told if each.frame.get("type") == kind]

    def acked(self) -> list[tuple[str, int]]:
        """Ids and codes of all acknowledgements, in order."""
        return [(each["id"], each["code"]) for frame in self.frames("ack") for each in frame["ids"]]

    async def _serve(self, connection: ServerConnection) -> None:
        number = len(self.opened_at)
        self.opened_at.append(time.monotonic())
        assert connection.request is not None
        self.paths.append(connection.request.path)
        self._live.append(connection)
        try:
            async for message in connection:
                frame = json.loads(message)
                self.told.append(Told(number, time.monotonic(), frame))
                if frame.get("type") == "hello":
                    await self._greet(connection)
        except ConnectionClosed:
            pass  # clients may go without a word
        self.closed.append(connection.close_code)

    async def _greet(self, connection: ServerConnection) -> None:
        if self.refusals:
            await connection.close(*self.refusals.popleft())
            return
        hello = {"type": "hello", "device_id": str(UUID(int=7)), "connection_id": "c", "heartbeat_s": self.heartbeat_s}
        await connection.send(json.dumps(hello | {"gateways": self.gateways}))


@asynccontextmanager
async def scripted() -> AsyncIterator[ScriptedGateway]:
    """A gateway that listens until the block ends."""
    gateway = ScriptedGateway()
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.stop()


def notification(payload: object = None, **fields: Any) -> dict[str, Any]:
    """The frame of a push."""
    frame = {
        "type": "notification",
        "id": str(uuid7()),
        "notification_id": str(uuid7()),
        "payload": {"aps": {"alert": "Hello"}} if payload is None else payload,
        "priority": 10,
        "collapse_id": None,
        "topic": None,
        "expires_at": "2030-01-01T00:00:00Z",
        "stored": False,
    }
    return frame | fields


async def until(condition: Callable[[], bool], what: str, *, within_s: float = WITHIN_S) -> None:
    """Wait until it holds; fail when it does not in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        await asyncio.sleep(0.01)
