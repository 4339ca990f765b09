"""An SMTP server that takes everything and keeps only who got what and when: `python -m ops.bench.smtp_sink`.

As little server as possible beside the measured: no task for a connection, no parsing beyond the four commands. Orders
(`ops.bench.orders`): `delay` (each answer after a message comes so many seconds later), `forget`, `count`, `tell`.
"""

import asyncio
import re
import time
from typing import Any, cast

import uvloop

from ops.bench.orders import take_orders
from ops.stack.ports import HOST

_DELIVERY = re.compile(rb"\r\nX-Carillon-Delivery: ([0-9a-f-]{36})")
_END = b"\r\n.\r\n"
_ANSWERS = {
    b"EHLO": b"250-bench.localhost\r\n250-8BITMIME\r\n250 PIPELINING\r\n",
    b"MAIL": b"250 2.1.0 OK\r\n",
    b"RCPT": b"250 2.1.5 OK\r\n",
    b"RSET": b"250 2.0.0 OK\r\n",
    b"NOOP": b"250 2.0.0 OK\r\n",
    b"DATA": b"354 go on\r\n",
    b"QUIT": b"221 2.0.0 bye\r\n",
}


class Mail:
    """What came: [name of the delivery, when its RCPT came and when it was answered (epoch s)]; and the delay."""

    def __init__(self) -> None:
        self.delay_s = 0.0
        self.came: list[tuple[str, float, float]] = []

    def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        """One order."""
        match order["do"]:
            case "delay":
                self.delay_s = float(order["seconds"])
            case "forget":
                self.came = []
            case "tell":
                return {"came": self.came}
        return {"count": len(self.came)}


class _Conversation(asyncio.Protocol):
    def __init__(self, mail: Mail) -> None:
        self._mail, self._rest, self._is_data, self._asked_at = mail, b"", False, 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(b"220 bench.localhost ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        self._rest += data
        answers: list[bytes] = []
        while (answer := self._next()) is not None:
            answers.append(answer)
        if answers:
            self._transport.write(b"".join(answers))

    def _next(self) -> bytes | None:
        """The answer to the next thing in the buffer; None when it is not whole, b"" when its answer comes later."""
        message, found, rest = self._rest.partition(_END if self._is_data else b"\r\n")
        if not found:
            return None
        self._rest = rest
        if self._is_data:
            self._is_data = False
            if not self._mail.delay_s:
                return self._take(message)
            asyncio.get_running_loop().call_later(
                self._mail.delay_s, lambda: self._transport.write(self._take(message))
            )
            return b""
        verb = message[:4].upper()
        if verb == b"RCPT":
            self._asked_at = time.time()
        self._is_data = verb == b"DATA"
        return _ANSWERS.get(verb, b"502 5.5.1 what?\r\n")

    def _take(self, message: bytes) -> bytes:
        name = _DELIVERY.search(message)
        self._mail.came.append((name[1].decode() if name else "", self._asked_at, time.time()))
        return b"250 2.0.0 OK queued as bench\r\n"


async def _serve() -> None:
    mail = Mail()
    server = await asyncio.get_running_loop().create_server(lambda: _Conversation(mail), HOST, 0)
    await take_orders({"port": server.sockets[0].getsockname()[1]}, mail.obey)


def main() -> None:
    """Serve until standard input ends."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve())


if __name__ == "__main__":
    main()
