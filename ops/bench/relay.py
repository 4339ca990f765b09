"""The yardstick: the least WebSocket relay that one writes on uvicorn. `python -m ops.bench.relay --port N`.

It answers hello, sends a frame to a device (`POST /send/TOKEN`), and to all in turn (`POST /blast/FRAMES`). It asks
nobody who they are, keeps nothing, and forgets what it cannot hand over: what it costs is the server's own.
"""

import argparse
import itertools
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any

import msgspec
import uvicorn

from ops.stack.ports import HOST

_Message = MutableMapping[str, Any]
_Send = Callable[[_Message], Awaitable[None]]
_Receive = Callable[[], Awaitable[_Message]]


class Relay:
    """An ASGI application: who is connected, by token."""

    def __init__(self) -> None:
        self.connected: dict[str, _Send] = {}

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        """One connection or request."""
        if scope["type"] == "websocket":
            await self._keep(receive, send)
        elif scope["type"] == "http":
            await self._answer(scope["path"], receive, send)

    async def _keep(self, receive: _Receive, send: _Send) -> None:
        token = ""
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            said = msgspec.json.decode(message["text"])
            if said.get("type") == "hello":
                token = said["token"]
                self.connected[token] = send
                await send({"type": "websocket.send", "text": '{"type":"hello","heartbeat_s":15}'})
        if self.connected.get(token) is send:
            del self.connected[token]

    async def _answer(self, path: str, receive: _Receive, send: _Send) -> None:
        body = (await receive()).get("body", b"")
        _, verb, word = path.split("/", 2)
        message = {"type": "websocket.send", "text": body.decode()}
        if verb == "blast":
            targets = itertools.islice(itertools.cycle(list(self.connected.values())), int(word))
            for target in targets:
                with suppress(OSError):  # uvicorn says so that a client has gone
                    await target(message)
        elif (one := self.connected.get(word)) is not None:
            with suppress(OSError):
                await one(message)
        await send({"type": "http.response.start", "status": 202, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"{}"})


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="relay")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--no-deflate", action="store_true")
    chosen = parser.parse_args()
    uvicorn.run(
        Relay(),
        host=HOST,
        port=chosen.port,
        log_level="warning",
        timeout_keep_alive=75,
        ws_per_message_deflate=not chosen.no_deflate,
    )


if __name__ == "__main__":
    main()
