"""Where peers deliver to: a line over a kept TCP connection, answered by a byte. `python -m ops.bench.peers.sink`.

It stands for a provider, and costs its client less than any: no HTTP, no TLS, no frame. Orders (`ops.bench.orders`):
`forget`, `count`, `tell`.
"""

import asyncio
import time
from typing import Any, cast

import uvloop

from ops.bench.orders import take_orders
from ops.bench.peers.wires import OK
from ops.stack.ports import HOST


class Ledger:
    """What came, by id: when first, and how many again."""

    def __init__(self) -> None:
        self.at: dict[str, float] = {}
        self.twice = 0

    def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        """One order."""
        if order["do"] == "forget":
            self.at, self.twice = {}, 0
        return {"at": self.at, "twice": self.twice} if order["do"] == "tell" else {"count": len(self.at)}

    def note(self, line: bytes) -> None:
        """One line: the id, a space, the payload."""
        identifier = line.split(b" ", 1)[0].decode()
        if identifier in self.at:
            self.twice += 1
        else:
            self.at[identifier] = time.monotonic()


class _Taker(asyncio.Protocol):
    def __init__(self, ledger: Ledger) -> None:
        self._ledger, self._rest = ledger, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._ledger.note(line)
        self._transport.write(OK * len(lines))


async def _serve() -> None:
    ledger = Ledger()
    server = await asyncio.get_running_loop().create_server(lambda: _Taker(ledger), HOST, 0)
    await take_orders({"port": server.sockets[0].getsockname()[1]}, ledger.obey)


def main() -> None:
    """Serve until standard input ends."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve())


if __name__ == "__main__":
    main()
