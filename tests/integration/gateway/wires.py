"""A TCP wire between a device and its gateway that can be cut in silence: bytes vanish, and nobody is told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Wire:
    """Carries bytes both ways until `swallow`: from then on both sides talk into the void, and nothing is closed."""

    def __init__(self, target: str) -> None:
        host, _, rest = target.removeprefix("ws://").partition(":")
        port, _, path = rest.partition("/")
        self._target = host, int(port)
        self._path = path
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self._is_swallowing = False

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/{self._path}"

    def swallow(self) -> None:
        """From now on every byte vanishes, and no goodbye goes through either."""
        self._is_swallowing = True

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._join, "127.0.0.1", 0)

    async def close(self) -> None:
        """Cut everything for good."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(*self._target)
        self._writers += [writer, there_writer]
        for source, sink in ((reader, there_writer), (there_reader, writer)):
            task = asyncio.create_task(self._carry(source, sink))
            self._tasks.add(task)

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            if not self._is_swallowing:
                sink.write(data)
                await sink.drain()
        if not self._is_swallowing:
            sink.close()


@asynccontextmanager
async def a_wire(target: str) -> AsyncIterator[Wire]:
    """A wire to the node at `target`."""
    wire = Wire(target)
    await wire.open()
    yield wire
    await wire.close()
