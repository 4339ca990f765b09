"""The broker as a whole: a listening socket, its virtual hosts and its clients."""

import asyncio
import errno
from contextlib import suppress

from domain.errors import Misconfigured
from ops.stack.broker.connection import ClientConnection
from ops.stack.broker.vhost import VirtualHost

FAREWELL_S = 1.0


class Broker:
    """Listens on loopback until it is stopped."""

    def __init__(self, user: str, password: str) -> None:
        self.user = user
        self.password = password
        self._vhosts: dict[str, VirtualHost] = {}
        self._connections: set[ClientConnection] = set()
        self._server: asyncio.Server | None = None

    async def start(self, port: int, *, host: str = "127.0.0.1") -> int:
        """Listen; the port, which was chosen here when 0 was asked for. Misconfigured when it is taken."""
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(lambda: ClientConnection(self, loop), host, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise Misconfigured(f"embedded broker: port {port} on {host} is in use") from error
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Hang up on everybody and forget everything."""
        if self._server is not None:
            self._server.close()
            for connection in list(self._connections):
                connection.shut()
            with suppress(TimeoutError):  # a client that does not read cannot keep us
                async with asyncio.timeout(FAREWELL_S):
                    await self._server.wait_closed()

    def vhost(self, name: str) -> VirtualHost:
        """The virtual host of that name, made when it is new."""
        if name not in self._vhosts:
            self._vhosts[name] = VirtualHost(name, asyncio.get_running_loop())
        return self._vhosts[name]

    def entered(self, connection: ClientConnection) -> None:
        """A client came."""
        self._connections.add(connection)

    def left(self, connection: ClientConnection) -> None:
        """A client went."""
        self._connections.discard(connection)
